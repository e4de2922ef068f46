"""Removing what agents leave."""

import os
import select
import subprocess
from pathlib import Path

import pytest

from cab.adapters.workspaces import removal
from cab.adapters.workspaces.removal import remove_soon, remove_tree
from tests.tools import unprivileged


def nest(folder: Path, depth: int) -> None:
    """Make folders in folders, with a file in each."""
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.close(os.open("file", os.O_CREAT, dir_fd=here))
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_deep_and_wide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders nested deeper than any path, and more files than are held in memory, are removed."""
    monkeypatch.setattr(removal, "_AT_ONCE", 7)
    nest(tmp_path / "deep", 2100)
    for number in range(40):
        (tmp_path / "deep" / str(number)).touch()

    assert remove_tree(tmp_path / "deep")
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link is removed, and what it leads to stays; so it is where the folder itself is one."""
    (tmp_path / "kept" / "file").mkdir(parents=True)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "itself").symlink_to(tmp_path / "kept")

    assert remove_tree(tmp_path / "folder")
    assert remove_tree(tmp_path / "itself")
    assert remove_tree(tmp_path / "gone")

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").is_dir()


def test_without_permissions() -> None:
    """Folders that nobody may enter are removed by a user who is not root."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from cab.adapters.workspaces.removal import remove_tree\n"
        "root = Path(sys.argv[1], 'x'); (root / 'locked' / 'sub').mkdir(parents=True)\n"
        "(root / 'locked' / 'sub').chmod(0); (root / 'locked').chmod(0); root.chmod(0o500)\n"
        "print(remove_tree(root))\n"
    )
    with unprivileged.open_folder() as folder:
        words = [unprivileged.python(), "-P", "-c", code, str(folder)]

        assert unprivileged.run(words, folder).stdout == "True\n"


def test_what_an_agent_made_immutable(tmp_path: Path) -> None:
    """Who may freeze files may thaw them: frozen files and folders, and logs that may only grow, go.

    Where this user or this disk knows no such flags, an agent cannot set any, and all goes anyway.
    """
    nest(tmp_path / "frozen", 2)
    (tmp_path / "frozen" / "log").touch()
    marks = [("d/file", "i"), ("d/d", "i"), ("d", "i"), ("log", "a"), (".", "i")]
    set_now = [frozen(tmp_path / "frozen" / name, flag) for name, flag in marks]
    if all(set_now):
        with pytest.raises(PermissionError):
            (tmp_path / "frozen" / "log").unlink()

    assert remove_tree(tmp_path / "frozen")
    assert list(tmp_path.iterdir()) == []
    assert len(set(set_now)) == 1


def frozen(path: Path, flag: str) -> bool:
    """Set a flag as `chattr` does; return whether it could be set."""
    words = ["chattr", f"+{flag}", str(path)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_what_takes_long_goes_on_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal that takes too long does not hold up the run: a process of its own ends it."""
    monkeypatch.setattr(removal, "AT_ONCE_S", 0)
    nest(tmp_path / "large", 10)
    before = children()

    remove_soon(tmp_path / "large")

    (child,) = children() - before
    process = os.pidfd_open(child)
    select.select([process], [], [], 60)
    os.close(process)
    os.waitpid(child, 0)
    assert list(tmp_path.iterdir()) == []


def children() -> set[int]:
    listing = Path("/proc/self/task").glob("*/children")
    return {int(child) for each in listing for child in each.read_text().split()}
