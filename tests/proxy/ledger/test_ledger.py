import asyncio
import dataclasses
import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest

from cab.proxy.errors import BadConfig, LedgerFailed
from cab.proxy.ledger.backlog import Backlog
from cab.proxy.ledger.ledger import Ledger
from cab.proxy.ledger.lines import Entry
from cab.proxy.ledger.segments import segments
from cab.proxy.ledger.writer import LedgerOptions, UnwritableRecord
from cab.scoring.ledger.records import GENESIS
from cab.scoring.ledger.segments import open_segment


def verify(folder: Path) -> list[dict[str, Any]]:
    """Check a ledger's chain from its bytes alone and return its records."""
    prev, records = GENESIS, []
    for segment in segments(folder):
        with open_segment(segment.path) as handle:
            lines = handle.read().splitlines(keepends=True)
        for raw in lines:
            assert raw.endswith(b"\n")
            line = raw[:-1]
            digest = line[-66:-2].decode()
            assert line[-75:] == b',"hash":"' + digest.encode() + b'"}'
            assert hashlib.sha256(line[:-75] + b"}").hexdigest() == digest
            record = orjson.loads(line)
            assert record["prev"] == prev
            prev = digest
            records.append(record)
    return records


def numbers(folder: Path) -> list[int]:
    """Return the `n` of all records that have one."""
    return [record["n"] for record in verify(folder) if "n" in record]


async def test_records_are_on_disk_when_append_answers(tmp_path: Path) -> None:
    """When append's future is done, another reader sees the record in the file."""
    ledger = Ledger(tmp_path / "a" / "ledger")
    await ledger.append({"kind": "start", "call_id": "1"})
    assert [r["call_id"] for r in verify(ledger.folder)] == ["1"]
    await ledger.close()


async def test_many_waiting_records_share_one_sync(tmp_path: Path) -> None:
    """Records that come while a sync runs are written together with the next one."""
    gate, syncs = threading.Event(), []

    def sync(descriptor: int) -> None:
        gate.wait(10)
        syncs.append(descriptor)
        os.fdatasync(descriptor)

    ledger = Ledger(tmp_path, sync=sync)
    waiting = [ledger.append({"kind": "end", "n": n}) for n in range(500)]
    gate.set()
    await asyncio.gather(*waiting)
    await ledger.close()
    assert [r["n"] for r in verify(tmp_path)] == list(range(500))
    assert len(syncs) < 10


async def test_a_write_that_stalls_holds_the_loop_up_once(tmp_path: Path) -> None:
    """After it the thread writes for a while, in the same order; who waits is told as before."""
    ledger, threads = Ledger(tmp_path), list[str]()
    put = ledger._writer.put

    def stalls(entries: Sequence[Entry]) -> list[UnwritableRecord]:
        threads.append(threading.current_thread().name)
        time.sleep(0.06)
        return put(entries)

    ledger._writer.put = stalls  # type: ignore[method-assign, assignment]
    for n in range(3):
        started = ledger.start({"kind": "start", "call_id": f"{n}", "n": n})
        await started.written
        await started.on_disk
    bad = ledger.append({"kind": "end", "n": object()})
    await ledger.append({"kind": "end", "call_id": "0", "n": 3})
    with pytest.raises(LedgerFailed, match="a record cannot be written as JSON"):
        await bad
    await ledger.close()
    assert threads == ["MainThread", *["cab-ledger"] * 3]
    assert numbers(tmp_path) == [0, 1, 2, 3]


async def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    """A ledger that is opened again continues the chain where it ended."""
    for n in range(3):
        ledger = Ledger(tmp_path)
        await ledger.append({"kind": "end", "n": n, "long": "x" * 100_000})
        await ledger.close()
    assert [r["n"] for r in verify(tmp_path)] == [0, 1, 2]


