"""Archive checkpoints: what was moved out of a ledger, where it lies, and of which cells it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from pydantic import Field

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, naming, read_object, validated
from cab.scoring.ledger.archive.segments import IN_ARCHIVE, IN_LEDGER, ArchivedCalls
from cab.scoring.ledger.bounds import MAX_LINE_BYTES
from cab.scoring.ledger.filters import Filter
from cab.scoring.ledger.records import Count, Sha256Hex
from cab.scoring.ledger.segments import open_segment
from cab.scoring.ledger.signatures import ARCHIVE_SCHEMA
from cab.scoring.ledger.zstd import Damaged
from cab.scoring.timestamps import instant_us

_Number = Annotated[int, Field(ge=1)]


class ArchivedHead(FileModel):
    """Where the archived part of a chain ends."""

    chain: str
    """Its name, such as `w0`."""
    segment: _Number
    """Number of the last segment that was archived."""
    size_bytes: Count
    """Its size, unpacked."""
    hash: Sha256Hex
    """`hash` of its last line, which the ledger's next line names as its `prev`."""


class ArchivedChain(FileModel):
    """The segments of one chain that were archived."""

    chain: str
    first_segment: _Number
    last_segment: _Number
    records: Count
    """Their lines."""
    prev: Sha256Hex
    """What the first of these lines names as its `prev`."""
    first_hash: Sha256Hex
    """`hash` of the first line that the chain ever had."""
    hash: Sha256Hex
    """`hash` of the last of these lines."""


class ArchiveCheckpoint(FileModel):
    """A checkpoint that stays in the ledger in place of archived segments."""

    checkpoint_schema: Literal["cab.archive/1"] = ARCHIVE_SCHEMA
    number: _Number
    """Counts the archives of a ledger from 1."""
    at: str
    """When it was made, RFC 3339 in UTC."""
    before: str | None
    """Every archived call started before this instant; null if that is not known."""
    folder: str
    """Where the segments were moved."""
    chains: list[ArchivedChain]
    heads: list[ArchivedHead]
    calls: Count
    """Calls whose END is archived."""
    cells: Count
    """Cells that have archived records."""
    cells_sha256: Sha256Hex
    """SHA-256 of the file with the cells and their sums."""
    segments_sha256: Sha256Hex
    """SHA-256 of the file that lists the segments, as `sha256sum` writes it."""


class FoundCheckpoint(NamedTuple):
    """A checkpoint in a folder."""

    path: Path
    record: dict[str, Any]
    """As it is written, with its signature."""
    stated: ArchiveCheckpoint

    @property
    def cells_file(self) -> Path:
        """Where its cells are listed."""
        return self.path.with_name(f"{self.path.name.removesuffix('.json')}.cells.zst")

    @property
    def is_in_archive(self) -> bool:
        """Whether it lies beside the segments that it names."""
        return IN_ARCHIVE.fullmatch(self.path.name) is not None


def checkpoints(folder: Path) -> list[FoundCheckpoint]:
    """Return the archive checkpoints in a ledger or in an archive's folder, by number.

    Raises:
        BadRecord: The folder, or one of them, cannot be read.
    """
    with naming(folder):
        files = [f for f in folder.iterdir() if _is_checkpoint(f)]
    found: list[FoundCheckpoint] = []
    for file in files:
        record = read_object(file)
        found.append(FoundCheckpoint(file, record, validated(ArchiveCheckpoint, record, file)))
    return sorted(found, key=lambda each: each.stated.number)


def cell_rows(checkpoint: FoundCheckpoint) -> Iterator[tuple[str | None, object]]:
    """Yield the cells of a checkpoint, each with the sums of its archived calls, sorted by id.

    Raises:
        BadRecord: The file cannot be read.
    """
    file = checkpoint.cells_file
    try:
        with naming(file), open_segment(file) as handle:
            while line := handle.readline(MAX_LINE_BYTES):
                row = orjson.loads(line)
                yield row["cell_id"], row["sums"]
    except (Damaged, KeyError, TypeError, orjson.JSONDecodeError) as error:
        what = f"{error}; copy it from {checkpoint.stated.folder}"
        raise BadRecord(str(file), None, what) from error


def archived_cells(
    folder: Path, where: Filter
) -> Iterator[tuple[FoundCheckpoint, list[str | None]]]:
    """Yield the checkpoints that may hold calls that a filter admits, with those cells.

    Raises:
        BadRecord: A checkpoint cannot be read.
    """
    ours = Filter(where.cell, where.prefix)
    for found in checkpoints(folder) if folder.is_dir() else ():
        before = found.stated.before
        late = where.since_us is not None and before is not None
        if found.is_in_archive or (late and instant_us(str(before)) <= (where.since_us or 0)):
            continue
        cells = [cell for cell, _ in cell_rows(found) if ours.admits({"cell_id": cell})]
        if cells:
            yield found, cells


def archived_calls(folder: Path, where: Filter) -> ArchivedCalls | None:
    """Return an error that names the archives with calls that a filter may admit; None without any.

    Raises:
        BadRecord: A checkpoint cannot be read.
    """
    parts: list[str] = []
    for found, cells in archived_cells(folder, where):
        number, place = found.stated.number, found.stated.folder
        parts.append(f"{_named(cells)} in checkpoint {number} ({place})")
    if not parts:
        return None
    what = f"archived, and not counted here: calls of {'; of '.join(parts)}"
    return ArchivedCalls(str(folder), None, f"{what}; cab ledger restore brings them back")


def _named(cells: list[str | None]) -> str:
    name = "no cell" if cells[0] is None else f"cell {cells[0]!r}"
    return name if len(cells) == 1 else f"{len(cells):,} cells, such as {name},"


def _is_checkpoint(file: Path) -> bool:
    return any(form.fullmatch(file.name) for form in (IN_LEDGER, IN_ARCHIVE))
