from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard

from cab.proxy.ledger.follow import Follower
from cab.scoring import BadRecord
from cab.scoring.ledger.bounds import MAX_LINE_BYTES, BrokenLine


def put(folder: Path, name: str, data: bytes) -> Path:
    with (folder / name).open("ab") as handle:
        handle.write(data)
    return folder / name


def pack(file: Path) -> None:
    """Compress a closed segment as the proxy does."""
    file.with_name(f"{file.name}.zst").write_bytes(zstandard.compress(file.read_bytes()))
    file.unlink()


def test_new_lines_come_once(tmp_path: Path) -> None:
    """Each look gives what came since the last one, and a line only when it is whole."""
    follower = Follower(tmp_path)
    assert list(follower.new()) == []
    put(tmp_path, "w0-000001.jsonl", b"a\nb")
    assert list(follower.new()) == [b"a\n"]
    put(tmp_path, "w0-000001.jsonl", b"c\n")
    assert list(follower.new()) == [b"bc\n"]
    assert list(follower.new()) == []
    follower.close()


def test_it_follows_across_segments_and_chains(tmp_path: Path) -> None:
    """What was written before a segment was closed is read first, compressed or not, by chain."""
    first = put(tmp_path, "w0-000001.jsonl", b"a\n")
    follower = Follower(tmp_path)
    assert list(follower.new()) == [b"a\n"]
    put(tmp_path, "w0-000001.jsonl", b"b\n")
    pack(put(tmp_path, "w0-000002.jsonl", b"c\n"))
    put(tmp_path, "w0-000003.jsonl", b"d\n")
    put(tmp_path, "w1-000001.jsonl", b"x\n")
    pack(first)
    assert list(follower.new()) == [b"b\n", b"c\n", b"d\n", b"x\n"]
    put(tmp_path, "w0-000003.jsonl", b"e\n")
    assert list(follower.new()) == [b"e\n"]
    follower.close()


def test_it_can_begin_at_the_end_of_one_chain(tmp_path: Path) -> None:
    """What is there is skipped, packed or not; other chains are not looked at."""
    put(tmp_path, "w0-000001.jsonl", b"a\n")
    pack(put(tmp_path, "w1-000001.jsonl", b"x\n"))
    followers = [Follower(tmp_path, worker) for worker in (0, 1)]
    for follower in followers:
        follower.skip()
    put(tmp_path, "w0-000001.jsonl", b"b\n")
    put(tmp_path, "w1-000002.jsonl", b"y\n")
    assert [list(follower.new()) for follower in followers] == [[b"b\n"], [b"y\n"]]
    for follower in followers:
        follower.close()


def test_the_last_lines_come_from_as_many_segments_as_needed(tmp_path: Path) -> None:
    """The last lines of each chain are found across its segments, and what comes later is new."""
    for number in range(1, 5):
        file = put(tmp_path, f"w0-{number:06d}.jsonl", b"%d\n%d0\n" % (number, number))
        if number < 4:
            pack(file)
    put(tmp_path, "w1-000001.jsonl", b"x\n")
    follower = Follower(tmp_path)
    assert follower.last(5) == [b"20\n", b"3\n", b"30\n", b"4\n", b"40\n", b"x\n"]
    put(tmp_path, "w0-000004.jsonl", b"400\n")
    assert list(follower.new()) == [b"400\n"]
    follower.close()


def test_a_torn_line_that_is_cut_off_is_forgotten(tmp_path: Path) -> None:
    """What a crash left, and recovery cut off, is not taken for the beginning of the next line."""
    file = put(tmp_path, "w0-000001.jsonl", b"a\ntorn")
    follower = Follower(tmp_path)
    assert follower.last(10) == [b"a\n"]
    file.write_bytes(b"a\n")
    put(tmp_path, "w0-000001.jsonl", b"b\n")
    assert list(follower.new()) == [b"b\n"]
    follower.close()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A damaged segment is an error that names it; a line without end is named, and the next follows."""
    follower = Follower(tmp_path)
    put(tmp_path, "w0-000001.jsonl.zst", zstandard.compress(b"a\n")[:-2])
    with pytest.raises(BadRecord, match=r"w0-000001\.jsonl\.zst: the compressed data is cut off"):
        list(follower.new())
    follower.close()
    (tmp_path / "w0-000001.jsonl.zst").unlink()
    put(tmp_path, "w1-000001.jsonl", bytes(MAX_LINE_BYTES) + b"\nb\n")
    lines = follower.new()
    endless, after = next(lines), next(lines)
    assert isinstance(endless, BrokenLine)
    assert (endless.reason.startswith("the line is longer than"), after) == (True, b"b\n")
    follower.close()


def test_a_torn_end_of_a_compressed_segment_is_passed_over(tmp_path: Path) -> None:
    """A closed segment without a newline at its end ends with its last whole line."""
    follower = Follower(tmp_path)
    put(tmp_path, "w0-000001.jsonl.zst", zstandard.compress(b"a\nb"))
    assert list(follower.new()) == [b"a\n"]
    put(tmp_path, "w0-000002.jsonl", b"c\n")
    assert list(follower.new()) == [b"c\n"]
    follower.close()


def test_a_long_read_can_be_stopped(tmp_path: Path) -> None:
    """A read in another thread ends early, in closed segments too, and the files can be closed."""
    pack(put(tmp_path, "w0-000001.jsonl", (b"x" * 500 + b"\n") * 200_000))
    put(tmp_path, "w0-000002.jsonl", b"a\n")
    follower = Follower(tmp_path)
    with ThreadPoolExecutor(1) as thread:
        read = thread.submit(follower.last, 200_001)
        follower.stop()
        thread.submit(follower.close).result()
    assert len(read.result()) < 200_001
