import os
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.clock import Clock
from cab.proxy.errors import BadConfig
from cab.proxy.ledger.chain import chain
from cab.proxy.ledger.recovery import crash_end, recover
from cab.proxy.ledger.segments import lock_chain, next_segment, segments
from cab.scoring.ledger.reading import iter_records
from cab.scoring.ledger.records import GENESIS, CallEnd, CallStart
from cab.scoring.ledger.segments import open_segment, segment_name
from cab.scoring.ledger.verify import verify_ledger

AT = Clock(wall_ns=lambda: 1_800_000_000_000_000_000)
TORN = b'{"schema":"cab.call/1","kind":"en'


def start(call: str, cell: str = "c", seq: int = 1) -> dict[str, Any]:
    return {
        "schema": "cab.call/1",
        "kind": "start",
        "call_id": call,
        "cell_id": cell,
        "seq": seq,
        "started_at": "2026-01-01T00:00:00.000000Z",
        "endpoint": "chat.completions",
        "stream": False,
        "request_hash": "sha256:00",
        "model_requested": "m",
    }


def end(call: str) -> dict[str, Any]:
    return {**start(call), "kind": "end", "ended_at": "x", "end_reason": "completed"}


STOP = {"schema": "cab.call/1", "kind": "proxy_stop"}


def lines(*records: dict[str, Any], prev: str = GENESIS) -> list[bytes]:
    made: list[bytes] = []
    for record in records:
        line, prev = chain(record, prev)
        made.append(line)
    return made


def write(folder: Path, *pieces: bytes, number: int = 1, worker: int = 0) -> Path:
    path = folder / segment_name(worker, number)
    path.write_bytes(b"".join(pieces))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    with open_segment(path) as handle:
        return [orjson.loads(line) for line in handle]


def head(line: bytes) -> str:
    return str(orjson.loads(line)["hash"])


def test_a_call_without_end_gets_one(tmp_path: Path) -> None:
    """A START without END gets an END that says crash, repeats the START and claims no tokens."""
    path = write(tmp_path, *lines(start("1"), {**start("2", "d", 7), "may_cost": True}, end("1")))
    [done] = recover(tmp_path, AT)
    assert (done.crash_ends, done.clean_stop, done.segment) == (1, False, path)
    *_, report, crash = read(path)
    assert (report["kind"], report["crash_ends"], report["clean_stop"]) == ("recovery", 1, False)
    ended = list(iter_records(tmp_path))[-1]
    assert isinstance(ended, CallEnd)
    assert (ended.call_id, ended.cell_id, ended.seq) == ("2", "d", 7)
    assert ended.may_cost is True
    assert (ended.end_reason, ended.usage_source, ended.ended_at) == ("crash", "none", report["at"])
    assert crash["prompt_tokens"] is crash["completion_tokens"] is crash["total_tokens"] is None
    assert crash["error"]["type"] == "crash"
    assert crash["hash"] == done.head
    assert path.stat().st_size == done.size_bytes


@pytest.mark.parametrize("stop", [[], [STOP]], ids=["unclean stop, nothing open", "stop in order"])
def test_a_ledger_in_order_is_left_as_it_is(tmp_path: Path, stop: list[dict[str, Any]]) -> None:
    """Where nothing is to be mended nothing is written, also the second time."""
    path = write(tmp_path, *lines(start("1"), end("1"), *stop))
    before = path.read_bytes()
    [done] = recover(tmp_path, AT)
    assert (done.clean_stop, done.found) == (bool(stop), not stop)
    assert path.read_bytes() == before
    assert recover(tmp_path / "..") == []


@pytest.mark.parametrize("torn", [TORN, b"\xff\xfe", b"\x00" * 70_000, lines(end("1"))[0][:-1]])
def test_a_torn_last_line_is_cut_and_kept(tmp_path: Path, torn: bytes) -> None:
    """What a crash left without its newline is cut off, kept beside, and told of."""
    path = write(tmp_path, *lines(start("1")), torn)
    [done] = recover(tmp_path, AT)
    assert (done.torn_bytes, done.crash_ends) == (len(torn), 1)
    assert done.torn_file is not None
    assert done.torn_file.read_bytes() == torn
    report = read(path)[1]
    assert (report["torn_bytes"], report["torn_file"]) == (len(torn), done.torn_file.name)
    [again] = recover(tmp_path, AT)
    assert (again.torn_bytes, again.crash_ends, again.head) == (0, 0, done.head)


