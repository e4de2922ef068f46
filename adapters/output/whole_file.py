"""Files that are there whole or not at all: written beside their place, and moved there at the end."""

import os
from pathlib import Path


def partial_of(file: Path) -> Path:
    """Return where a file is written until it is whole."""
    return file.with_name(f"{file.name}.part")


def put_in_place(file: Path) -> None:
    """Move what was written to `partial_of(file)` to its place; its bytes reach the disk first."""
    partial = partial_of(file)
    with partial.open("rb") as handle:
        os.fsync(handle.fileno())
    partial.replace(file)


def write_whole(file: Path, data: bytes) -> None:
    """Write a file, or leave the old one."""
    partial_of(file).write_bytes(data)
    put_in_place(file)
