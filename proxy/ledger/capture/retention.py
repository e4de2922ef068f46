"""What goes from a capture, and when: cells that are too old, and the oldest where it is too large.

All of it is safe beside proxies that write: a cell's folder is renamed first, so that whoever writes next
begins a new one, and is removed then.
"""

import os
import secrets
import shutil
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
    return sorted(map(_stored, folders), key=lambda cell: (cell.written_ns, cell.folder.name))


def delete_cell(capture: Path, cell_id: str | None) -> bool:
    """Remove what a capture holds of a cell; return whether it held anything.

    Raises:
        OSError: It cannot be removed.
    """
    folder = capture / cell_folder_name(cell_id)
    if not folder.is_dir():
        return False
    _remove(folder)
    return True


def prune(
    capture: Path, *, before_ns: int | None = None, max_bytes: int | None = None
) -> list[StoredCell]:
    """Remove cells that are too old, and then the oldest until the rest is small enough.

    Args:
        capture: The capture's folder.
        before_ns: Cells last written before this time go, in Unix time.
        max_bytes: How large the rest may be.

    Returns:
        What was removed.

    Raises:
        OSError: Something cannot be removed.
    """
    _remove_leftovers(capture)
    cells = stored_cells(capture)
    left = sum(cell.bytes for cell in cells)
    gone = list[StoredCell]()
    for cell in cells:
        is_old = before_ns is not None and cell.written_ns < before_ns
        if not is_old and (max_bytes is None or left <= max_bytes):
            continue
        _remove(cell.folder)
        left -= cell.bytes
        gone.append(cell)
    return gone


def _stored(folder: Path) -> StoredCell:
    size_bytes = written_ns = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                facts = entry.stat(follow_symlinks=False)
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


def _remove_leftovers(capture: Path) -> None:
    try:
        left = [path for path in capture.iterdir() if path.name.startswith(_GONE)]
    except FileNotFoundError:
        return
    for folder in left:
        _remove_tree(folder)


def _remove_tree(folder: Path) -> None:
    # A call that was being written when the folder was renamed may put a file there meanwhile.
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
    shutil.rmtree(folder)
