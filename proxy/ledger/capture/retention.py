"""What goes from a capture, and when: cells that are too old, and the oldest where it is too large.

All of it is safe beside proxies that write: a cell's folder is renamed first, so that whoever writes next
begins a new one, and is removed then.
"""

import os
import secrets
import shutil
from collections.abc import Callable
from os.path import lexists
from pathlib import Path
from typing import NamedTuple

from cab.scoring.capture.layout import cell_folder_name, cell_folders

_GONE = ".deleted-"
"""Prefix of folders that are being removed; a kill may leave some."""


class StoredCell(NamedTuple):
    """A cell's folder as the disk has it."""

    folder: Path
    bytes: int
    written_ns: int
    """When it was last written, in Unix time; 0 if it is empty."""


def stored_cells(capture: Path) -> list[StoredCell]:
    """Return the cells of a capture, the one written longest ago first; none if there is no capture."""
    try:
        folders = cell_folders(capture)
    except FileNotFoundError:
        return []
    return sorted(map(stored_cell, folders), key=lambda cell: (cell.written_ns, cell.folder.name))


def delete_cell(capture: Path, cell_id: str | None) -> bool:
    """Remove what a capture holds of a cell; return whether it held anything.

    Raises:
        OSError: It cannot be removed.
    """
    folder = capture / cell_folder_name(cell_id)
    if not lexists(folder):
        return False
    _remove(folder)
    return True


def prune(
    capture: Path, *, before_ns: int | None = None, max_bytes: int | None = None
) -> list[StoredCell]:
    """Remove cells that are too old, and then the oldest until the rest is small enough.

    What cannot be removed keeps nothing else from being removed.

    Args:
        capture: The capture's folder.
        before_ns: Cells last written before this time go, in Unix time.
        max_bytes: How large the rest may be.

    Returns:
        What was removed.

    Raises:
        OSError: Something cannot be removed.
    """
    faults = list[OSError]()
    for left_over in _left_over(capture):
        _try(_remove_tree, left_over, faults)
    cells = stored_cells(capture)
    left = sum(cell.bytes for cell in cells)
    gone = list[StoredCell]()
    for cell in cells:
        is_old = before_ns is not None and cell.written_ns < before_ns
        if not is_old and (max_bytes is None or left <= max_bytes):
            continue
        if _try(_remove, cell.folder, faults):
            left -= cell.bytes
            gone.append(cell)
    if faults:
        raise faults[0]
    return gone


def _try(remove: Callable[[Path], None], path: Path, faults: list[OSError]) -> bool:
    try:
        remove(path)
    except OSError as error:
        faults.append(error)
        return False
    return True


def stored_cell(folder: Path) -> StoredCell:
    """Return what the disk has of a cell's folder, which others may remove meanwhile."""
    size_bytes = written_ns = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    facts = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                size_bytes += facts.st_size
                written_ns = max(written_ns, facts.st_mtime_ns)
    except FileNotFoundError:  # somebody else removes it
        pass
    return StoredCell(folder, size_bytes, written_ns)


def _remove(folder: Path) -> None:
    gone = folder.with_name(f"{_GONE}{secrets.token_hex(8)}")
    try:
        folder.rename(gone)
    except FileNotFoundError:
        return
    _remove_tree(gone)


def _left_over(capture: Path) -> list[Path]:
    try:
        return [path for path in capture.iterdir() if path.name.startswith(_GONE)]
    except FileNotFoundError:
        return []


def _remove_tree(folder: Path) -> None:
    if folder.is_symlink() or not folder.is_dir():
        # Agents may share the disk: a link goes, and never what it leads to.
        folder.unlink(missing_ok=True)
        return
    # A call that was being written when the folder was renamed may put a file there meanwhile.
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
    shutil.rmtree(folder)
