"""How much memory all that waits to be written may take."""

from threading import Lock


class MemoryRoom:
    """Counts the bytes that are held; the loop takes and a thread gives back.

    Args:
        max_bytes: How many may be held at once.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._lock = Lock()

    def take(self, size_bytes: int) -> bool:
        """Return whether there is room for so many bytes more; they are held then."""
        with self._lock:
            if self._held_bytes + size_bytes > self._max_bytes:
                return False
            self._held_bytes += size_bytes
            return True

    def give_back(self, size_bytes: int) -> None:
        """Take note that so many bytes are held no longer."""
        with self._lock:
            self._held_bytes -= size_bytes
