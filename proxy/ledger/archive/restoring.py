"""Brings archived segments back into their ledger."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from cab.proxy.errors import BadConfig
from cab.proxy.ledger.archive.archiving import segment_names, sha256_sums
from cab.proxy.ledger.archive.files import Step, file_sha256, locked, no_step, take_over
from cab.proxy.ledger.segments import sync_folder
from cab.scoring.ledger.archive.checkpoints import ArchiveCheckpoint, FoundCheckpoint, checkpoints


class Restored(NamedTuple):
    """What was brought back."""

    checkpoints: list[ArchiveCheckpoint]
    """The newest first."""
    segments: int


def restore_ledger(
    ledger: Path, source: Path | None = None, number: int | None = None, step: Step = no_step
) -> Restored:
    """Bring archived segments back, newest archive first; a proxy may write to the ledger meanwhile.

    Args:
        ledger: The ledger.
        source: Where the archives are now; None: where they were moved.
        number: The oldest checkpoint that is to be undone; None: only the newest.
        step: Is told before each change of the disk.

    Raises:
        BadConfig: There is no such checkpoint, its files are not what they were, or the disk refuses.
    """
    with locked(ledger):
        found = checkpoints(ledger)
        known = [each.stated.number for each in found]
        if not known or (number is not None and number not in known):
            named = "no archive checkpoint" if number is None else f"no archive checkpoint {number}"
            raise BadConfig(f"ledger {ledger} has {named}: nothing to restore")
        last = known[-1] if number is None else number
        undone = [each for each in reversed(found) if each.stated.number >= last]
        count = sum(_undo(ledger, each, source, step) for each in undone)
        return Restored([each.stated for each in undone], count)


def _undo(ledger: Path, found: FoundCheckpoint, source: Path | None, step: Step) -> int:
    folder = Path(found.stated.folder) if source is None else source
    sums: dict[str, str] = {}
    for name in segment_names(found.stated):
        if not (folder / name).is_file():
            raise BadConfig(f"{folder / name} is missing; say with --from where the archive is")
        sums[name] = file_sha256(folder / name)
    if hashlib.sha256(sha256_sums(sums)).hexdigest() != found.stated.segments_sha256:
        listed = f"checkpoint-{found.stated.number:06d}.sha256"
        what = f"the segments in {folder} are not those that were archived"
        raise BadConfig(f"{what}; sha256sum -c {listed} there says which")
    for name, digest in sums.items():
        take_over(folder / name, ledger / name, digest, step)
    sync_folder(ledger)
    step(f"remove {found.path.name}")
    found.path.unlink()  # from here on they are segments of the ledger again
    sync_folder(ledger)
    step(f"remove {found.cells_file.name}")
    found.cells_file.unlink(missing_ok=True)
    return len(sums)
