"""Copies of this tree, as a checkout has it: builds write beside their sources."""

import shutil
from pathlib import Path

from tests.tools.programs import run

ROOT = Path(__file__).parents[2]
ROOMS = ("adapters", "proxy", "scoring")


def repository_files() -> list[str]:
    """Return paths of tracked files and of what is new in the rooms, relative to the repository's folder.

    What else is new is not ours to read: other tests and tools write beside the rooms, and what they write goes again.
    """
    tracked = run("git", "ls-files", "--cached", cwd=ROOT)
    new = run("git", "ls-files", "--others", "--exclude-standard", *ROOMS, cwd=ROOT)
    return [name for name in (tracked + new).splitlines() if (ROOT / name).exists()]


def copy_checkout(folder: Path) -> Path:
    """Copy those files into a folder, and return it."""
    for name in repository_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder
