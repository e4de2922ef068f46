"""Where the ledger of a sweep ends now, so that what comes later is found without reading all that was before."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cab.scoring.ledger.reading import newest_segments

_GOOD_FOR_S = 30.0


class LedgerMark:
    """The newest segments of a ledger, looked up now and then.

    An older mark is as good: it only makes a reader read more. So a fleet that ends many cells a second does not list
    the folder for each.

    Args:
        ledger: The folder.
        clock_s: Monotonic clock.
    """

    def __init__(self, ledger: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock_s = clock_s
        self._found_at_s: float | None = None
        self.first: Mapping[int, int] = {}
        """Worker -> number of a segment: what is written from now on stands in it or behind it. Empty: anywhere."""

    def refresh(self) -> None:
        """Look again, if that was some time ago; reads the folder.

        Raises:
            BadRecord: The folder cannot be listed.
        """
        now_s = self._clock_s()
        if self._found_at_s is not None and now_s - self._found_at_s <= _GOOD_FOR_S:
            return
        self._found_at_s = now_s
        if self._ledger.is_dir():
            self.first = newest_segments(self._ledger)
