"""`cab sweep` on a real terminal, that is made smaller, and Ctrl-C."""

import fcntl
import os
import pty
import re
import struct
import termios
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.adapters.commands.test_sweep import LEAST
from tests.tools.commands import start_command

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A terminal with a program on it."""

    def __init__(self, width: int, *command: str) -> None:
        self.shown = ""
        self._ours, theirs = pty.openpty()
        self.resize(width)
        # A size in the environment would count before the terminal's own.
        env = {n: v for n, v in os.environ.items() if n not in ("COLUMNS", "LINES")}
        self._running = ExitStack()
        self.process = self._running.enter_context(
            start_command(
                *("cab", *command),
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                session=True,
                env={**env, "TERM": "xterm", "TEST_READY": os.devnull},
            )
        )
        os.close(theirs)

    def resize(self, width: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("4H", 20, width, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def wait_for(self, pattern: str) -> None:
        """Read until what is shown matches; a program that ends before does not."""
        begin = len(self.shown)
        while not re.search(pattern, self.shown[begin:]):
            data = os.read(self._ours, 1 << 16)
            self.shown += data.decode(errors="replace")

    def close(self) -> int:
        """Read to the end, and return the exit code."""
        with suppress(OSError):
            while data := os.read(self._ours, 1 << 16):
                self.shown += data.decode(errors="replace")
        os.close(self._ours)
        code = self.process.wait(60)
        self._running.close()
        return code

    def frames(self) -> list[list[str]]:
        """Return what was drawn, one time after the other, in lines."""
        drawn = self.shown.partition("\x1b[?1049h")[2].partition("\x1b[?1049l")[0]
        return [_SEQUENCE.sub("", frame).splitlines() for frame in drawn.split("\x1b[H")]


def test_a_screen_that_is_left_as_it_was(tmp_path: Path) -> None:
    """Running cells are shown by name, no line is wider than the terminal at its time, and Ctrl-C restores it."""
    file = tmp_path / "sweep.toml"
    waiting = LEAST.replace("scripted", "tests.adapters.toyagents:Waiting")
    file.write_text(f"{waiting}runs = 9\n[budget]\ntokens = 99000\n")
    terminal = Terminal(60, "sweep", str(file))
    try:
        terminal.wait_for(r"error-handling#run1 +\d:\d\d +\d")
        terminal.resize(44)
        terminal.wait_for(r"\x1b\[H")
        terminal.wait_for(r"\x1b\[H")
        resized = len(terminal.frames()) - 1
        terminal.type("\x03")
    finally:
        code = terminal.close()
    assert code == 130
    frames = terminal.frames()
    assert max(len(line) for frame in frames[:resized] for line in frame) == 60
    assert {len(line) for frame in frames[resized:] for line in frame[:-1]} == {44}
    assert any("of 99,000 tokens" in line for frame in frames for line in frame)
    left = terminal.shown.rpartition("\x1b[?1049l")
    assert left[0].rfind("\x1b[?25h") > left[0].rfind("\x1b[?25l")  # the cursor is seen again
    assert "\x1b[?25l" not in left[2]
    assert "stopped by SIGINT" in left[2]
    assert "cells have a result" in left[2]
