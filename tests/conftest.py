"""What all tests share."""

import gc
import signal
from collections.abc import Generator

import pytest
from hypothesis import settings

from tests.tools.logs import reset_logs

# No example has a time limit: machines are slow at times, and no test asserts absolute times.
# Half of the usual number of examples: each run draws others.
settings.register_profile("untimed", deadline=None, max_examples=50)
settings.load_profile("untimed")


# Started in the background of a script, the tests ignore Ctrl-C, with nohup the end of the terminal, and all that they
# start would too.
for number, usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)


# Collecting makes millions of objects that all stay: looking for garbage among them takes a fifth of its time.
gc.disable()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let the process that only hands out tests collect garbage as ever: it collects no tests."""
    option = session.config.getoption("numprocesses", None)
    if option and not hasattr(session.config, "workerinput"):
        gc.enable()


def pytest_collection_finish() -> None:
    """Keep the tests themselves out of each garbage collection from here on."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def own_logs() -> Generator[None]:
    """Give the log and the crash hook back as they were: commands that run in this process set them up."""
    yield
    reset_logs()
