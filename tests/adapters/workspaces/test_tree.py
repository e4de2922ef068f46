"""Tree manifests of odd workspaces."""

import hashlib
import os
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from cab.adapters.workspaces.tree import walk_tree
from cab.adapters.workspaces.walk import readable_name
from cab.scoring.evidence.manifest import diff_trees, dump_manifest, load_manifest

NOBODY = 65534


@pytest.fixture
def open_folder() -> Generator[Path]:
    """A folder that any user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_files_links_folders(tmp_path: Path) -> None:
    """Files have size, digest and mode; links their target; folders are listed too."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "lib.rs").write_bytes(b"fn main() {}\n")
    (tmp_path / "run.sh").write_bytes(b"")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("src/lib.rs")

    entries = walk_tree(tmp_path).entries

    assert list(entries) == ["link", "run.sh", "src", "src/lib.rs"]
    assert entries["src/lib.rs"].sha256 == hashlib.sha256(b"fn main() {}\n").hexdigest()
    assert (entries["src/lib.rs"].type, entries["src/lib.rs"].size) == ("file", 13)
    assert (entries["run.sh"].size, entries["run.sh"].mode) == (0, 0o755)
    assert (entries["link"].type, entries["link"].target) == ("symlink", "src/lib.rs")
    assert (entries["src"].type, entries["src"].sha256) == ("dir", None)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link to a folder outside, or in a circle, or to nothing, is just a link."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (root / "out").symlink_to(outside)
    (root / "circle").symlink_to(".")
    (root / "nowhere").symlink_to("gone")

    entries = walk_tree(root).entries

    assert {path: entry.type for path, entry in entries.items()} == {
        "circle": "symlink",
        "nowhere": "symlink",
        "out": "symlink",
    }


def test_git_is_not_listed(tmp_path: Path) -> None:
    """What git keeps is not listed, at the top or further down; that it is there is."""
    (tmp_path / ".git" / "objects").mkdir(parents=True)
    (tmp_path / "sub" / ".git").mkdir(parents=True)
    (tmp_path / "sub" / ".git" / "HEAD").write_text("ref")
    (tmp_path / "sub" / "file").write_text("x")

    manifest = walk_tree(tmp_path)

    assert manifest.git_dir
    assert list(manifest.entries) == ["sub", "sub/.git", "sub/file"]
    assert not walk_tree(tmp_path / "sub" / ".git").git_dir


def test_git_file(tmp_path: Path) -> None:
    """The file `.git` of a work tree counts as well."""
    (tmp_path / ".git").write_text("gitdir: elsewhere")

    assert walk_tree(tmp_path).git_dir
    assert not walk_tree(tmp_path).entries


def test_special_files(tmp_path: Path) -> None:
    """A pipe or a socket is recorded and never opened: that could block for ever."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        entries = walk_tree(tmp_path).entries

    assert {path: (entry.type, entry.sha256) for path, entry in entries.items()} == {
        "pipe": ("file", None),
        "socket": ("file", None),
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_unreadable_as_another_user(open_folder: Path) -> None:
    """A file that cannot be read has no digest, a folder that cannot be read is just listed."""
    (open_folder / "file").write_text("x")
    (open_folder / "file").chmod(0)
    (open_folder / "folder").mkdir(mode=0o700)
    (open_folder / "folder" / "inside").write_text("x")
    (open_folder / "names only").mkdir()
    (open_folder / "names only" / "inside").write_text("x")
    (open_folder / "names only").chmod(0o744)
    os.seteuid(NOBODY)
    try:
        entries = walk_tree(open_folder).entries
    finally:
        os.seteuid(0)

    assert list(entries) == ["file", "folder", "names only"]
    assert (entries["file"].size, entries["file"].sha256) == (1, None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(tmp_path: Path) -> None:
    """A file that cannot be read has no digest."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "file").chmod(0)

    assert walk_tree(tmp_path).entries["file"].sha256 is None


def test_odd_names(tmp_path: Path) -> None:
    """Names in any script, with line feeds, or that are not UTF-8, come back from the file."""
    names = [b"caf\xc3\xa9.txt", b"\xe6\x97\xa5\xe6\x9c\xac", b"a\nb", b'"quoted"', b"latin-\xe9"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_text("x")
    file = tmp_path.parent / f"{tmp_path.name}.json"

    manifest = walk_tree(tmp_path)
    file.write_bytes(dump_manifest(manifest))

    assert load_manifest(file) == manifest
    assert set(manifest.entries) == {"café.txt", "日本", "a\nb", '"quoted"', "latin-\\xe9"}


def test_readable_name() -> None:
    """Only what is not UTF-8 is escaped."""
    assert readable_name("café/日本") == "café/日本"
    assert readable_name(os.fsdecode(b"caf\xe9")) == "caf\\xe9"


def test_vanished_root(tmp_path: Path) -> None:
    """A workspace that the agent has removed is empty."""
    manifest = walk_tree(tmp_path / "gone")

    assert (manifest.entries, manifest.git_dir) == ({}, False)


def test_changes_show(tmp_path: Path) -> None:
    """What an agent adds, changes and removes shows as just that."""
    for name in ("same", "changed", "removed"):
        (tmp_path / name).write_text("x")
    before = walk_tree(tmp_path)
    (tmp_path / "changed").write_text("y")
    (tmp_path / "removed").unlink()
    (tmp_path / "added").symlink_to("same")

    diff = diff_trees(before, walk_tree(tmp_path))

    assert diff == (["added"], ["removed"], ["changed"])
