"""One line that shows that a long job is running: on a terminal only, removed at the end."""

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TextIO

from cab.scoring.printable import printable

_TICK_S = 0.5
_CLEAR = "\r\x1b[K"


@contextmanager
def progress(text: str, stream: TextIO) -> Generator[None]:
    """Show a text and the elapsed seconds while the block runs.

    Args:
        text: What is running.
        stream: Where to; nothing is written if it is not a terminal.
    """
    if not stream.isatty():
        yield
        return
    stop = threading.Event()
    ticker = threading.Thread(target=_tick, args=(text, stream, stop), daemon=True)
    ticker.start()
    try:
        yield
    finally:
        stop.set()
        ticker.join()
        stream.write(_CLEAR)
        stream.flush()


@contextmanager
def counted_progress(
    what: str, total: int | None, stream: TextIO
) -> Generator[Callable[[int], None]]:
    """Yield a function that takes how many are done, and shows it while the block runs.

    Args:
        what: What is counted.
        total: How many there are, None if nobody counted.
        stream: Where to; nothing is written if it is not a terminal.
    """
    began_s, shown_s = time.monotonic(), 0.0
    of = "" if total is None else f" of {total:,}"

    def show(done: int) -> None:
        nonlocal shown_s
        passed_s = time.monotonic() - began_s
        if not stream.isatty() or (shown_s and passed_s - shown_s < _TICK_S):
            return
        shown_s = passed_s
        filled = "" if not total else f" [{'#' * (20 * done // total):<20}]"
        stream.write(f"{_CLEAR}{done:,}{of} {what}{filled} {passed_s:.0f} s")
        stream.flush()

    yield show
    if shown_s:
        stream.write(_CLEAR)
        stream.flush()


def complain(what: str) -> None:
    """Print an error on stderr; on a terminal it replaces the line of `progress`."""
    clear = _CLEAR if sys.stderr.isatty() else ""
    sys.stderr.write(f"{clear}cab: {printable(what)}\n")


def _tick(text: str, stream: TextIO, stop: threading.Event) -> None:
    began = time.monotonic()
    while not stop.is_set():
        stream.write(f"{_CLEAR}{text} ... {time.monotonic() - began:.0f} s")
        stream.flush()
        stop.wait(_TICK_S)
