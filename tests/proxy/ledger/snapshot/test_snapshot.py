"""What is read on from a snapshot is what a reading of the whole ledger finds, or it is refused."""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from cab.proxy.accounting.admission import AdmissionRequest, LocalCellRegistry
from cab.proxy.accounting.cell_state import CellStates
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.errors import Rejected
from cab.proxy.ledger.chain import chain
from cab.proxy.ledger.recovery import recover
from cab.proxy.ledger.snapshot import reading
from cab.proxy.ledger.snapshot.rows import CellRow
from cab.proxy.ledger.snapshot.snapshot import FILE_NAME, Snapshot
from cab.scoring.ledger.records import GENESIS
from cab.scoring.ledger.totals import CallTotals
from tests.proxy.ledger.snapshot.ledgers import AT, Lines, end, put, start, state_of, written
from tests.proxy.restoring import restored

LOGGED = ("snapshot_refused", "snapshot_unavailable", "ledger_replaced")


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return which lines of a snapshot are in the log, and forget them."""
    found = [name for record in caplog.records for name in LOGGED if name in record.getMessage()]
    caplog.clear()
    return found


def caught_up(state: Path, ledger: Path, *, recovers: bool = False) -> CellStates:
    """Return the cells after a start, and close the file."""
    snapshot = Snapshot(state, ledger)
    if recovers:
        recover(ledger, AT, snapshot.resume_points())
    snapshot.catch_up()
    cells = CellStates(snapshot)
    known = {cell.cell_id for cell in cells.page()}
    for name in {"s/a", "s/b", "s/c", "s/d"} | known:
        assert cells[name]
    snapshot.close()
    cells._stored = None
    return cells


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """A ledger, line by line."""
    return written(tmp_path_factory.mktemp("written"), 3)


def test_reading_on_gives_what_a_whole_reading_gives(
    tmp_path: Path, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """At each line: what was read before and the rest, also of segments that were compressed since."""
    whole = state_of(restored(put(tmp_path / "whole", lines)))
    assert len({name for name, _ in lines}) >= 4
    for count in range(len(lines) + 1):
        ledger, state = tmp_path / "ledger", tmp_path / "state"
        put(ledger, lines[:count], packed=count % 2 == 0)
        now = state_of(caught_up(state, ledger))
        assert now == state_of(restored(ledger))
        if count % 3 == 1:
            copy = shutil.copytree(state, tmp_path / f"state-{count}")
            put(tmp_path / "all", lines, packed=count % 2 == 0)
            assert state_of(caught_up(copy, tmp_path / "all")) == whole
    assert logged(caplog) == []


def test_a_recovery_that_reads_on_writes_what_another_writes(tmp_path: Path, lines: Lines) -> None:
    """With a snapshot of any moment before: the same ENDs, reports and segments, byte for byte."""
    for count in range(1, len(lines), 2):
        state = tmp_path / f"state-{count}"
        caught_up(state, put(tmp_path / "before", lines[:count]))
        later = lines[: min(len(lines), count + 3)]
        torn = later[-1][1][: 20 * (count % 3)]  # none, or a part of a line
        folders = put(tmp_path / "a", later), put(tmp_path / "b", later)
        for folder in folders:
            with (folder / later[-1][0]).open("ab") as handle:
                handle.write(torn)
        snapshot = Snapshot(state, folders[0])
        points = snapshot.resume_points()
        assert points
        read_on, whole = recover(folders[0], AT, points), recover(folders[1], AT)
        snapshot.close()
        assert [done.crash_ends for done in read_on] == [done.crash_ends for done in whole]
        a, b = ({file.name: file.read_bytes() for file in each.iterdir()} for each in folders)
        assert a == b


def flipped(ledger: Path) -> None:
    path = max(ledger.glob("w0-*.jsonl"))
    data = bytearray(path.read_bytes())
    at = data.index(b'"call_id":"c')
    data[at + 12] ^= 1
    path.write_bytes(data)


def cut(ledger: Path) -> None:
    path = max(ledger.glob("w1-*.jsonl"))
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def without_a_segment(ledger: Path) -> None:
    min(ledger.glob("w1-*.jsonl")).unlink()


def without_a_chain(ledger: Path) -> None:
    for path in ledger.glob("w1-*.jsonl"):
        path.unlink()


REFUSED: dict[str, Callable[[Path], None]] = {
    "edited": flipped,
    "cut": cut,
    "a segment is gone": without_a_segment,
    "a chain is gone": without_a_chain,
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_another_ledger_than_the_one_that_was_read_is_read_anew(
    tmp_path: Path, lines: Lines, change: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The snapshot is refused, once; the cells are what the ledger says, and nothing spent comes back."""
    ledger, state = put(tmp_path / "ledger", lines), tmp_path / "state"
    before = caught_up(state, ledger)
    change(ledger)
    after = caught_up(state, ledger, recovers=True)
    whole = restored(ledger)
    assert logged(caplog).count("snapshot_refused") == 1
    assert all(after[name].totals == whole[name].totals for name in ("s/a", "s/b", "s/c"))
    for name in ("s/a", "s/b", "s/c", "s/d"):
        assert after[name].charged.tokens.total.known >= before[name].totals.tokens.total.known
        assert after[name].sealed >= before[name].sealed
    again = caught_up(state, ledger, recovers=True)
    assert state_of(again) == state_of(after)
    assert "snapshot_refused" not in logged(caplog)


