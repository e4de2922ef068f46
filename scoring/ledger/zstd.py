"""Reading zstd files in bounded memory. `zstandard` is loaded when the first such file is met."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cab.scoring.errors import BadRecord

if TYPE_CHECKING:
    from types import ModuleType

_READ_BYTES = 1 << 18
# A block of 128 KiB takes as little as four bytes: what one step unpacks must not fill the memory.
_STEP_BYTES = 1 << 10


class NoZstandard(BadRecord):
    """A compressed file on a machine without `zstandard`."""


class Damaged(ValueError):
    """Compressed data that cannot be unpacked, or that is cut off."""


class Unpacked(io.RawIOBase):
    """The content of a zstd file of one or more frames.

    Reading it raises `Damaged` where the file is damaged or cut off.

    Args:
        path: The file.

    Raises:
        NoZstandard: `zstandard` is not there.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        zstd: Any = _zstandard(path)  # its own types know no module as an argument
        self._error: type[Exception] = zstd.ZstdError
        self._new_frame = zstd.ZstdDecompressor().decompressobj
        self._frame = self._new_frame()
        self._inside = True  # a file without any frame is cut off, too
        self._packed = b""
        self._content = memoryview(b"")
        self._file = path.open("rb", buffering=_READ_BYTES)

    def readable(self) -> bool:
        """Return True: it is there to be read."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever can be written to
        """Fill a buffer as far as content is at hand; return the number of bytes, 0 at the end."""
        while not self._content:
            if not self._step():
                return 0
        size = min(len(buffer), len(self._content))
        buffer[:size] = self._content[:size]
        self._content = self._content[size:]
        return size

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def _step(self) -> bool:
        """Unpack a little more; return whether there was anything to unpack."""
        packed = self._packed or self._file.read(_STEP_BYTES)
        if not packed:
            if self._inside:
                raise Damaged("the compressed data is cut off here")
            return False
        try:
            self._content = memoryview(self._frame.decompress(packed))
        except self._error as error:
            raise Damaged(f"the compressed data is damaged here: {error}") from error
        self._packed = self._frame.unused_data
        self._inside = not self._frame.eof
        if self._frame.eof:
            self._frame = self._new_frame()
        return True


def _zstandard(path: Path) -> "ModuleType":
    try:
        import zstandard  # noqa: PLC0415 - only who reads compressed ledgers needs it
    except ImportError as error:
        reason = "is compressed; to read it, run: pip install zstandard"
        raise NoZstandard(str(path), None, reason) from error
    return zstandard
