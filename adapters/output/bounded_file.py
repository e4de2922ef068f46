"""Output in a file of bounded size: the beginning and the end of it."""

from collections import deque
from pathlib import Path
from typing import IO

HEAD_BYTES = 16 << 20
"""How much of the beginning is kept."""

TAIL_BYTES = 1 << 20
"""How much of the end is kept: agents report there what they used, and whether they gave up."""


_GAP_BYTES = 100  # of the line that marks a gap, at most


def read_back(file: IO[bytes], most_bytes: int) -> bytes:
    """Return what was written to a file, whatever has its name by now.

    Args:
        file: The file, open for both.
        most_bytes: What can have been written: others may have made it longer.
    """
    file.flush()
    file.seek(0)
    return file.read(most_bytes)


class BoundedFile:
    """A file that keeps the beginning and the end of what is written to it.

    Args:
        path: The file; made anew.
        head_bytes: Kept of the beginning.
        tail_bytes: Kept of the end, in memory until the file is closed.
    """

    def __init__(
        self, path: Path, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES
    ) -> None:
        self._file = path.open("w+b")
        self._most_bytes = head_bytes + tail_bytes + _GAP_BYTES
        self.content = b""
        """What was kept, once it is closed."""
        self._head_left = head_bytes
        self._tail_bytes = tail_bytes
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._left_out = 0

    def write(self, data: bytes) -> None:
        """Add some bytes."""
        head, rest = data[: self._head_left], data[self._head_left :]
        self._head_left -= len(head)
        self._file.write(head)
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
            self._shorten()

    def close(self) -> int:
        """Write the end, after a line that marks the gap; return how many bytes were left out."""
        if self._left_out:
            self._file.write(f"\n[cab: {self._left_out} bytes are left out here]\n".encode())
        self._file.writelines(self._tail)
        self._tail.clear()
        self.content = read_back(self._file, self._most_bytes)
        self._file.close()
        return self._left_out

    def _shorten(self) -> None:
        over = self._tail_size - self._tail_bytes
        while over > 0:
            first = self._tail.popleft()
            if len(first) > over:
                self._tail.appendleft(first[over:])
            dropped = min(len(first), over)
            self._left_out += dropped
            self._tail_size -= dropped
            over -= dropped
