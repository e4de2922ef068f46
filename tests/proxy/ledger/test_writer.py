import dataclasses
import itertools
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.proxy.clock import Clock
from cab.proxy.errors import BadConfig
from cab.proxy.ledger.backlog import Backlog
from cab.proxy.ledger.segments import segments
from cab.proxy.ledger.writer import LedgerOptions, Writer
from tests.proxy.ledger.test_ledger import verify

SMALL = LedgerOptions(segment_max_bytes=2000)


def writer(folder: Path, options: LedgerOptions = SMALL, clock: Clock | None = None) -> Writer:
    return Writer(folder, 0, os.fdatasync, options, clock or Clock())


def start(call: str) -> dict[str, Any]:
    return {"kind": "start", "call_id": call, "text": "x" * 500}


def end(call: str) -> dict[str, Any]:
    return {"kind": "end", "call_id": call, "text": "x" * 500}


def of_kind(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [record for record in verify(folder) if record["kind"] == kind]


def test_segments_rotate_by_size_in_one_chain(tmp_path: Path) -> None:
    """A segment that is large enough is followed by another, and the chain goes on across them."""
    making = writer(tmp_path)
    for n in range(20):
        making.write([start(str(n))])
        making.write([end(str(n))])
    making.close()
    assert [s.number for s in segments(tmp_path)] == list(range(1, len(segments(tmp_path)) + 1))
    assert len(segments(tmp_path)) > 5
    assert len(of_kind(tmp_path, "start")) == len(of_kind(tmp_path, "end")) == 20
    assert len(of_kind(tmp_path, "segment_open")) == len(segments(tmp_path)) - 1


def test_a_segment_begins_with_the_open_calls_and_what_it_follows(tmp_path: Path) -> None:
    """The first record of a segment names the one before, its size, and the calls without END."""
    making = writer(tmp_path)
    for n in range(10):
        making.write([start(str(n)), *([end(str(n))] if n != 2 else [])])
    making.close()
    opened = of_kind(tmp_path, "segment_open")
    assert [len(record["open_calls"]) for record in opened] == [0, 1, 1, 1]
    assert opened[-1]["open_calls"][0]["call_id"] == "2"
    assert opened[-1]["follows"]["segment"] == "w0-000004.jsonl"
    assert opened[-1]["follows"]["size_bytes"] >= 2000
    again = writer(tmp_path)
    assert again.recovered.crash_ends == 1
    again.close()


def test_segments_rotate_by_age_over_restarts(tmp_path: Path) -> None:
    """The age of a segment counts from its first record, also after a restart."""
    options = LedgerOptions(segment_max_s=100)
    now_s = [1_800_000_000]
    clock = Clock(wall_ns=lambda: now_s[0] * 1_000_000_000)
    for seconds in (0, 60, 120):
        now_s[0] = 1_800_000_000 + seconds
        making = writer(tmp_path, options, clock)
        making.write([{"kind": "proxy_start", "at": "2027-01-15T08:00:00.000000Z"}])
        making.close()
    assert [s.number for s in segments(tmp_path)] == [1, 2]
    assert len(of_kind(tmp_path, "proxy_start")) == 3


@pytest.mark.parametrize("at", ["no instant", "2027-01-15T08:00:00", 5, None])
def test_a_segment_whose_age_is_unknown_is_new(tmp_path: Path, at: object) -> None:
    """Where the first record tells no instant, and where the clock went back, age counts anew."""
    options = LedgerOptions(segment_max_s=100)
    for wall_ns in (2_000_000_000_000_000_000, 0):
        making = writer(tmp_path, options, Clock(wall_ns=lambda: wall_ns))  # noqa: B023 - used at once
        making.write([{"kind": "proxy_start", "at": at}])
        making.close()
    assert len(segments(tmp_path)) == 1


def test_a_refused_record_leaves_no_trace(tmp_path: Path) -> None:
    """A record that is no JSON is named by its place, also right behind a new segment's first."""
    making = writer(tmp_path)
    making.write([start("1"), start("2"), start("3"), start("4")])
    [refused] = making.write([end("1"), {"kind": "start", "call_id": "9", "bad": object()}])
    assert refused.at == 1
    assert "9" not in making.open_calls
    assert making.segment.name == "w0-000002.jsonl"
    making.close()
    assert [r["call_id"] for r in of_kind(tmp_path, "end")] == ["1"]


class Failing:
    """Makes data durable but for the given calls of it."""

    def __init__(self, *fails: int) -> None:
        self._count = itertools.count()
        self._fails = set(fails)

    def __call__(self, descriptor: int) -> None:
        if next(self._count) in self._fails:
            raise OSError(5, "Input/output error")
        os.fdatasync(descriptor)


def test_after_a_failure_the_chain_goes_on_in_a_new_segment(tmp_path: Path) -> None:
    """Bytes that were told to be unwritten are cut off; the disk may refuse more than once."""
    making = Writer(tmp_path, 0, Failing(1, 2, 3), LedgerOptions(), Clock())
    making.write([start("1")])
    backlog = Backlog()
    with pytest.raises(OSError, match="Input/output"):
        making.write([end("1")])
    backlog.take(end("1"), making.open_calls)
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            making.resume({"failure": "x"}, backlog)
    making.resume({"failure": "x"}, backlog)
    making.write([start("2")])
    making.close()
    kinds = [(r["kind"], r.get("call_id")) for r in verify(tmp_path)]
    assert kinds == [("start", "1"), ("recovery", None), ("end", "1"), ("start", "2")]
    assert making.segment.name == "w0-000002.jsonl"


def test_a_failure_while_a_segment_begins_keeps_its_first_record(tmp_path: Path) -> None:
    """If the disk refuses a new segment's first record, the next attempt carries the same facts."""
    making = Writer(tmp_path, 0, Failing(1), SMALL, Clock())
    making.write([start(str(n)) for n in range(5)])
    with pytest.raises(OSError, match="Input/output"):
        making.write([end("1")])
    making.resume({"failure": "x"}, Backlog())
    making.close()
    [report] = of_kind(tmp_path, "recovery")
    assert report["follows"]["segment"] == "w0-000001.jsonl"
    assert [call["call_id"] for call in report["open_calls"]] == list("01234")


def test_a_segment_that_cannot_be_made_changes_nothing(tmp_path: Path) -> None:
    """When the next segment cannot be created, the one that is written stays the last."""
    folder = tmp_path / "ledger"
    making = writer(folder)
    making.write([start(str(n)) for n in range(5)])
    folder.rename(tmp_path / "gone")
    with pytest.raises(OSError, match="No such file"):
        making.write([end("1")])
    (tmp_path / "gone").rename(folder)
    making.write([end("1")])
    making.close()
    assert making.segment.name == "w0-000002.jsonl"
    assert len(verify(folder)) == 7


def test_closed_segments_of_an_earlier_run_are_compressed(tmp_path: Path) -> None:
    """What an earlier run left plain is compressed, and reads back as it was."""
    for _ in range(2):
        making = writer(tmp_path)
        for n in range(8):
            making.write([start(str(n)), end(str(n))])
        before = verify(tmp_path)
        making._compressor._queue.put(None)
        making._compressor._thread.join()
        assert verify(tmp_path) == before
        making.close()
    plain = [s for s in segments(tmp_path) if not s.compressed]
    assert [s.path for s in plain] == [making.segment]
    assert {s.path.suffix for s in segments(tmp_path)[:-1]} == {".zst"}


def test_opening_names_the_folder_and_leaves_no_lock(tmp_path: Path) -> None:
    """A ledger that cannot be opened gives one line, and its lock is free again."""
    (tmp_path / "w0-000001.jsonl").mkdir()
    with pytest.raises(
        BadConfig,
        match=r"cannot be read: .*w0-000001.jsonl: is not a regular file; .*another ledger folder",
    ):
        writer(tmp_path)
    (tmp_path / "w0-000001.jsonl").rmdir()
    writer(tmp_path).close()


def test_a_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    """A ledger's folder is made where it is missing; the space on its disk is known."""
    making = writer(tmp_path / "a" / "b")
    making.write([{"kind": "proxy_start"}])
    assert making.free_bytes() > 0
    making.close()
    assert orjson.loads((tmp_path / "a" / "b" / "w0-000001.jsonl").read_bytes())["kind"]
    assert dataclasses.replace(SMALL, on_failure="open").on_failure == "open"
