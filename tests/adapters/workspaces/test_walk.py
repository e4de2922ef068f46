"""Passes over workspaces that an agent has filled with whatever hurts."""

import os
import socket
import tempfile
from pathlib import Path
from threading import Event

import pytest

from cab.adapters.workspaces.bounds import WorkspaceBounds
from cab.adapters.workspaces.folders import folder_id
from cab.adapters.workspaces.tree import walk_tree
from cab.adapters.workspaces.walk import (
    PIECE_BYTES,
    Unread,
    WalkedEntry,
    WalkStopped,
    WorkspaceWalk,
)
from cab.scoring.evidence.manifest import TreeManifest, dump_manifest, load_manifest
from cab.scoring.files import MAX_FILE_BYTES

SPARSE_BYTES = 6 << 30


def bounded(root: Path, **bounds: float) -> TreeManifest:
    """Return a manifest under bounds of one's own; it can be written and read again."""
    manifest = walk_tree(root, bounds=WorkspaceBounds(**bounds))  # type: ignore[arg-type]
    file = root.parent / "manifest.json"
    file.write_bytes(dump_manifest(manifest))
    assert load_manifest(file) == manifest
    return manifest


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


def sparse(file: Path, size: int) -> None:
    with file.open("wb") as handle:
        handle.truncate(size)


def found_in(walk: WorkspaceWalk) -> WalkedEntry:
    return next(iter(walk))


def test_special_files_are_skipped_with_a_reason(root: Path) -> None:
    """Pipes, sockets and links to them are listed and never opened, and it is said why."""
    os.mkfifo(root / "pipe")
    (root / "link").symlink_to("pipe")
    os.link(root / "pipe", root / "hard link")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        manifest = bounded(root)

    assert manifest.skipped == {"pipe": "pipe", "hard link": "pipe", "socket": "socket"}
    assert manifest.entries["link"].target == "pipe"
    assert manifest.incomplete == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to make a device")
def test_devices_are_skipped(root: Path) -> None:
    """A device without an end is never opened."""
    os.mknod(root / "zero", 0o600 | 0o020000, os.makedev(1, 5))

    assert bounded(root).skipped == {"zero": "device"}


def test_a_huge_file_is_not_read(root: Path) -> None:
    """Of a sparse file of 6 GiB the size is known and the content is not."""
    sparse(root / "huge", SPARSE_BYTES)

    manifest = bounded(root)

    assert (manifest.entries["huge"].size, manifest.entries["huge"].sha256) == (SPARSE_BYTES, None)
    assert manifest.skipped == {"huge": "file-size"}


def test_many_large_files_are_read_up_to_a_sum(root: Path) -> None:
    """Hard links to one file cost as much as files: what is over the sum is listed and not read."""
    (root / "a").write_bytes(bytes(600))
    for name in ("b", "c"):
        os.link(root / "a", root / name)

    manifest = bounded(root, total_bytes=1000)

    assert manifest.skipped == {"b": "total-size", "c": "total-size"}
    assert manifest.entries["a"].sha256 is not None
    assert manifest.incomplete == ["total-size"]


def test_more_files_than_are_listed(root: Path) -> None:
    """Files over the number are not listed, those near the top come first, and the list says so."""
    (root / "a").mkdir()
    for number in range(50):
        (root / "a" / str(number)).touch()
    (root / "z").touch()

    manifest = bounded(root, entries=10)

    assert len(manifest.entries) == 10
    assert {"a", "z"} <= manifest.entries.keys()
    assert manifest.incomplete == ["entries"]
    assert len(bounded(root, entries=52).entries) == 52
    assert bounded(root, entries=52).incomplete == []


def test_names_are_listed_up_to_a_size(root: Path) -> None:
    """The names that a manifest holds never make a file that its readers refuse."""
    for number in range(40):
        (root / os.fsdecode(b"%02d" % number + b"\xff" * 200)).symlink_to("\x01" * 1000)

    manifest = bounded(root, listing_bytes=100_000)

    assert manifest.incomplete == ["listing"]
    assert 0 < len(dump_manifest(manifest)) < 100_000
    assert WorkspaceBounds().listing_bytes < MAX_FILE_BYTES // 6  # a cell names a path six times


def test_folders_in_folders(root: Path) -> None:
    """300 folders in each other are listed; beyond the depth, or the longest path, they are skipped."""
    here = os.open(root, os.O_RDONLY)
    for number in range(300):
        name = f"{number:0200}"
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)

    by_path, by_depth = bounded(root), bounded(root, depth=5)

    assert len(by_path.entries) == 4096 // 201
    assert len(by_depth.entries) == 5
    assert list(by_depth.skipped.values()) == list(by_path.skipped.values()) == ["depth"]
    assert by_depth.incomplete == by_path.incomplete == ["depth"]
    assert len(bounded(root, path_bytes=1 << 20).entries) == 300


