"""Moves closed segments out of a ledger, and leaves a checkpoint in their place."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from cab.proxy.clock import Clock
from cab.proxy.errors import BadConfig
from cab.proxy.ledger.archive.choice import choose
from cab.proxy.ledger.archive.files import (
    Step,
    file_sha256,
    locked,
    no_step,
    put_file,
    take_over,
)
from cab.proxy.ledger.archive.moved import MovedLedger
from cab.proxy.ledger.segments import make_folder, sync_folder
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.archive.checkpoints import (
    ArchiveCheckpoint,
    ArchivedChain,
    FoundCheckpoint,
    checkpoints,
)
from cab.scoring.ledger.segments import COMPRESSED_SUFFIX, segment_name
from cab.scoring.ledger.signatures import ARCHIVE_SCHEMA
from cab.scoring.ledger.zstd import Damaged
from cab.scoring.timestamps import rfc3339

Sign = Callable[[dict[str, Any]], dict[str, Any]]


class Archived(NamedTuple):
    """What was done."""

    checkpoint: ArchiveCheckpoint | None
    """The new one; None if there was nothing to archive."""
    segments: int
    """How many were moved."""
    finished: int
    """How many files of an archive that had been interrupted were taken away."""


def archive_ledger(  # noqa: PLR0913 - what a caller decides, and what a test ends
    ledger: Path,
    to: Path,
    sign: Sign | None = None,
    older_than_us: int | None = None,
    clock: Clock | None = None,
    step: Step = no_step,
) -> Archived:
    """Move closed segments of a ledger to another folder; a proxy may write to the ledger meanwhile.

    Args:
        ledger: The ledger.
        to: The folder, made if missing; it may have earlier archives of this ledger.
        sign: Signs the checkpoint.
        older_than_us: Only segments closed before this instant, in microseconds since 1970.
        clock: Stamps the checkpoint.
        step: Is told before each change of the disk.

    Raises:
        BadConfig: The segments do not hold, the ledger is signed and this would not be, or the disk
            refuses; the ledger is as it was.
    """
    with locked(ledger):
        to = to.absolute()
        if to.resolve() == ledger.resolve():
            raise BadConfig(f"{to} is the ledger; give another folder")
        found = checkpoints(ledger)
        finished = sum(_take_away(ledger, each, step) for each in found)
        try:
            chosen = choose(ledger, older_than_us)
            latest = {chain.chain: chain for each in found for chain in each.stated.chains}
            moved = MovedLedger(latest)
            chains = [moved.read(chain) for chain in chosen]
        except Damaged as error:
            raise BadRecord(str(ledger), None, str(error)) from error
        if not chains:
            return Archived(None, 0, finished)
        if sign is None and (moved.signed or any("signature" in each.record for each in found)):
            what = "is signed, so its checkpoint must be: give --seal-key-file"
            raise BadConfig(f"ledger {ledger} {what}")
        _refuse_another_ledger(to, [each.chain for each in chains])
        begins = [chain.next_at for chain in chosen]
        cells, sums = moved.packed_cells(), sha256_sums(moved.sha256)
        number = found[-1].stated.number + 1 if found else 1
        stated = ArchiveCheckpoint(
            number=number,
            at=rfc3339((clock or Clock()).wall_ns()),
            before=max(map(str, begins)) if all(begins) else None,
            folder=str(to),
            chains=[each.chain for each in chains],
            heads=[each.head for each in chains],
            calls=moved.calls,
            cells=moved.cells,
            cells_sha256=hashlib.sha256(cells).hexdigest(),
            segments_sha256=hashlib.sha256(sums).hexdigest(),
        )
        record = stated.model_dump(mode="json", exclude_none=False)
        record = record if sign is None else sign(record)
        _place(to, ledger, moved.sha256, step)
        name = f"{number:06d}"
        put_file(to / f"checkpoint-{name}.sha256", sums, step)
        put_file(to / f"checkpoint-{name}.cells.zst", cells, step)
        put_file(to / f"checkpoint-{name}.json", orjson.dumps(record) + b"\n", step)
        put_file(ledger / f"archived-{name}.cells.zst", cells, step)
        # From here on it is archived.
        file = ledger / f"archived-{name}.json"
        put_file(file, orjson.dumps(record) + b"\n", step)
        _take_away(ledger, FoundCheckpoint(file, record, stated), step)
        return Archived(stated, len(moved.sha256), finished)


def _refuse_another_ledger(to: Path, chains: list[ArchivedChain]) -> None:
    """Keep two ledgers out of one folder: their checkpoints would have the same names."""
    ours = {chain.chain: chain.first_hash for chain in chains}
    for found in checkpoints(to) if to.is_dir() else ():
        if any(
            ours.get(each.chain, each.first_hash) != each.first_hash for each in found.stated.chains
        ):
            raise BadConfig(f"{to} has archives of another ledger; give another folder")


def sha256_sums(sums: dict[str, str]) -> bytes:
    """Return what `sha256sum -c` reads."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()


def _place(to: Path, ledger: Path, sums: dict[str, str], step: Step) -> None:
    step(f"make {to.name}")
    make_folder(to)
    for name, digest in sums.items():
        take_over(ledger / name, to / name, digest, step)
    sync_folder(to)


def _take_away(ledger: Path, found: FoundCheckpoint, step: Step) -> int:
    """Remove the segments of a checkpoint from the ledger; return how many files there were.

    Each must be in the archive: one that is not, is left, and named.
    """
    taken, to = 0, Path(found.stated.folder)
    for name in segment_names(found.stated):
        file = ledger / name
        if not file.exists():
            continue
        copy = to / name
        if not copy.exists() or not (copy.samefile(file) or file_sha256(copy) == file_sha256(file)):
            raise BadConfig(f"{copy} is not {file}; put it back, or run cab ledger restore")
        step(f"remove {file.name}")
        file.unlink()
        taken += 1
    if taken:
        sync_folder(ledger)
    return taken


def segment_names(stated: ArchiveCheckpoint) -> list[str]:
    """Return the names of the files that a checkpoint stands for."""
    names: list[str] = []
    for chain in stated.chains:
        numbers = range(chain.first_segment, chain.last_segment + 1)
        worker = int(chain.chain[1:])
        names += [
            segment_name(worker, n).removesuffix(".jsonl") + COMPRESSED_SUFFIX for n in numbers
        ]
    return names


__all__ = ["ARCHIVE_SCHEMA", "Archived", "archive_ledger", "segment_names", "sha256_sums"]
