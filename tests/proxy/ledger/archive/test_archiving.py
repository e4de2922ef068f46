"""An archived ledger verifies, its budgets stay spent, and no kill at any point loses a line."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cab.proxy.control.sealing import slice_lines
from cab.proxy.errors import BadConfig, Rejected
from cab.proxy.http.error_responses import error_response_for
from cab.proxy.ledger.archive import files
from cab.proxy.ledger.archive.archiving import archive_ledger
from cab.proxy.ledger.archive.restoring import restore_ledger
from cab.proxy.ledger.recovery import recover
from cab.scoring import iter_records, total_cells
from cab.scoring.ledger.archive.segments import ArchivedCalls
from cab.scoring.ledger.reading import find_records
from cab.scoring.ledger.segments import find_segments
from cab.scoring.ledger.signatures import sign_seal
from cab.scoring.ledger.slices import cell_lines
from cab.scoring.ledger.verify import verify_ledger
from tests.proxy.ledger.snapshot.ledgers import AT, Lines, put, state_of, written
from tests.proxy.ledger.snapshot.test_snapshot import caught_up

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CELLS = ("s/a", "s/b", "s/c")


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """A ledger of two chains with several segments, line by line."""
    return written(tmp_path_factory.mktemp("written"), 3)


@pytest.fixture
def ledger(tmp_path: Path, lines: Lines) -> Path:
    """The same on disk, closed segments compressed, recovered after its crash."""
    folder = put(tmp_path / "ledger", lines, packed=True)
    recover(folder, AT)
    return folder


def signed(record: dict[str, object]) -> dict[str, object]:
    return sign_seal(record, KEY)


def content(folder: Path) -> dict[str, str]:
    """Return the segments of a folder, and what is in them."""
    found = find_segments(folder)
    return {each.path.name: hashlib.sha256(each.path.read_bytes()).hexdigest() for each in found}


def killed_at(count: int, work: Callable[[files.Step], object]) -> bool:
    """Do something in a process that ends before its change of the disk with this number."""
    child = os.fork()
    if child == 0:
        seen = 0

        def step(_: str) -> None:
            nonlocal seen
            if seen == count:
                os._exit(9)
            seen += 1

        try:
            work(step)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_an_archived_ledger_verifies_and_is_restored(ledger: Path, tmp_path: Path) -> None:
    """Ledger and archive verify with the public key, a second time too; restoring gives the same files."""
    to, before = tmp_path / "archive", content(ledger)
    done = archive_ledger(ledger, to, signed, clock=AT)
    assert done.checkpoint
    assert done.segments == len(before) - 2  # the open one of each chain stays
    for folder in (ledger, to):
        found = verify_ledger(folder, public_key=KEY.public_key())
        assert found.faults == ()
        assert not any("archive checkpoint" in what for what in found.not_checked)
    assert verify_ledger(ledger).exit_code == 3  # nobody looked at the signature
    assert not content(ledger).keys() & content(to).keys()
    assert archive_ledger(ledger, to, signed).checkpoint is None
    restore_ledger(ledger)
    assert content(ledger) == before


def test_a_checkpoint_that_was_changed_or_removed_is_found(ledger: Path, tmp_path: Path) -> None:
    """Without it segments are missing; changed, its signature does not hold; unsigned is not enough."""
    archive_ledger(ledger, tmp_path / "archive", signed)
    file = ledger / "archived-000001.json"
    whole = file.read_bytes()
    public = KEY.public_key()
    file.write_bytes(whole.replace(b'"calls":', b'"calls":1'))
    assert any(
        "changed after it was signed" in f.what for f in verify_ledger(ledger, None, public).faults
    )
    file.write_bytes(whole.replace(b'"signature"', b'"unsigned"'))
    assert any("not signed" in f.what for f in verify_ledger(ledger, None, public).faults)
    file.unlink()
    assert any("missing before" in f.what for f in verify_ledger(ledger).faults)


@pytest.mark.parametrize("state_is_kept", [True, False])
def test_what_was_spent_stays_spent(ledger: Path, tmp_path: Path, *, state_is_kept: bool) -> None:
    """The cells' states are those before, with the snapshot, without it, in two archives, and restored."""
    expected = state_of(caught_up(tmp_path / "state", ledger))
    first = archive_ledger(ledger, tmp_path / "archive", older_than_us=1)
    assert first.checkpoint is None  # none is that old
    one = find_segments(ledger)
    assert len(one) > 4
    archive_ledger(ledger, tmp_path / "archive")
    if not state_is_kept:
        shutil.rmtree(tmp_path / "state")
    for _ in range(2):
        assert state_of(caught_up(tmp_path / "state", ledger)) == expected
    restore_ledger(ledger)
    assert state_of(caught_up(tmp_path / "state", ledger)) == expected


