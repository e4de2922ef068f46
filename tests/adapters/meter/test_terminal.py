"""A program on a terminal does not notice `cab meter`: its keys, signals, window and jobs are its own."""

import shlex
import sys
from pathlib import Path

import pytest

from tests.adapters.meter.metered import clean_environment
from tests.adapters.meter.terminal import shell_on_terminal
from tests.tools.programs import CAB

AS_DARWIN = Path(__file__).parents[2] / "platforms" / "as_darwin"
PROGRAM = """
import os, signal, sys

def say(*words):
    print(*words, flush=True)

def show(number, _):
    say(signal.Signals(number).name, os.get_terminal_size().columns)

for each in (signal.SIGINT, signal.SIGWINCH, signal.SIGCONT, signal.SIGTERM):
    signal.signal(each, show)
front = os.tcgetpgrp(0) == os.getpgrp()
say("ready", os.getppid(), *(os.isatty(n) for n in range(3)), front, signal.pthread_sigmask(0, ()))
for line in sys.stdin:
    if line == "stop yourself\\n":
        os.kill(os.getpid(), signal.SIGTSTP)
    elif line == "end\\n":
        sys.exit(5)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    """The command line of the program under `cab meter`."""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    return shlex.join([str(CAB), "meter", "--upstream", "demo", "--", sys.executable, str(file)])


@pytest.mark.parametrize("path", ["", str(AS_DARWIN)], ids=["linux", "as on a Mac"])
def test_terminal(tmp_path: Path, program: str, path: str) -> None:
    """Ctrl-C comes once, a new size and Ctrl-Z as without us; `fg` goes on; the exit code is the program's."""
    with shell_on_terminal(tmp_path, clean_environment(PYTHONPATH=path)) as terminal:
        terminal.type(f"{program}\n")
        ready = terminal.wait_for(r"ready (\d+) True True True True set\(\)")
        terminal.resize(77)
        terminal.wait_for("SIGWINCH 77")
        terminal.type("\x03")
        terminal.wait_for("SIGINT 77")
        terminal.type("\x1a")
        terminal.wait_for(r"\[1\]\+ +Stopped")
        terminal.type("fg\n")
        terminal.wait_for("SIGCONT 77")
        terminal.type("stop yourself\n")
        terminal.wait_for(r"\[1\]\+ +Stopped")
        terminal.type(f"kill -TERM {ready[1]}; fg\n")
        terminal.wait_for("SIGCONT|SIGTERM")
        terminal.wait_for("SIGCONT|SIGTERM")
        terminal.type("end\n")
        terminal.wait_for("no call came")
        terminal.type("echo code=$?\n")
        terminal.wait_for("code=5")
    assert terminal.shown.count("SIGINT 77") == 1
    assert terminal.shown.count("SIGTERM") == 1