def test_an_older_copy_that_went_on_is_read_anew(
    tmp_path: Path, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """Its segment is as long as the one that was read, and has another head there."""
    ledger, state = put(tmp_path / "ledger", lines), tmp_path / "state"
    caught_up(state, ledger)
    put(ledger, lines[:9])
    recover(ledger, AT)
    after = caught_up(state, ledger)
    assert logged(caplog) == ["snapshot_refused"]
    whole = restored(ledger)
    assert all(after[name].totals == whole[name].totals for name in ("s/a", "s/b", "s/c"))


def garbage(file: Path) -> None:
    file.write_bytes(b"no database" * 1000)


def holed(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))


def another_form(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 77")


def other_rules(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("UPDATE ledgers SET made_by = 'sums 0'")


@pytest.mark.parametrize("change", [garbage, holed, another_form, other_rules])
def test_a_file_that_cannot_be_used_is_made_anew(
    tmp_path: Path, lines: Lines, change: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused with one line, and the ledger is read as a whole."""
    ledger, state = put(tmp_path / "ledger", lines), tmp_path / "state"
    whole = state_of(caught_up(state, ledger))
    change(state / FILE_NAME)
    assert state_of(caught_up(state, ledger)) == whole
    assert logged(caplog) == ["snapshot_refused"]
    assert state_of(caught_up(state, ledger)) == whole
    assert logged(caplog) == []


def test_without_a_state_folder_that_can_be_written_the_ledger_is_read(
    tmp_path: Path, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that another program holds costs the snapshot and not the start."""
    ledger, state = put(tmp_path / "ledger", lines), tmp_path / "state"
    (state / FILE_NAME).mkdir(parents=True)
    assert state_of(caught_up(state, ledger)) == state_of(restored(ledger))
    assert logged(caplog) == ["snapshot_unavailable"]


@pytest.mark.parametrize("rest", ["an END twice", "a damaged line", "an END without START"])
def test_what_depends_on_records_that_are_not_remembered_is_read_as_a_whole(
    tmp_path: Path, lines: Lines, rest: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Behind a snapshot: what a whole reading counts once, or as unknown, counts so here too."""
    ledger, state = put(tmp_path / "ledger", lines), tmp_path / "state"
    caught_up(state, ledger)
    name = max(n for n, _ in lines if n.startswith("w0"))
    ended = next(line for _, line in lines if b'"kind":"end"' in line)
    added = {
        "an END twice": ended,
        "a damaged line": ended[:-200] + b"\n",
        "an END without START": ended.replace(b'"call_id":"c', b'"call_id":"x'),
    }
    put(ledger, [*lines, (name, added[rest])])
    assert state_of(caught_up(state, ledger)) == state_of(restored(ledger))
    assert "snapshot_refused" in logged(caplog)


@pytest.mark.slow
def test_killed_while_it_is_written_it_is_the_old_or_the_new_one(
    tmp_path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGKILL at many points of many transactions: the next start reads on, and refuses nothing."""
    ledger, state = put(tmp_path / "ledger", lines), tmp_path / "state"
    monkeypatch.setattr(reading, "BATCH_LINES", 4)
    whole, killed = state_of(restored(ledger)), 0
    for steps in range(60, 1600, 100):
        shutil.rmtree(state, ignore_errors=True)
        if (child := os.fork()) == 0:
            snapshot = Snapshot(state, ledger)
            database = snapshot._database._connection
            database.set_progress_handler(lambda: os.kill(os.getpid(), signal.SIGKILL), steps)
            snapshot.catch_up()
            os._exit(0)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        assert state_of(caught_up(state, ledger)) == whole
    assert killed > 5
    assert logged(caplog) == []


async def test_a_replaced_ledger_begins_no_new_budget(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a cell spent in a ledger that is gone counts against its limits, and its seal stays; the
    totals and numbers of the new ledger are its own."""
    first = written(tmp_path / "first", 5)
    ledger, state = put(tmp_path / "ledger", first), tmp_path / "state"
    before = caught_up(state, ledger)["s/a"].totals
    put(ledger, [])
    new = caught_up(state, ledger)
    assert logged(caplog) == ["ledger_replaced"]
    cell = new["s/a"]
    assert (cell.totals.calls, cell.last_seq, cell.charged) == (0, 0, before)
    registry = LocalCellRegistry(new, 1)
    limits = KeyLimits(max_tokens=before.charged_tokens)
    with pytest.raises(Rejected, match="has reached its limit"):
        await registry.admit(AdmissionRequest("s/a", "1", limits=limits))
    assert await registry.admit(AdmissionRequest("s/a", "2", limits=KeyLimits(max_calls=99)))


async def test_a_seal_in_a_ledger_that_is_gone_holds(tmp_path: Path, lines: Lines) -> None:
    """A cell that was sealed takes no calls in another ledger of its state folder."""
    state, another = tmp_path / "state", put(tmp_path / "another", [])
    assert caught_up(state, put(tmp_path / "ledger", lines))["s/d"].sealed
    snapshot = Snapshot(state, another)
    snapshot.catch_up()
    registry = LocalCellRegistry(CellStates(snapshot), 1)
    with pytest.raises(Rejected, match="sealed in another ledger of this state folder"):
        await registry.admit(AdmissionRequest("s/d", "1"))
    assert [cell.totals.calls for cell in await registry.totals()] == [0]


def test_two_ledgers_of_a_state_folder_are_kept_apart(
    tmp_path: Path, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    """Each reads on in its own; what a limit counts is the sum."""
    state, others = tmp_path / "state", written(tmp_path / "second", 8)
    one, two = put(tmp_path / "one", lines[:12]), put(tmp_path / "two", others[:12])
    caught_up(state, one)
    caught_up(state, two)
    put(one, lines)
    put(two, others)
    a, b = caught_up(state, one), caught_up(state, two)
    assert logged(caplog) == []
    for name in ("s/a", "s/b", "s/c"):
        assert a[name].totals == restored(one)[name].totals
        assert b[name].totals == restored(two)[name].totals
        calls = a[name].totals.calls + b[name].totals.calls
        assert b[name].charged.calls == calls


@pytest.mark.parametrize("cell_id", ["", "\udcff", "a\0b", "%", None])
def test_any_text_can_be_looked_up(tmp_path: Path, lines: Lines, cell_id: str | None) -> None:
    """An id that no ledger can hold is an unknown cell, and no error."""
    snapshot = Snapshot(tmp_path / "state", put(tmp_path / "ledger", lines))
    snapshot.catch_up()
    cells = CellStates(snapshot)
    assert cells[cell_id].totals.calls == 0
    assert [cell.cell_id for cell in snapshot.page(cell_id or "s/", None, 3)] == (
        [] if cell_id else ["s/a", "s/b", "s/c"]
    )
    snapshot.close()


def test_every_member_of_totals_is_kept() -> None:
    """A row is what it was after it was packed, whatever members totals have."""
    numbers = iter(range(1, 1000))

    def filled(empty: Any) -> Any:
        if is_dataclass(empty) and not isinstance(empty, type):
            return type(empty)(*(filled(getattr(empty, each.name)) for each in fields(empty)))
        if isinstance(empty, tuple):
            return (str(next(numbers)),)
        return type(empty)(next(numbers))

    row = CellRow(5, True, 7, {"k": filled(CallTotals()), "": CallTotals()})
    assert next(numbers) > 40
    assert CellRow.unpacked(row.packed()) == row
    assert CellRow(by_key={"k": CallTotals()}).without(row) is None
    assert row.without(CellRow()) == CellRow(5, True, 7, {"k": row.by_key["k"]})


def test_totals_are_kept_by_key(tmp_path: Path) -> None:
    """Each key of a cell has totals of its own; the cell's are their sum."""
    ledger = tmp_path / "ledger"
    made = [("w0-000001.jsonl", line) for line in _chained()]
    put(ledger, made)
    snapshot = Snapshot(tmp_path / "state", ledger)
    snapshot.catch_up()
    [row] = snapshot._database.rows_of("s/a").values()
    assert {key: totals.calls for key, totals in row.by_key.items()} == {"k1": 2, "k2": 1}
    assert row.totals.tokens.total.value == 30
    snapshot.close()


def _chained() -> list[bytes]:
    made, prev = list[bytes](), GENESIS
    for n, key in enumerate(("k1", "k2", "k1")):
        for record in (start(f"{n}", "s/a", n + 1), end(f"{n}", "s/a", key_id=key)):
            line, prev = chain({"schema": "cab.call/1", **record}, prev)
            made.append(line)
    return made
