"""The files of a ledger: which they are, in what order, and their lines, plain or compressed.

A segment is `w<worker>-<number>.jsonl`, such as `w0-000001.jsonl`; once closed it may be compressed to
`w0-000001.jsonl.zst`. Segments of one worker are one chain, and follow each other by number. Only a file
of exactly such a name is a segment: all readers and writers ask here.
"""

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from cab.scoring.errors import BadRecord
from cab.scoring.files import check_regular, naming
from cab.scoring.ledger.archive.segments import archived_until
from cab.scoring.ledger.bounds import MAX_LINE_BYTES, BrokenLine, broken_line
from cab.scoring.ledger.zstd import Damaged, Unpacked

PLAIN_SUFFIX = ".jsonl"
COMPRESSED_SUFFIX = ".jsonl.zst"

_NAME = re.compile(r"w([0-9]{1,9})-([0-9]{6,18})\.jsonl(?:\.zst)?")
_LOOKS_LIKE_ONE = re.compile(r"w[0-9]+-[0-9].*|.*\.jsonl(\.zst)?", re.DOTALL | re.IGNORECASE)
_LEFT_BESIDE_ONE = re.compile(r"(.*)(\.zst\.tmp|\.zst\.bad|\.[0-9]+-[0-9a-f]{12}\.torn)")
"""What compression and recovery leave beside a segment."""
_MOST_NAMED = 10
_READ_BYTES = 1 << 18
_SKIPPED_BYTES = 1 << 16
_KEPT_BYTES = 1 << 14
"""Of a line that is too long: enough to see which call it is of."""


class Segment(NamedTuple):
    """One segment of a ledger."""

    path: Path
    """The file, plain where both forms are there: only a plain one is ever half made."""
    worker: int
    """Number of the worker that writes it."""
    number: int
    """Its place in the chain, 1-based."""

    @property
    def chain(self) -> str:
        """Name of its chain, such as `w0`."""
        return f"w{self.worker}"

    @property
    def compressed(self) -> bool:
        """Whether it is closed and compressed."""
        return self.path.suffix == ".zst"


def segment_name(worker: int, number: int) -> str:
    """Return the name of a plain segment."""
    return f"w{worker}-{number:06d}{PLAIN_SUFFIX}"


def find_segments(folder: Path) -> list[Segment]:
    """Return the segments of a ledger folder in the ledger's order: by chain, then by number.

    Raises:
        BadRecord: The folder cannot be listed.
    """
    with naming(folder):
        return segments_among(folder.iterdir())


def ledgers_inside(folder: Path) -> str:
    """Return what an error says of the ledgers in a folder that is none; nothing if there are none.

    `cab meter` writes such a folder for a command that calls several providers.
    """
    with naming(folder):
        found = sorted(each for each in folder.iterdir() if each.is_dir() and _has_segments(each))
    if not found:
        return ""
    rest = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    names = ", ".join(str(each) for each in found[:_MOST_NAMED])
    return f"; it holds ledgers: give one of {names}{rest}"


def _has_segments(folder: Path) -> bool:
    try:
        return bool(find_segments(folder))
    except BadRecord:  # it cannot be listed: what it holds is unknown
        return False


def segments_among(files: Iterable[Path]) -> list[Segment]:
    """Return the segments among the files of a folder in the ledger's order, each once.

    Archived segments are none of them, also if their files are still there.

    Raises:
        BadRecord: What says which segments are archived cannot be read.
    """
    found: dict[tuple[int, int], Segment] = {}
    files = list(files)
    archived = archived_until(files)
    for file in files:
        segment = _segment(file)
        if segment is not None and segment.number > archived.get(segment.worker, 0):
            place = segment.worker, segment.number
            found[place] = min(segment, found.get(place, segment), key=_is_compressed)
    return [found[place] for place in sorted(found)]


def find_strays(folder: Path) -> list[Path]:
    """Return the files of a ledger folder that look like segments and are none: no reader reads them.

    Raises:
        BadRecord: The folder cannot be listed.
    """
    with naming(folder):
        return sorted(file for file in folder.iterdir() if _is_stray(file))


def segment_files(folder: Path) -> list[Path]:
    """Return the files of a ledger folder in the ledger's order, each segment once.

    A segment that is there plain and compressed counts once, as the plain file.

    Raises:
        BadRecord: The folder cannot be listed.
    """
    return [segment.path for segment in find_segments(folder)]


def segment_lines(path: Path, offset: int = 0) -> Iterator[bytes]:
    """Yield the lines of one segment or slice, newline included, one in memory at a time.

    Only the last one may lack its newline. Of one that is longer than `MAX_LINE_BYTES` the beginning
    comes as a `BrokenLine`, and the next one follows. If a plain file has been compressed since it was listed,
    the compressed one is read.

    Args:
        path: The file; one that ends in `.zst` is unpacked on the way.
        offset: Where the first line begins that is wanted, in bytes of the plain form.

    Raises:
        BadRecord: The file cannot be read, or is damaged.
    """
    number = 0
    with naming(path), open_segment(path) as handle:
        try:
            skip_bytes(handle, offset)
            while line := handle.readline(MAX_LINE_BYTES + 1):
                number += 1
                if not line.endswith(b"\n"):
                    # Its writer may just be at it: by now the rest is there as well.
                    line += handle.readline(MAX_LINE_BYTES + 1 - len(line))
                yield line if len(line) <= MAX_LINE_BYTES else overlong_line(line, handle)
        except Damaged as error:
            raise BadRecord(str(path), number + 1, str(error)) from error


def overlong_line(beginning: bytes, handle: BinaryIO) -> BrokenLine:
    """Return what stands for a line that is too long, and read past its end.

    Args:
        beginning: What was read of it.
        handle: The file, behind that.
    """
    piece = beginning
    while piece and not piece.endswith(b"\n"):
        piece = handle.readline(_SKIPPED_BYTES)
    return broken_line(beginning[:_KEPT_BYTES], f"the line is longer than {MAX_LINE_BYTES} bytes")


def open_segment(path: Path) -> BinaryIO:
    """Return a segment opened for reading, unpacked on the way where it is compressed.

    Raises:
        BadRecord: There is no such file.
        NoZstandard: It is compressed, and `zstandard` is not there.
    """
    if path.suffix != ".zst":
        try:
            check_regular(path)
            return path.open("rb", buffering=_READ_BYTES)
        except (BadRecord, FileNotFoundError):
            packed = path.with_name(f"{path.name}.zst")
            if path.exists() or not packed.exists():
                raise
            path = packed
    check_regular(path)
    return cast("BinaryIO", io.BufferedReader(Unpacked(path), _READ_BYTES))


def skip_bytes(handle: BinaryIO, size: int) -> None:
    """Move on in an open segment by some bytes; behind its end there is nothing to read.

    Raises:
        Damaged: It is compressed, and cannot be unpacked so far.
    """
    if handle.seekable():
        handle.seek(size, io.SEEK_CUR)
        return
    while size and (piece := handle.read(min(size, _READ_BYTES))):
        size -= len(piece)


def _segment(path: Path) -> Segment | None:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    worker, number = int(match[1]), int(match[2])
    is_exact = number > 0 and path.name.removesuffix(".zst") == segment_name(worker, number)
    return Segment(path, worker, number) if is_exact else None


def _is_stray(path: Path) -> bool:
    if _segment(path) is not None or not _LOOKS_LIKE_ONE.fullmatch(path.name):
        return False
    left = _LEFT_BESIDE_ONE.fullmatch(path.name)
    return left is None or _segment(path.with_name(left[1])) is None


def _is_compressed(segment: Segment) -> bool:
    return segment.compressed
