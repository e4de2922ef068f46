"""What the proxy kept of a cell's bodies, moved from its ledger into the cell's bundle."""

import asyncio
import shutil
import time
from pathlib import Path

from cab.scoring.capture import cell_folder_name
from cab.scoring.capture.layout import FOLDER, lines_files

_LOOK_S = 0.02
_LIMIT_S = 5.0
"""Bodies are written a moment after their records; what was lost never comes."""


async def take_capture(ledger: Path, cell_id: str, calls: int, bundle: Path) -> None:
    """Move what a ledger's capture holds of a sealed cell into its bundle.

    So there is one copy of it, and who deletes the bundle has deleted all.

    Args:
        ledger: Of the proxy that made the calls.
        cell_id: The cell.
        calls: How many calls it has.
        bundle: The bundle's folder.
    """
    folder = ledger / FOLDER / cell_folder_name(cell_id)
    await asyncio.to_thread(_wait_for_lines, folder, calls)
    await asyncio.to_thread(_move, folder, bundle / FOLDER)


def _wait_for_lines(folder: Path, calls: int) -> None:
    # Their writer may be in another process, and says nothing when it is done.
    end_s = time.monotonic() + _LIMIT_S
    while _count_lines(folder) < calls and time.monotonic() < end_s:
        time.sleep(_LOOK_S)


def _count_lines(folder: Path) -> int:
    try:
        return sum(file.read_bytes().count(b"\n") for file in lines_files(folder))
    except FileNotFoundError:
        return 0


def _move(folder: Path, target: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        target.mkdir(mode=0o700, exist_ok=True)
        shutil.move(folder, target / folder.name)
