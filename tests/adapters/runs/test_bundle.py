"""The folder of a cell: claim_bundle, marked, completed."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from cab.adapters.errors import AdapterError, BundleExists
from cab.adapters.processes.cleanup import CleanupPlan
from cab.adapters.runs import bundle
from cab.adapters.runs.bundle import (
    MARKER,
    BundleWriter,
    claim_bundle,
    is_complete,
    read_marker,
    require_free,
)
from cab.proxy.redaction import Redactor


def filled(bundle: Path) -> Path:
    """Bring a cell to its end and return its folder."""
    with claim_bundle(bundle, force=False):
        BundleWriter(bundle, Redactor([])).write("cell.json", b"{}")
    return bundle


def break_off(bundle: Path) -> None:
    """Begin a cell and leave it half written."""
    with claim_bundle(bundle, force=False):
        BundleWriter(bundle, Redactor([])).write("stdout.txt", b"half")
        (bundle / "ledger").mkdir()
        (bundle / "ledger" / "w0.jsonl").write_text("x")
        raise KeyboardInterrupt


def test_marked_until_complete(tmp_path: Path) -> None:
    """While it is written a bundle is marked, and afterwards it is complete."""
    bundle = tmp_path / "a" / "b"
    with claim_bundle(bundle, force=False):
        assert (bundle / MARKER).exists()
        BundleWriter(bundle, Redactor([])).write("cell.json", b"{}")
        assert not is_complete(bundle)

    assert is_complete(bundle)
    assert [file.name for file in bundle.iterdir()] == ["cell.json"]


def test_interrupted_is_not_complete(tmp_path: Path) -> None:
    """A run that broke off leaves its marker; the next one starts from nothing."""
    with pytest.raises(KeyboardInterrupt):
        break_off(tmp_path)

    assert not is_complete(tmp_path)
    require_free(tmp_path, force=False)
    with claim_bundle(tmp_path, force=False):
        assert [file.name for file in tmp_path.iterdir()] == [MARKER]


def test_not_overwritten(tmp_path: Path) -> None:
    """A complete bundle is not overwritten without force, and stays complete."""
    bundle = filled(tmp_path / "cell")

    with pytest.raises(BundleExists, match=r"give --run N for one more run, or --force"):
        require_free(bundle, force=False)
    with pytest.raises(BundleExists), claim_bundle(bundle, force=False):
        pytest.fail("the block must not run")

    assert is_complete(bundle)


def test_forced(tmp_path: Path) -> None:
    """With force the old cell goes; a file that somebody else put there stays."""
    bundle = filled(tmp_path / "cell")
    (bundle / "notes.md").write_text("mine")
    (bundle / "capture").mkdir()

    require_free(bundle, force=True)
    with claim_bundle(bundle, force=True):
        assert not (bundle / "cell.json").exists()
        assert not (bundle / "capture").exists()
        assert (bundle / "notes.md").read_text() == "mine"


def test_one_writer(tmp_path: Path) -> None:
    """Two runs of the same cell at once: the second one is refused."""
    with claim_bundle(tmp_path, force=False):
        with (
            pytest.raises(BundleExists, match="is being written by another run"),
            claim_bundle(tmp_path, force=False),
        ):
            pytest.fail("the block must not run")
        assert (tmp_path / MARKER).exists()


def test_marker_removed(tmp_path: Path) -> None:
    """A marker that its holder has just removed cannot be claimed: the cell is complete."""
    with (tmp_path / MARKER).open("a") as marker:
        (tmp_path / MARKER).unlink()
        with pytest.raises(BundleExists, match="was finished by another run just now"):
            bundle._lock(marker, tmp_path)


def test_cell_without_its_last_step(tmp_path: Path) -> None:
    """`cell.json` is written last: a bundle that has it lacks nothing but the marker's removal."""
    bundle = filled(tmp_path / "cell")
    (bundle / MARKER).touch()

    assert not is_complete(bundle)
    with pytest.raises(BundleExists), claim_bundle(bundle, force=False):
        pytest.fail("the block must not run")
    assert is_complete(bundle)


def test_cannot_be_written(tmp_path: Path) -> None:
    """A folder that cannot be made is named, with the option that fixes it."""
    (tmp_path / "file").write_text("x")

    with (
        pytest.raises(AdapterError, match=r"cannot be written: .*--runs"),
        claim_bundle(tmp_path / "file" / "cell", force=False),
    ):
        pytest.fail("the block must not run")


def test_writer_redacts(tmp_path: Path) -> None:
    """Whatever is written, no secret is in it, and no half file is left."""
    writer = BundleWriter(tmp_path, Redactor(["the-secret-key"]))

    writer.write("stdout.txt", b"key: the-secret-key")

    assert (tmp_path / "stdout.txt").read_bytes() == b"key: [redacted]"
    assert [file.name for file in tmp_path.iterdir()] == ["stdout.txt"]


def test_marker_says_how_far(tmp_path: Path) -> None:
    """A marker holds the phase and what to clean up, which the next claim gets."""
    cleanup = CleanupPlan(leader=7, mark="the mark of a run", container="cab-1", engine="docker")
    with suppress(RuntimeError), claim_bundle(tmp_path, force=False) as claim:
        assert claim.previous is None
        claim.note("agent", cleanup)
        claim.note("checks")
        raise RuntimeError

    marker = read_marker(tmp_path)
    assert marker is not None
    assert (marker.pid, marker.phase) == (os.getpid(), "checks")
    assert marker.cleanup == cleanup.lasting
    assert b'"leftovers":' in (tmp_path / MARKER).read_bytes()  # markers of earlier versions
    assert marker.cleanup.leader is None  # after a restart the number is somebody else's
    with claim_bundle(tmp_path, force=False) as claim:
        assert claim.previous == cleanup.lasting
    assert read_marker(tmp_path) is None


def test_empty_marker(tmp_path: Path) -> None:
    """An empty marker, or one that another program wrote, marks the bundle all the same."""
    for text in ("", "{}", "x"):
        (tmp_path / MARKER).write_text(text)

        assert read_marker(tmp_path) is None
        with suppress(RuntimeError), claim_bundle(tmp_path, force=False) as claim:
            assert claim.previous is None
            raise RuntimeError
    assert not is_complete(tmp_path)