def test_two_torn_lines_at_one_place_are_both_kept(tmp_path: Path) -> None:
    """A line torn where another one was torn before does not take its file."""
    for torn in (b"one", b"two", b"one"):
        write(tmp_path, torn)
        recover(tmp_path, AT)
    assert sorted(f.read_bytes() for f in tmp_path.glob("*.torn")) == [b"one", b"two"]


@given(st.data())
@settings(deadline=None)
def test_a_segment_cut_anywhere_recovers(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Wherever a write was cut off: the whole lines stay, every START has one END, and the chain
    holds."""
    made = lines(*(start(str(n)) for n in range(3)), *(end(str(n)) for n in range(3)), STOP)
    whole = b"".join(made)
    cut = data.draw(st.integers(1, len(whole)))
    folder = tmp_path_factory.mktemp("cut")
    path = write(folder, whole[:cut])
    recover(folder, AT)
    kept = path.read_bytes()
    assert kept.startswith(whole[: whole.rfind(b"\n", 0, cut) + 1])
    records = list(iter_records(path))
    assert [r.prev for r in records] == [GENESIS, *(r.hash for r in records[:-1])]
    starts = [r.call_id for r in records if isinstance(r, CallStart)]
    assert sorted(r.call_id for r in records if isinstance(r, CallEnd)) == sorted(starts)
    for mark in (b"", b"more"):
        path.write_bytes(kept + mark)
        recover(folder, AT)
        assert path.read_bytes().startswith(kept)


def damaged(made: list[bytes], how: str) -> bytes:
    match how:
        case "garbage":
            return b"".join([made[0], b"garbage\n", *made[1:]])
        case "changed byte":
            return b"".join(made).replace(b'"seq":2', b'"seq":3')
        case "lost line":
            return b"".join([made[0], *made[2:]])
        case "zeros":
            return b"".join([made[0], b"\x00" * 5000, *made[2:]])
        case "garbage and torn":
            return b"".join([*made, b"garbage\n", TORN])
        case _:
            return b"".join([*made, b"5\n"])


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("garbage", 2),
        ("changed byte", 2),
        ("lost line", 2),
        ("zeros", 2),
        ("garbage and torn", 4),
        ("no object", 4),
    ],
)
def test_damage_is_named_and_stays(tmp_path: Path, how: str, line: int) -> None:
    """A damaged segment is left as it is; writing goes on in a new one that begins with what was
    found, and calls that are open end there."""
    made = lines(start("1"), start("2", seq=2), end("1"))
    content = damaged(made, how)
    path = write(tmp_path, content)
    [done] = recover(tmp_path, AT)
    assert path.read_bytes() == content
    assert done.segment == tmp_path / segment_name(0, 2)
    assert done.problems[0].segment == path.name
    assert done.problems[0].line == line
    report, *ends = read(done.segment)
    assert report["problems"][0]["line"] == line
    assert report["damaged_lines"] == done.damaged_lines >= 1
    last = 0 if how == "zeros" else -1  # the zeros took the last line's beginning
    assert report["prev"] == head(made[last])
    assert report["follows"] == {"segment": path.name, "size_bytes": len(content)}
    assert {e["call_id"] for e in ends} == {c["call_id"] for c in report["open_calls"]}
    assert all(e["end_reason"] == "crash" for e in ends)
    [again] = recover(tmp_path, AT)
    assert (again.damaged_lines, again.head) == (0, done.head)


def test_a_file_that_is_no_ledger_stays_as_it_is(tmp_path: Path) -> None:
    """A segment without one record is named, and the chain starts behind it."""
    path = write(tmp_path, b"hello\n")
    [done] = recover(tmp_path, AT)
    assert path.read_bytes() == b"hello\n"
    [report] = read(done.segment)
    assert report["prev"] == GENESIS
    assert report["problems"] == [
        {
            "segment": path.name,
            "line": 1,
            "offset": 0,
            "what": "not a record, or not the one that was written",
        }
    ]


def test_many_damaged_lines_are_counted_and_some_named(tmp_path: Path) -> None:
    """A report stays small however much is damaged."""
    write(tmp_path, b"garbage\n" * 1000)
    [done] = recover(tmp_path, AT)
    assert (done.damaged_lines, len(done.problems)) == (1000, 20)


def test_a_call_that_began_in_an_earlier_segment_is_ended(tmp_path: Path) -> None:
    """Which calls are open is read from the last segment's first record, without those before."""
    before = write(tmp_path, b"not even looked at\n")
    opened = {"schema": "cab.call/1", "kind": "segment_open", "open_calls": [start("7")]}
    write(tmp_path, *lines(opened, start("8"), end("8")), number=2)
    [done] = recover(tmp_path, AT)
    assert (done.crash_ends, done.damaged_lines) == (1, 0)
    assert read(tmp_path / segment_name(0, 2))[-1]["call_id"] == "7"
    assert before.exists()


@pytest.mark.parametrize("content", [b"", TORN])
@pytest.mark.parametrize("packed", [False, True])
def test_a_stop_while_a_segment_began(tmp_path: Path, content: bytes, packed: bool) -> None:
    """A segment without one whole record is used again; its chain and calls come from before."""
    made = lines(start("1"))
    before = write(tmp_path, *made)
    if packed:
        before.with_name("w0-000001.jsonl.zst").write_bytes(zstandard.compress(made[0]))
        before.unlink()
    path = write(tmp_path, content, number=2)
    [done] = recover(tmp_path, AT)
    report, crash = read(path)
    assert report["prev"] == head(made[0])
    assert report["follows"]["size_bytes"] == len(made[0])
    assert [call["call_id"] for call in report["open_calls"]] == ["1"]
    assert (crash["call_id"], crash["end_reason"]) == ("1", "crash")
    assert done.torn_bytes == len(content)


def test_a_compressed_last_segment_is_not_written_to(tmp_path: Path) -> None:
    """Where the last segment is compressed the chain goes on in a new one."""
    made = lines(start("1"), end("1"), STOP)
    (tmp_path / "w0-000001.jsonl.zst").write_bytes(zstandard.compress(b"".join(made)))
    [done] = recover(tmp_path, AT)
    [report] = read(done.segment)
    assert (done.segment.name, report["prev"]) == ("w0-000002.jsonl", head(made[-1]))


def test_a_closed_segment_that_lacks_its_end_is_named(tmp_path: Path) -> None:
    """A closed segment that is shorter than the next one says is told of."""
    made = lines(start("1"), end("1"))
    size = len(b"".join(made))
    write(tmp_path, made[0])
    follows = {"segment": "w0-000001.jsonl", "size_bytes": size}
    opened = {"schema": "cab.call/1", "kind": "segment_open", "follows": follows, "open_calls": []}
    path = write(tmp_path, *lines(opened, STOP, prev=head(made[1])), number=2)
    [done] = recover(tmp_path, AT)
    [problem] = done.problems
    assert (problem.segment, problem.offset) == ("w0-000001.jsonl", len(made[0]))
    assert problem.what == f"has {len(made[0])} bytes, and had {size} when it was closed"
    assert (done.segment, read(path)[-1]["kind"]) == (path, "recovery")


def test_what_an_interrupted_compression_left_goes(tmp_path: Path) -> None:
    """A half written compressed segment is removed: the plain one is there."""
    write(tmp_path, *lines(STOP))
    unfinished = tmp_path / "w0-000001.jsonl.zst.tmp"
    unfinished.write_bytes(b"half")
    recover(tmp_path, AT)
    assert not unfinished.exists()


def test_every_workers_chain_is_recovered(tmp_path: Path) -> None:
    """Each worker's chain is mended on its own."""
    for worker in (0, 3):
        write(tmp_path, *lines(start(str(worker))), worker=worker)
    assert [(done.worker, done.crash_ends) for done in recover(tmp_path, AT)] == [(0, 1), (3, 1)]


def test_a_chain_that_is_written_to_is_left_alone(tmp_path: Path) -> None:
    """Recovery of a ledger that a proxy writes to is refused, or passes that chain over."""
    path = write(tmp_path, *lines(start("1")))
    before = path.read_bytes()
    lock = lock_chain(tmp_path, 0)
    with pytest.raises(BadConfig, match="is being written by another proxy"):
        recover(tmp_path, AT)
    assert recover(tmp_path, AT, skip_busy=True) == []
    assert path.read_bytes() == before
    os.close(lock)
    assert len(recover(tmp_path)) == 1


def test_a_clock_that_went_back_changes_no_order(tmp_path: Path) -> None:
    """Records may state earlier instants than those before them; the chain goes on all the same."""
    past = Clock(wall_ns=lambda: 0)
    write(tmp_path, *lines(start("1")))
    [done] = recover(tmp_path, past)
    report, crash = read(done.segment)[1:]
    assert report["at"] == crash["ended_at"] == "1970-01-01T00:00:00.000000Z"
    assert recover(tmp_path, past)[0].damaged_lines == 0


def test_records_that_are_odd_are_passed_over(tmp_path: Path) -> None:
    """Records without a call, or with a call of another kind, disturb nothing."""
    odd: list[dict[str, Any]] = [
        {"kind": "start"},
        {"kind": "end", "call_id": None},
        {"kind": "new", "call_id": "x"},
    ]
    write(tmp_path, *lines(*odd))
    [done] = recover(tmp_path, AT)
    assert (done.crash_ends, done.damaged_lines) == (0, 0)


@pytest.mark.parametrize("member", ["cell_id", "request_hash", "call_id", "seq"])
def test_a_member_of_the_wrong_type_is_damage(tmp_path: Path, member: str) -> None:
    """A line that nobody can look up is named, and no END repeats it; the chain goes on behind it."""
    write(tmp_path, *lines(start("1"), {**start("2"), member: [1]}))
    [done] = recover(tmp_path, AT)
    assert (done.damaged_lines, done.crash_ends) == (1, 1)
    assert done.problems[0].what.startswith(f"{member}: ")
    assert verify_ledger(tmp_path).holds


@pytest.mark.parametrize("carried", [5, [5], [{"call_id": "1", "cell_id": [1]}]])
def test_carried_starts_of_the_wrong_type(tmp_path: Path, carried: object) -> None:
    """A segment's first record whose open calls cannot be read keeps no proxy from starting."""
    write(tmp_path, *lines({"schema": "cab.call/1", "kind": "proxy_start", "open_calls": carried}))
    [done] = recover(tmp_path, AT)
    assert done.crash_ends == 0


def test_segments_are_ordered_by_number(tmp_path: Path) -> None:
    """Workers and numbers count as numbers, a segment in both forms counts once, as the plain one.

    What is not named exactly so is not a segment of any worker.
    """
    names = ["w10-000001.jsonl", "w2-1000000.jsonl", "w2-999999.jsonl.zst", "w2-999999.jsonl"]
    for name in [*names, "w2-12.jsonl", "w2-000001.jsonl.torn", "w2.lock", "x.jsonl"]:
        (tmp_path / name).touch()
    found = [segment.path.name for segment in segments(tmp_path)]
    assert found == ["w2-999999.jsonl", "w2-1000000.jsonl", "w10-000001.jsonl"]
    assert [segment.path.name for segment in segments(tmp_path, 2)] == found[:2]
    assert next_segment(tmp_path, 2).name == "w2-1000001.jsonl"
    assert segments(tmp_path, 3) == []


def test_the_end_of_a_response_over_websocket_names_its_connection() -> None:
    """What its START says of the connection is in the END that recovery writes; other calls have none of it."""
    start = {"call_id": "c", "endpoint": "responses", "warmup": False, "stream_id": None}
    start |= {"transport": "websocket", "connection_id": "k", "steered_from": "p"}
    end = crash_end(start, "2026-01-01T00:00:00.000000Z", "killed")
    shared = ("transport", "connection_id", "stream_id", "steered_from", "warmup")
    assert {name: end[name] for name in shared} == {name: start[name] for name in shared}
    assert "transport" not in crash_end({"call_id": "c"}, "2026-01-01T00:00:00.000000Z", "killed")