def test_time_is_bounded(root: Path) -> None:
    """When the time is over the pass ends, and says so."""
    (root / "file").touch()

    assert bounded(root, time_s=0).incomplete == ["time"]


def test_it_stops_when_asked(root: Path) -> None:
    """A pass ends within a piece of a file once it is asked to."""
    sparse(root / "large", 1 << 30)
    stop = Event()
    with WorkspaceWalk(root, stop=stop) as walk:
        pieces = walk.pieces(found_in(walk))
        assert len(next(pieces)) == PIECE_BYTES
        stop.set()
        with pytest.raises(WalkStopped):
            next(pieces)
    with pytest.raises(WalkStopped):
        walk_tree(root, stop=stop)


@pytest.mark.parametrize("to", ["/", "elsewhere"])
def test_a_root_that_became_a_link_is_not_followed(to: str, root: Path) -> None:
    """A link in the workspace's place leads nowhere, and that is recorded."""
    before = folder_id(root)
    (root.parent / "elsewhere").mkdir()
    (root.parent / "elsewhere" / "secret").touch()
    root.rmdir()
    root.symlink_to(to)

    for same in (before, None):
        manifest = walk_tree(root, same=same)

        assert (manifest.entries, manifest.incomplete) == ({}, ["replaced"])


def test_a_root_that_is_another_folder_is_not_entered(root: Path) -> None:
    """A folder that was moved into the workspace's place is not the workspace."""
    before = folder_id(root)
    (root.parent / "elsewhere" / "secret").mkdir(parents=True)
    root.rename(root.parent / "moved")
    (root.parent / "elsewhere").rename(root)

    manifest = walk_tree(root, same=before)

    assert (manifest.entries, manifest.incomplete) == ({}, ["replaced"])
    assert list(walk_tree(root.parent / "moved", same=before).entries) == []


def test_a_folder_that_became_a_link_is_not_followed(root: Path) -> None:
    """A folder that is replaced by a link while the pass is under way is skipped."""
    (root / "sub").mkdir()
    (root.parent / "elsewhere").mkdir()
    (root.parent / "elsewhere" / "secret").touch()
    with WorkspaceWalk(root) as walk:
        paths: list[str] = []
        for found in walk:
            paths.append(found.path)
            (root / "sub").rmdir()
            (root / "sub").symlink_to(root.parent / "elsewhere")

    assert (paths, walk.skipped) == (["sub"], {"sub": "unreadable"})


def read_while_changing(walk: WorkspaceWalk, found: WalkedEntry, file: Path, mode: str) -> None:
    for _ in walk.pieces(found):
        with file.open(mode) as handle:
            handle.write(b"more")


@pytest.mark.parametrize("change", ["grow", "rewrite", "pipe"])
def test_a_file_that_changes_while_it_is_read(change: str, root: Path) -> None:
    """What was read of it is no content of that file: it is skipped, and nothing hangs."""
    file = root / "file"
    file.write_bytes(bytes(3 * PIECE_BYTES))
    with WorkspaceWalk(root) as walk:
        found = found_in(walk)
        if change == "pipe":
            file.unlink()
            os.mkfifo(file)
        with pytest.raises(Unread):
            read_while_changing(walk, found, file, "ab" if change == "grow" else "r+b")

    assert walk.skipped == {"file": "changed"}


def test_two_names_that_are_written_the_same(root: Path) -> None:
    """A name that is not UTF-8 cannot hide another one without being recorded."""
    (root / os.fsdecode(b"caf\xe9")).write_text("one")
    (root / "caf\\xe9").write_text("two")

    assert bounded(root).skipped == {"caf\\xe9": "same-name"}


def test_loops_of_links(root: Path) -> None:
    """Links in circles, hundreds of them, are links and nothing more."""
    (root / "sub").mkdir()
    for number in range(300):
        (root / "sub" / f"up{number}").symlink_to("..")
        (root / f"next{number}").symlink_to(f"next{(number + 1) % 300}")

    manifest = bounded(root)

    assert len(manifest.entries) == 601
    assert (manifest.skipped, manifest.incomplete) == ({}, [])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_unreadable_as_another_user() -> None:
    """Files and folders without permissions are skipped; a root without them is recorded."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "file").write_text("x")
        (root / "file").chmod(0)
        (root / "folder").mkdir(mode=0)
        root.chmod(0o755)
        os.seteuid(65534)
        try:
            manifest = walk_tree(root)
            os.seteuid(0)
            root.chmod(0)
            os.seteuid(65534)
            closed = walk_tree(root)
        finally:
            os.seteuid(0)

    assert manifest.skipped == {"file": "unreadable", "folder": "unreadable"}
    assert (closed.entries, closed.incomplete) == ({}, ["unreadable"])