def test_readers_say_that_calls_are_archived(ledger: Path, tmp_path: Path) -> None:
    """No reader gives a part of a cell as the whole of it."""
    archive_ledger(ledger, tmp_path / "archive")
    with pytest.raises(ArchivedCalls, match=r"archived.* in checkpoint 1 .*cab ledger restore"):
        total_cells(iter_records(ledger))
    with pytest.raises(ArchivedCalls, match="cell 's/a'"):
        list(cell_lines(ledger, "s/a"))
    with pytest.raises(Rejected) as refused:
        list(slice_lines(ledger, "s/a"))
    assert error_response_for("other", refused.value).status == 409
    told: list[object] = []
    list(find_records(ledger, on_archived=told.append))
    assert len(told) == 1
    assert list(iter_records(ledger, cell="s/unknown")) == []


@pytest.mark.slow
def test_a_kill_at_any_point_loses_nothing(tmp_path: Path, lines: Lines) -> None:
    """Before the checkpoint all is in the ledger, behind it in the archive; the same command goes on."""
    ledger = put(tmp_path / "ledger", lines[: len(lines) // 2], packed=True)
    recover(ledger, AT)
    before, to, count = content(ledger), tmp_path / "archive", 0
    work = tmp_path / "work"
    while True:
        for folder in (to, work):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ledger, work)
        if not killed_at(count, lambda step: archive_ledger(work, to, step=step)):
            break
        count += 1
        assert verify_ledger(work).faults == ()
        here, there = content(work), content(to) if to.exists() else {}
        assert {**there, **here} == before
        archive_ledger(work, to)
        assert sorted(content(work) | content(to)) == sorted(before)
        assert not [file for file in work.glob("w*") if file.name in content(to)]
    assert count > 10
    for at in range(count):
        if not killed_at(at, lambda step: restore_ledger(work, step=step)):
            break
        assert verify_ledger(work).faults == ()
        if not (work / "archived-000001.json").exists():
            break
    assert content(work) == before


def test_a_full_disk_moves_nothing_and_names_the_fix(ledger: Path, tmp_path: Path) -> None:
    """The ledger is as it was, and the error says what to do."""
    before = content(ledger)

    def full(what: str) -> None:
        if what.startswith("write"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "archive")

    with pytest.raises(BadConfig, match=r"No space left on device.*free some space"):
        archive_ledger(ledger, tmp_path / "archive", step=full)
    assert content(ledger) == before
    assert archive_ledger(ledger, tmp_path / "archive").checkpoint


def test_two_ledgers_do_not_share_an_archive(ledger: Path, tmp_path: Path) -> None:
    """Their checkpoints would have the same names: the second is refused, before anything is written."""
    to = tmp_path / "archive"
    other = put(tmp_path / "other", written(tmp_path / "written", 5), packed=True)
    recover(other, AT)
    assert archive_ledger(other, to, signed).checkpoint
    for segment in find_segments(to):  # even where no name of a segment is taken
        segment.path.unlink()
    before, others = content(ledger), (to / "checkpoint-000001.json").read_bytes()
    with pytest.raises(BadConfig, match="another ledger; give another folder"):
        archive_ledger(ledger, to, signed)
    assert content(ledger) == before
    assert (to / "checkpoint-000001.json").read_bytes() == others


def test_what_does_not_hold_is_not_archived(ledger: Path, tmp_path: Path) -> None:
    """A segment that is missing, and an archive beside another one, are refused."""
    with files.locked(ledger), pytest.raises(BadConfig, match="being archived by another"):
        archive_ledger(ledger, tmp_path / "archive")
    with pytest.raises(BadConfig, match="is the ledger"):
        archive_ledger(ledger, ledger)
    names = sorted(content(ledger))
    chain = max(("w0", "w1"), key=lambda each: sum(name.startswith(each) for name in names))
    (ledger / f"{chain}-000001.jsonl.zst").unlink()
    with pytest.raises(BadConfig, match="the segment before it is missing"):
        archive_ledger(ledger, tmp_path / "archive")
