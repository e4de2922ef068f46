import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cab.proxy.logs import redacting_libraries
from cab.proxy.redaction import Redactor

_LOGGING = """
from cab.proxy.logs import RedactingLogger, configure_logs
configure_logs("info", "json")
for n in range(1000):
    RedactingLogger().error("counted", n=n)
print("done")
"""


def logging_to(descriptor: int) -> str:
    """Log many lines in a process with the given standard error; return what it prints at its end."""
    command = [sys.executable, "-c", _LOGGING]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=descriptor, text=True, check=False
    )
    return done.stdout


def test_a_full_disk_below_the_log_costs_nothing() -> None:
    """A log that cannot be written raises nothing where something is logged."""
    with Path("/dev/full").open("w") as full:
        assert logging_to(full.fileno()) == "done\n"


def test_a_closed_pipe_below_the_log_costs_nothing() -> None:
    """Neither does one whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    assert logging_to(writing) == "done\n"
    os.close(writing)


def test_a_log_is_written(tmp_path: Path) -> None:
    """What is logged stands on standard error, line by line."""
    with (tmp_path / "log").open("w") as log:
        assert logging_to(log.fileno()) == "done\n"
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 1000
    assert '"n": 999' in lines[-1]


@pytest.mark.parametrize("logger", ["asyncio", "aiohttp.client", "aiohttp.server"])
def test_a_record_without_secrets_stays_as_it_is(logger: str) -> None:
    """A library's record is changed only where it holds a secret; a wrong one is left to `logging`."""
    held = Redactor(["held-by-the-proxy"])
    error = ValueError("sent held-by-a-call")
    with redacting_libraries(held, lambda: (Redactor(["held-by-a-call"]),)):
        fault = (OSError, OSError("plain"), None)
        plain = logging.LogRecord(logger, 40, "f", 1, "plain %s", ("text",), fault)
        secret = logging.LogRecord(
            logger, 40, "f", 1, "%s", ("held-by-the-proxy",), (ValueError, error, None)
        )
        wrong = logging.LogRecord(logger, 40, "f", 1, "%d", ("x",), None)
        assert all(logging.getLogger(logger).filter(each) for each in (plain, secret, wrong))
    assert (plain.msg, plain.args, plain.exc_text) == ("plain %s", ("text",), None)
    assert plain.exc_info is fault
    assert logging.Formatter().format(secret) == "[redacted]\nValueError: sent [redacted]"
    assert (wrong.msg, wrong.args) == ("%d", ("x",))


ESCAPES = "a\x1b]0;title\x07b\x1b[2Jc\x9b31md\u202ee\rf"
_LOGGED = f"""
import logging
from cab.proxy.logs import RedactingLogger, configure_logs, redacting_libraries
from cab.proxy.redaction import Redactor
configure_logs("info", FORMAT)
secrets = Redactor().with_secrets(["exception", "level", "0123456789abcdef", "timestamp"])
log = RedactingLogger(secrets)
with redacting_libraries(secrets, tuple):
    log.info("call", model={ESCAPES!r}, values=[{ESCAPES!r}], n=1)
    logging.getLogger("asyncio").error("lost %s 0123456789abcdef", {ESCAPES!r})
    try:
        raise ValueError({ESCAPES!r} + chr(10) + "0123456789abcdef")
    except ValueError:
        logging.getLogger("asyncio").exception("failed")
        log.exception("call_failed")
"""


def logged(log_format: str) -> str:
    program = _LOGGED.replace("FORMAT", repr(log_format))
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stderr


def test_nothing_from_outside_steers_the_terminal() -> None:
    """On a console control characters of every kind are shown escaped; line ends of a traceback stay."""
    text = logged("console")
    steering = {char for char in text if not char.isprintable()} - {"\n"}
    assert steering == set()
    assert text.count(r"a\x1b]0;title\x07b\x1b[2Jc\x9b31md\u202ee\rf") >= 4
    assert "\n  File " in text
    assert "0123456789abcdef" not in text


def test_a_line_of_json_stays_one() -> None:
    """Whatever a client sent as its key, each line is JSON with its own names."""
    lines = [json.loads(line) for line in logged("json").splitlines()]
    assert len(lines) == 4
    for line in lines:
        assert {"event", "level", "timestamp"} <= line.keys()
    assert [line["level"] for line in lines] == ["info", "error", "error", "error"]
    assert lines[0]["model"] == ESCAPES
    assert all("exception" in line for line in lines[2:])
    assert "0123456789abcdef" not in json.dumps(lines)
