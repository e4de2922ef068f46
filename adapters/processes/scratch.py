"""Temporary folders that agents, or their code, write to."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from cab.adapters.processes.cleanup import SCRATCH_PREFIX
from cab.adapters.workspaces.removal import remove_soon


@contextmanager
def scratch_folder(name: str, *, keep: bool = False) -> Generator[Path]:
    """Make a folder that only this user can enter, and remove it afterwards.

    Args:
        name: Part of its name.
        keep: Do not remove it.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{SCRATCH_PREFIX}{name}-"))
    try:
        yield folder
    finally:
        if not keep:
            remove_soon(folder)
