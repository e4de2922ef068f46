"""Reading parts: bounded, whatever a file claims, and each compared with its digest."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cab.scoring.capture.lines import PartPlace
from cab.scoring.errors import BadRecord
from cab.scoring.files import check_regular, naming
from cab.scoring.ledger.zstd import NoZstandard

if TYPE_CHECKING:
    from types import ModuleType

_MAX_WINDOW_BYTES = 256 << 20
"""A frame of one piece needs a window of its content's size."""

_FRAME_BYTES = 1 << 12


def read_part(path: Path, place: PartPlace) -> bytes:
    """Return the bytes of a part; no more than it claims to have are ever unpacked.

    Args:
        path: The file of parts.
        place: Where it stands, and how long it is.

    Raises:
        BadRecord: It is not there, cannot be unpacked, or has another length or digest.
        NoZstandard: `zstandard` is not there.
    """
    # Incompressible bytes grow by so much at most; else a file with holes would fill the memory.
    if place.size > place.bytes + place.bytes // 128 + _FRAME_BYTES:
        raise BadRecord(str(path), None, f"the frame of part {place.sha256} is too large")
    if place.at + place.size > check_regular(path):
        raise BadRecord(str(path), None, f"it ends before part {place.sha256}")
    with naming(path), path.open("rb") as file:
        file.seek(place.at)
        packed = file.read(place.size)
    part = _unpacked(packed, place.bytes, path)
    if len(part) != place.bytes or sha256(part).hexdigest() != place.sha256:
        raise BadRecord(str(path), None, f"part {place.sha256} was changed")
    return part


def _unpacked(packed: bytes, size_bytes: int, path: Path) -> bytes:
    zstd: Any = _zstandard(path)
    decompressor = zstd.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    try:
        with decompressor.stream_reader(packed) as reader:
            # One byte more shows that there is more than was claimed.
            return bytes(reader.read(size_bytes + 1))
    except (zstd.ZstdError, MemoryError) as error:
        raise BadRecord(str(path), None, f"a part cannot be unpacked: {error}") from error


def _zstandard(path: Path) -> "ModuleType":
    try:
        import zstandard  # noqa: PLC0415 - only who reads captures needs it
    except ImportError as error:
        reason = "is compressed; to read it, run: pip install zstandard"
        raise NoZstandard(str(path), None, reason) from error
    return zstandard
