"""Reads what an agent prints while it runs: two separate streams, redacted, bounded and recorded.

Each stream is a pipe, or a pseudo-terminal of its own: then the agent writes as for a person, and
its output and its messages stay separate. What is read goes into a file for each, and both into one
recording, with the time at which it was read.
"""

import asyncio
import os
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cab.adapters.output.asciicast import SCREEN, CastWriter, TerminalText
from cab.adapters.output.bounded_file import BoundedFile
from cab.proxy.redaction import Redactor, StreamRedactor

_READ_BYTES = 1 << 16


class OutputDescriptors(NamedTuple):
    """The file descriptors that a program writes to."""

    stdout: int
    stderr: int


class Capture:
    """What one program prints.

    Args:
        folder: Where the files `stdout` and `stderr` are written.
        redact: Takes the secrets out.
        cast: The recording; closed by `finish`.
        terminal: Give the program terminals instead of pipes.
        clock_ns: Monotonic clock.
    """

    def __init__(
        self,
        folder: Path,
        redact: Redactor,
        cast: CastWriter,
        *,
        terminal: bool = False,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._cast = cast
        self._clock_ns = clock_ns
        self._began_ns = clock_ns()
        make = _terminal if terminal else os.pipe
        self._streams = [
            _Stream(*make(), BoundedFile(folder / name), StreamRedactor(redact), self._record)
            for name in ("stdout", "stderr")
        ]

    @property
    def descriptors(self) -> OutputDescriptors:
        """What to start the program with; closed by `start`."""
        return OutputDescriptors(*(stream.child_fd for stream in self._streams))

    @property
    def contents(self) -> tuple[bytes, bytes]:
        """Output and messages, as far as they are kept, once it is finished."""
        stdout, stderr = (stream.content for stream in self._streams)
        return stdout, stderr

    def start(self) -> None:
        """Begin to read; the program has been started and holds its descriptors."""
        for stream in self._streams:
            stream.start()

    def finish(self) -> int:
        """Read the rest and close everything; return how many bytes were left out.

        Call it when the program and all that it started have ended: it does not wait.
        """
        left_out = sum(stream.finish() for stream in self._streams)
        self._cast.close()
        return left_out

    def _record(self, text: str) -> None:
        self._cast.output((self._clock_ns() - self._began_ns) / 1e9, text)


class _Stream:
    def __init__(
        self,
        own_fd: int,
        child_fd: int,
        file: BoundedFile,
        redactor: StreamRedactor,
        record: Callable[[str], None],
    ) -> None:
        self.child_fd = child_fd
        self._own_fd = own_fd
        self._file = file
        self._redactor = redactor
        self._record = record
        self._text = TerminalText()
        self._loop: asyncio.AbstractEventLoop | None = None
        os.set_blocking(own_fd, False)

    def start(self) -> None:
        os.close(self.child_fd)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._own_fd, self._ready)

    @property
    def content(self) -> bytes:
        return self._file.content

    def finish(self) -> int:
        if self._loop is None:
            os.close(self.child_fd)
        while self._read():
            pass
        self._stop()
        rest = self._redactor.flush()
        self._file.write(rest)
        self._record(self._text.feed(rest, last=True))
        os.close(self._own_fd)
        return self._file.close()

    def _ready(self) -> None:
        if self._read() is False:
            self._stop()

    def _stop(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._own_fd)

    def _read(self) -> bool | None:
        """Read what is available; return False at the end, and None where there is nothing yet."""
        try:
            data = os.read(self._own_fd, _READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:  # a terminal that no process writes to any more
            return False
        safe = self._redactor.feed(data)
        self._file.write(safe)
        self._record(self._text.feed(safe))
        return bool(data)


def _terminal() -> tuple[int, int]:
    """Return the reading and the writing descriptor of a terminal that changes no byte of the output."""
    own_fd, child_fd = os.openpty()
    settings = termios.tcgetattr(child_fd)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(child_fd, termios.TCSANOW, settings)
    termios.tcsetwinsize(child_fd, (SCREEN.height, SCREEN.width))
    return own_fd, child_fd
