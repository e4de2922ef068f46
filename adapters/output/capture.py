"""Reads what an agent prints while it runs: two streams, kept apart, masked, bounded and recorded.

Each stream is a pipe, or a pseudo-terminal of its own: then the agent writes as for a person, and
its output and its messages are still two. What is read goes into a file for each, and both into
one recording, with the time at which it was read.
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


class Ends(NamedTuple):
    """Where a program writes to."""

    stdout: int
    """File descriptor of its output."""
    stderr: int
    """File descriptor of its messages."""


class Capture:
    """What one program prints.

    Args:
        folder: Where the files `stdout` and `stderr` are written.
        mask: Takes the secrets out.
        cast: The recording; closed by `finish`.
        terminal: Give the program terminals instead of pipes.
        clock_ns: Monotonic clock.
    """

    def __init__(
        self,
        folder: Path,
        mask: Redactor,
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
            _Stream(*make(), BoundedFile(folder / name), StreamRedactor(mask), self._record)
            for name in ("stdout", "stderr")
        ]

    @property
    def ends(self) -> Ends:
        """Where the program writes to, until `start`."""
        return Ends(*(stream.theirs for stream in self._streams))

    def start(self) -> None:
        """Begin to read; the program has been started and holds its ends."""
        for stream in self._streams:
            stream.start()

    def finish(self) -> int:
        """Read what is left and close everything; return how many bytes were not kept.

        Call it when the program and all that it started have ended: nothing is waited for.
        """
        left_out = sum(stream.finish() for stream in self._streams)
        self._cast.close()
        return left_out

    def _record(self, text: str) -> None:
        self._cast.output((self._clock_ns() - self._began_ns) / 1e9, text)


class _Stream:
    def __init__(
        self,
        ours: int,
        theirs: int,
        kept: BoundedFile,
        masker: StreamRedactor,
        record: Callable[[str], None],
    ) -> None:
        self.theirs = theirs
        self._ours = ours
        self._kept = kept
        self._masker = masker
        self._record = record
        self._text = TerminalText()
        self._loop: asyncio.AbstractEventLoop | None = None
        os.set_blocking(ours, False)

    def start(self) -> None:
        os.close(self.theirs)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self._ready)

    def finish(self) -> int:
        if self._loop is None:
            os.close(self.theirs)
        while self._read():
            pass
        self._stop()
        rest = self._masker.flush()
        self._kept.write(rest)
        self._record(self._text.feed(rest, last=True))
        os.close(self._ours)
        return self._kept.close()

    def _ready(self) -> None:
        if self._read() is False:
            self._stop()

    def _stop(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._ours)

    def _read(self) -> bool | None:
        """Take what is there; return False at the end, and None where there is nothing yet."""
        try:
            data = os.read(self._ours, _READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:  # how a terminal says that nobody writes to it any more
            return False
        safe = self._masker.feed(data)
        self._kept.write(safe)
        self._record(self._text.feed(safe))
        return bool(data)


def _terminal() -> tuple[int, int]:
    """Return our end and the program's end of a new terminal that changes no byte of the output."""
    ours, theirs = os.openpty()
    settings = termios.tcgetattr(theirs)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    termios.tcsetwinsize(theirs, (SCREEN.height, SCREEN.width))
    return ours, theirs
