"""A shell with job control on a terminal of its own, as a person sits before it."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_LIMIT_S = 120.0
_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """A terminal, and what was shown on it.

    Args:
        master: Its other end.
    """

    def __init__(self, master: int) -> None:
        self._master = master
        self.shown = ""
        """All that was shown so far, without colours."""
        self._seen = 0

    def type(self, text: str) -> None:
        """Type a text."""
        os.write(self._master, text.encode())

    def resize(self, columns: int) -> None:
        """Change the width of the window."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def wait_for(self, pattern: str) -> "re.Match[str]":
        """Return the next place where a pattern is shown, behind what was waited for before."""
        end_s = time.monotonic() + _LIMIT_S
        while (found := re.compile(pattern).search(self.shown, self._seen)) is None:
            ready, _, _ = select.select([self._master], [], [], max(0.0, end_s - time.monotonic()))
            assert ready, f"{pattern!r} was not shown: {self.shown}"
            self.shown += _CODES.sub("", os.read(self._master, 65536).decode(errors="replace"))
        self._seen = found.end()
        return found


@contextmanager
def shell_on_terminal(folder: Path, environment: Mapping[str, str]) -> Generator[Terminal]:
    """Run an interactive bash; its terminal is closed at the end, which ends what runs there."""
    pid, master = pty.fork()
    if pid == 0:  # pragma: no cover - another program
        os.chdir(folder)
        env = {**environment, "PS1": "$ ", "TERM": "xterm", "HISTFILE": ""}
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], env)
    try:
        yield Terminal(master)
    finally:
        os.close(master)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
