"""The files of a ledger: which they are, in what order, and their lines, plain or compressed.

A segment is `w<worker>-<number>.jsonl`, such as `w0-000001.jsonl`; once closed it may be compressed to
`w0-000001.jsonl.zst`. Segments of one worker are one chain, and follow each other by number.
"""

import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from cab.scoring.errors import BadRecord
from cab.scoring.files import check_regular, naming
from cab.scoring.ledger.bounds import MAX_LINE_BYTES, BrokenLine, broken_line
from cab.scoring.ledger.zstd import Damaged, Unpacked

PLAIN_SUFFIX = ".jsonl"
COMPRESSED_SUFFIX = ".jsonl.zst"

_NAME = re.compile(r"(?P<chain>.+)-(?P<number>[0-9]+)", re.DOTALL)
_WORKER = re.compile(r"w(?P<worker>[0-9]+)")
_READ_BYTES = 1 << 18
_SKIPPED_BYTES = 1 << 16
_KEPT_BYTES = 1 << 14
"""Of a line that is too long: enough to see which call it is of."""


class Segment(NamedTuple):
    """One segment of a ledger."""

    path: Path
    """The file, plain where both forms are there: only a plain one is ever half made."""
    chain: str
    """Who writes it, such as `w0`; a file with another form of name is a chain of its own."""
    number: int | None = None
    """Its place in the chain, None where the name states none."""
    worker: int | None = None
    """Number of the worker that writes it, None where the name is not exactly a segment's."""

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


def segments_among(files: Iterable[Path]) -> list[Segment]:
    """Return the segments among the files of a folder in the ledger's order, each once."""
    paths = {file.name: file for file in files}
    plain = [name for name in paths if name.endswith(PLAIN_SUFFIX)]
    packed = [
        name
        for name in paths
        if name.endswith(COMPRESSED_SUFFIX) and name.removesuffix(".zst") not in paths
    ]
    return sorted((_segment(paths[name]) for name in [*plain, *packed]), key=_order)


def segment_files(folder: Path) -> list[Path]:
    """Return the files of a ledger folder in the ledger's order, each segment once.

    A segment that is there plain and compressed counts once, as the plain file.

    Raises:
        BadRecord: The folder cannot be listed.
    """
    return [segment.path for segment in find_segments(folder)]


def segment_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of one segment or slice, newline included, one in memory at a time.

    Only the last one may lack its newline. Of one that is longer than `MAX_LINE_BYTES` the beginning
    comes as a `BrokenLine`, and the next one follows. If a plain file has been compressed since it was listed,
    the compressed one is read.

    Args:
        path: The file; one that ends in `.zst` is unpacked on the way.

    Raises:
        BadRecord: The file cannot be read, or is damaged.
    """
    number = 0
    with naming(path), open_segment(path) as handle:
        try:
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


def _segment(path: Path) -> Segment:
    stem = path.name.removesuffix(".zst").removesuffix(PLAIN_SUFFIX)
    match = _NAME.fullmatch(stem)
    if match is None:
        return Segment(path, stem)
    chain, number = match["chain"], int(match["number"])
    worker = _worker(chain)
    exact = worker is not None and segment_name(worker, number) == f"{stem}{PLAIN_SUFFIX}"
    return Segment(path, chain, number, worker if exact else None)


def _worker(chain: str) -> int | None:
    match = _WORKER.fullmatch(chain)
    return int(match["worker"]) if match else None


def _order(segment: Segment) -> tuple[int, str, int, str]:
    # Workers by their number: w10 comes after w2.
    worker = _worker(segment.chain)
    number = segment.number or 0
    return -1 if worker is None else worker, segment.chain, number, segment.path.name