async def test_a_second_writer_is_locked_out(tmp_path: Path) -> None:
    """Two proxies cannot write to one folder; the second is told so."""
    ledger = Ledger(tmp_path)
    with pytest.raises(BadConfig, match="is being written by another proxy"):
        Ledger(tmp_path)
    await ledger.close()
    await Ledger(tmp_path).close()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A ledger below a file gives one line that names folder and flag."""
    (tmp_path / "file").write_text("")
    with pytest.raises(
        BadConfig, match=r"file/ledger cannot be written: Not a directory; .*another ledger folder"
    ):
        Ledger(tmp_path / "file" / "ledger")


class Disk:
    """A disk that works, or refuses what it is asked to make durable."""

    def __init__(self) -> None:
        self.full = False

    def sync(self, descriptor: int) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        os.fdatasync(descriptor)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until the ledger's thread has made something true."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the thread tells nobody
            await asyncio.sleep(0.001)


async def test_a_failed_disk_stops_new_calls(tmp_path: Path) -> None:
    """When the disk refuses a record its call is told so, and no new call starts."""
    disk = Disk()
    disk.full = True
    ledger = Ledger(tmp_path, sync=disk.sync, options=LedgerOptions(retry_s=60))
    for _ in range(2):
        with pytest.raises(LedgerFailed, match="No space left"):
            await ledger.append({"kind": "start", "call_id": "1"})
    assert "No space left" in (ledger.failure or "")
    assert ledger.refusal == ledger.failure
    await ledger.close()


async def test_a_disk_that_works_again_is_noticed(tmp_path: Path) -> None:
    """Ends that the disk refused are written later, behind a record that tells of the gap; the calls
    that were refused leave nothing."""
    disk = Disk()
    ledger = Ledger(tmp_path, sync=disk.sync, options=LedgerOptions(retry_s=0.01))
    await ledger.append({"kind": "start", "call_id": "1"})
    disk.full = True
    refused = ledger.append({"kind": "start", "call_id": "refused"})
    with pytest.raises(LedgerFailed):
        await ledger.append({"kind": "end", "call_id": "1", "n": 1})
    with pytest.raises(LedgerFailed):
        await refused
    disk.full = False
    await until(lambda: ledger.failure is None)
    await ledger.append({"kind": "start", "call_id": "2", "n": 2})
    assert ledger.segment.name == "w0-000002.jsonl"
    await ledger.close()
    start, gap, end, later = verify(tmp_path)
    assert (start["kind"], end["n"], later["n"]) == ("start", 1, 2)
    assert (gap["kind"], gap["late_records"], gap["lost_records"]) == ("recovery", 1, 0)
    assert "No space left" in gap["failure"]
    assert gap["failed_at"] <= gap["at"]
    assert [call["call_id"] for call in gap["open_calls"]] == ["1"]


async def test_an_open_ledger_goes_on_and_counts_what_is_missing(tmp_path: Path) -> None:
    """With `open` calls go on without records; what no longer fits in memory is counted as lost,
    and a call whose end was lost ends as a crash."""
    disk = Disk()
    ledger = Ledger(
        tmp_path, sync=disk.sync, options=LedgerOptions(on_failure="open", retry_s=0.01)
    )
    ledger._backlog = Backlog(max_bytes=200)
    await ledger.append({"kind": "start", "call_id": "1"})
    disk.full = True
    await ledger.append({"kind": "start", "call_id": "2"})
    await ledger.append({"kind": "end", "call_id": "1", "text": "x" * 200})
    await ledger.append({"kind": "end", "call_id": "2"})
    assert "No space left" in (ledger.failure or "")
    assert ledger.refusal is None
    assert (ledger.unwritten_records, ledger.lost_records) == (3, 1)
    disk.full = False
    await until(lambda: ledger.failure is None)
    await ledger.close()
    records = verify(tmp_path)
    assert [(r["kind"], r.get("call_id")) for r in records] == [
        ("start", "1"),
        ("recovery", None),
        ("start", "2"),
        ("end", "2"),
        ("end", "1"),
    ]
    assert (records[1]["lost_records"], records[1]["late_records"]) == (1, 2)
    assert records[4]["end_reason"] == "crash"
    assert ledger.lost_records == 1


async def test_a_ledger_can_be_closed_while_its_disk_fails(tmp_path: Path) -> None:
    """A ledger that is closed while the disk fails ends, says what is missing, and its chain holds:
    each call that it has a START of gets one END."""
    disk = Disk()
    ledger = Ledger(tmp_path, sync=disk.sync, options=LedgerOptions(on_failure="open"))
    await ledger.append({"kind": "start", "call_id": "1", "n": 1})
    disk.full = True
    await ledger.append({"kind": "end", "call_id": "1"})
    await ledger.append({"kind": "start", "call_id": "2"})
    await ledger.close()
    assert ledger.unwritten_records == 2
    await Ledger(tmp_path).close()
    records = verify(tmp_path)
    calls = [[r["call_id"] for r in records if r["kind"] == kind] for kind in ("start", "end")]
    assert sorted(calls[0]) == sorted(calls[1])


async def test_new_calls_are_refused_before_the_disk_is_full(tmp_path: Path) -> None:
    """With too little space no call starts; ends are still written; with space calls start."""
    options = LedgerOptions(min_free_bytes=1 << 62, retry_s=0.01)
    ledger = Ledger(tmp_path, options=options)
    with pytest.raises(LedgerFailed, match=r"bytes are free and min_free_bytes is .*; make space"):
        await ledger.append({"kind": "start", "call_id": "1"})
    await ledger.append({"kind": "end", "n": 1})
    ledger._options = dataclasses.replace(options, min_free_bytes=0)
    await until(lambda: ledger.failure is None)
    await ledger.append({"kind": "start", "call_id": "2", "n": 2})
    await ledger.close()
    assert numbers(tmp_path) == [1, 2]


@pytest.mark.parametrize("on_failure", ["closed", "open"])
async def test_what_waits_for_a_slow_disk_is_bounded(
    tmp_path: Path, on_failure: Literal["closed", "open"]
) -> None:
    """Behind a disk that stands still new calls are refused, or counted as lost where they go on."""
    gate, entered = threading.Event(), threading.Event()

    def sync(descriptor: int) -> None:
        entered.set()
        gate.wait(20)
        os.fdatasync(descriptor)

    ledger = Ledger(
        tmp_path, sync=sync, options=LedgerOptions(on_failure=on_failure, max_waiting=3)
    )
    waiting = [ledger.append({"n": 0})]
    await asyncio.to_thread(entered.wait, 20)
    waiting += [ledger.append({"n": n}) for n in range(1, 5)]
    assert "4 records wait for the disk" in (ledger.failure or "")
    further = ledger.append({"kind": "start", "call_id": "1", "n": 5})
    if on_failure == "closed":
        with pytest.raises(LedgerFailed, match="too slow"):
            await further
    else:
        await further
        assert ledger.lost_records == 1
    gate.set()
    await asyncio.gather(*waiting)
    await ledger.close()
    assert numbers(tmp_path) == [0, 1, 2, 3, 4]


async def test_a_record_that_is_no_json_harms_its_own_call_only(tmp_path: Path) -> None:
    """A record that cannot be written as JSON is refused; those beside it are written."""
    ledger = Ledger(tmp_path)
    good, bad = ledger.append({"n": 1}), ledger.append({"kind": "start", "n": object()})
    other = ledger.append({"n": 2})
    await asyncio.gather(good, other)
    with pytest.raises(LedgerFailed, match="a record cannot be written as JSON"):
        await bad
    await ledger.close()
    assert numbers(tmp_path) == [1, 2]


async def test_a_call_that_gave_up_waiting_harms_nobody(tmp_path: Path) -> None:
    """Cancelling one waiting record neither loses it nor disturbs the others."""
    gate = threading.Event()

    def sync(descriptor: int) -> None:
        gate.wait(10)
        os.fdatasync(descriptor)

    ledger = Ledger(tmp_path, sync=sync)
    first, second = ledger.append({"n": 1}), ledger.append({"n": 2})
    first.cancel()
    gate.set()
    await second
    await ledger.close()
    assert [r["n"] for r in verify(tmp_path)] == [1, 2]
