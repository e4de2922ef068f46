"""Counters of cells in memory that the processes of a proxy share, so that none must ask another one.

A place holds the counters of one cell. Workers change them while they hold its lock, which the system
takes back from a process that dies. The parent writes them while nobody uses the place; which generation
of users may change them it says in a word of its own, which it can take back without the lock.
"""

import fcntl
import mmap
import os
import tempfile
import time
from typing import NamedTuple, Self

PLACES = 8192
"""So many cells can be called at the same time without a question; of pages that nobody uses there are none."""
_WORDS = 16
_WORD_BYTES = 8
_GENERATION, _BARRED, _TORN, _FIRST_COUNTER = 0, 1, 2, 3
_LOCK_S = 0.03
"""So long a lock is waited for, some turns of a busy processor: whoever holds it longer was stopped."""
_LOCK_AGAIN_S = 0.0001


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
    unpriced: int = 0
    """How many were counted and have no price."""
    minute: int = 0
    """The latest minute in which anything has happened to them, since the Unix epoch."""


_MINUTE = Counters._fields.index("minute")


class SharedMemory:
    """The places.

    Args:
        descriptor: A file without a name, which the processes have open.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, 0)
        # Word by word: each is stored at once, so that a process that is killed leaves no half of one.
        with memoryview(self._map) as whole:
            self._words = whole.cast("q")
        self.places = len(self._words) // _WORDS

    @classmethod
    def create(cls, places: int = PLACES) -> Self:
        """Return memory that no other process can find; those that get its descriptor share it."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("cab-cells")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.truncate(descriptor, places * _WORDS * _WORD_BYTES)
        return cls(descriptor)

    def close(self) -> None:
        """Give it back."""
        self._words.release()
        self._map.close()
        os.close(self.descriptor)

    def lock(self, place: int) -> bool:
        """Return whether the lock of a place was to be had; others hold it for some microseconds."""
        if self._lock_now(place):
            return True
        until_s = time.monotonic() + _LOCK_S
        while not self._lock_now(place):
            if time.monotonic() > until_s:
                return False
            time.sleep(_LOCK_AGAIN_S)
        return True

    def unlock(self, place: int) -> None:
        """Release the lock of a place."""
        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, place)

    def holds(self, place: int, generation: int) -> bool:
        """Return whether a generation of users may go by the counters of a place."""
        words, at = self._words, place * _WORDS
        return (
            words[at + _GENERATION] == generation
            and words[at + _BARRED] < generation
            and not words[at + _TORN]
        )

    def read(self, place: int) -> tuple[int, ...]:
        """Return the counters of a place, in the order of `Counters`; the caller holds its lock."""
        at = place * _WORDS + _FIRST_COUNTER
        return tuple(self._words[at : at + len(Counters._fields)])

    def minute(self, place: int) -> int:
        """Return the counter of that name."""
        return self._words[place * _WORDS + _FIRST_COUNTER + _MINUTE]

    def write(self, place: int, *counters: int) -> None:
        """Write the counters of a place, in the order of `Counters`; the caller holds its lock.

        If it is killed meanwhile, nobody goes by the place until it is opened again.
        """
        words, at = self._words, place * _WORDS
        words[at + _TORN] = 1
        for index, counter in enumerate(counters, at + _FIRST_COUNTER):
            words[index] = counter
        words[at + _TORN] = 0

    def bar(self, place: int, generation: int) -> None:
        """Let nobody go by the counters of a place: neither those who do now, nor a generation, opened or not.

        Something has happened that the counters do not show. The caller need not hold the lock.
        """
        words, at = self._words, place * _WORDS
        words[at + _BARRED] = max(words[at + _BARRED], generation, words[at + _GENERATION])

    def open(self, place: int, generation: int, counters: Counters) -> bool:
        """Let a generation of users go by the counters of a place that is suspended.

        Returns:
            Whether that was possible. It is not if a call of this generation has ended meanwhile, which the
            counters do not show, or while a process that was stopped holds the lock.
        """
        if not self._lock_now(place):
            return False
        try:
            if self._words[place * _WORDS + _BARRED] >= generation:
                return False
            self.write(place, *counters)
            self._words[place * _WORDS + _GENERATION] = generation
        finally:
            self.unlock(place)
        return True

    def suspend(self, place: int) -> None:
        """Let nobody go by the counters of a place from now on."""
        self._words[place * _WORDS + _GENERATION] = 0

    def last_seq(self, place: int, *, more: bool = False) -> int:
        """Return the last number that the users of a suspended place can have taken.

        Args:
            place: The place.
            more: Whether one of them, which hangs, may be about to take a number.
        """
        taking = 0
        if more:
            if self.lock(place):
                self.unlock(place)
            else:
                taking = 1
        return self._words[place * _WORDS + _FIRST_COUNTER] + taking

    def _lock_now(self, place: int) -> bool:
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            return False
        return True
