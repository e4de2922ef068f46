"""Which call ids came before, in 12 to 24 bytes each: a ledger has 10^8 records."""

from array import array

_KEY_BITS = (1 << 64) - 1


class CallIds:
    """The call ids that were added so far.

    Only a hash of 64 bits is kept of each. That two ids of a ledger of 10^8 calls share one has a chance
    of 3 in 10,000, and nobody can choose them so: the hash is keyed anew in each process.
    """

    def __init__(self) -> None:
        self._slots = array(
            "Q", bytes(8 << 10)
        )  # a hash stands at its own place or, if taken, behind
        self._count = 0

    def add(self, call_id: str) -> bool:
        """Add an id; return whether it is new."""
        key, at = self._find(call_id)
        if self._slots[at] == key:
            return False
        self._slots[at] = key
        self._count += 1
        if 3 * self._count > 2 * len(self._slots):
            self._grow()
        return True

    def __contains__(self, call_id: str) -> bool:
        key, at = self._find(call_id)
        return self._slots[at] == key

    def _find(self, call_id: str) -> tuple[int, int]:
        """Return the key of an id, never 0, and where it stands or may be put."""
        key = hash(call_id) & _KEY_BITS or 1
        return key, self._place(key)

    def _place(self, key: int) -> int:
        slots, last = self._slots, len(self._slots) - 1
        at = key & last
        while slots[at] not in (0, key):
            at = (at + 1) & last
        return at

    def _grow(self) -> None:
        before = self._slots
        self._slots = array("Q", bytes(16 * len(before)))
        for key in filter(None, before):
            self._slots[self._place(key)] = key
