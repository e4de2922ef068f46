"""Counters of cells in memory that the processes of a proxy share, so that none must ask another one.

A place holds the counters of one cell. Workers change them while they hold its lock, which the system
takes back from a process that dies. The parent writes them while nobody uses the place; which generation
of users may change them it says in a word of its own, which it can take back without the lock.
"""

import fcntl
import mmap
import os
import struct
import tempfile
from typing import NamedTuple, Self

PLACES = 8192
"""So many cells can be called at the same time without a question; of pages that nobody uses there are none."""
_PLACE_BYTES = 128
_GENERATION = struct.Struct("=q")
_COUNTERS = struct.Struct("=9q")
_COUNTERS_AT = 8


class Counters(NamedTuple):
    """What limits ask of a cell."""

    last_seq: int
    """Number of its last call."""
    calls: int
    """Model calls that have ended or are running."""
    running: int
    """Model calls in flight."""
    tokens: int
    """What is known of the tokens of those that have ended."""
    largest_tokens: int
    """Tokens of the largest of them."""
    picodollars: int = 0
    """What is known of their prices, in 10^-12 US dollars, rounded up."""
    largest_picodollars: int = 0
    """The largest of these prices."""
    closed: int = 0
    """1 once something has happened that these counters cannot express: then nobody may go by them."""
    missed: int = 0
    """The last generation that was not open yet, or any more, when one of its calls ended."""


class SharedMemory:
    """The places.

    Args:
        descriptor: A file without a name, which the processes have open.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, 0)
        self.places = len(self._map) // _PLACE_BYTES

    @classmethod
    def create(cls, places: int = PLACES) -> Self:
        """Return memory that no other process can find; those that get its descriptor share it."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("cab-cells")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.truncate(descriptor, places * _PLACE_BYTES)
        return cls(descriptor)

    def close(self) -> None:
        """Give it back."""
        self._map.close()
        os.close(self.descriptor)

    def lock(self, place: int) -> None:
        """Wait for the lock of a place, which others hold for some microseconds."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_EX, 1, place)

    def unlock(self, place: int) -> None:
        """Release the lock of a place."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, place)

    def is_open(self, place: int, generation: int) -> bool:
        """Return whether a generation of users may go by the counters of a place."""
        stated = _GENERATION.unpack_from(self._map, place * _PLACE_BYTES)[0]
        return bool(stated == generation)

    def read(self, place: int) -> tuple[int, ...]:
        """Return the counters of a place, in the order of `Counters`."""
        return _COUNTERS.unpack_from(self._map, place * _PLACE_BYTES + _COUNTERS_AT)

    def write(self, place: int, *counters: int) -> None:
        """Write the counters of a place, in the order of `Counters`; the caller holds its lock."""
        _COUNTERS.pack_into(self._map, place * _PLACE_BYTES + _COUNTERS_AT, *counters)

    def open(self, place: int, generation: int, counters: Counters) -> bool:
        """Let a generation of users go by the counters of a place that is suspended.

        Returns:
            Whether that was possible. It is not if a call of this generation has ended meanwhile, which the
            counters do not show, or while a process that was stopped holds the lock.
        """
        if not self._lock_now(place):
            return False
        try:
            missed = self.read(place)[-1]
            if missed >= generation:
                return False
            self.write(place, *counters[:-1], missed)
            _GENERATION.pack_into(self._map, place * _PLACE_BYTES, generation)
        finally:
            self.unlock(place)
        return True

    def is_closed(self, place: int) -> bool:
        """Return whether something has happened that the counters of a place cannot express."""
        return bool(self.read(place)[-2])

    def suspend(self, place: int) -> None:
        """Let nobody go by the counters of a place from now on."""
        _GENERATION.pack_into(self._map, place * _PLACE_BYTES, 0)

    def last_seq(self, place: int) -> int:
        """Return the last number that the users of a suspended place can have taken."""
        if not self._lock_now(place):
            return self.read(place)[0] + 1  # whoever holds the lock may be about to take it
        self.unlock(place)
        return self.read(place)[0]

    def _lock_now(self, place: int) -> bool:
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            return False
        return True
