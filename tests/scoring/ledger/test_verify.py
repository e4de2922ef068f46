import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.scoring import BadRecord
from cab.scoring.ledger.records import GENESIS
from cab.scoring.ledger.verify import Verification, verify_ledger
from tests.ledger_verifier import faults
from tests.scoring.builders import line
from tests.scoring.ledgers import calls, chained, hash_of, write_ledger

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=6).map(
    lambda records: [
        {name: value for name, value in fields.items() if name not in {"schema", "prev", "hash"}}
        for fields in records
    ]
)


def told(found: Verification) -> list[str]:
    return [str(fault) for fault in found.faults]


def hashes(files: list[Path]) -> list[str]:
    return [hash_of(text) for file in files for text in file.read_bytes().splitlines()]


def rewrite(file: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change a segment as a list of its lines."""
    file.write_bytes(b"".join(change(file.read_bytes().splitlines(keepends=True))))


@settings(deadline=None)  # files are written: how long that takes is the disk's affair
@given(RECORDS, st.integers(1, 4), st.booleans())
def test_untouched_ledgers_hold(
    records: list[dict[str, Any]], per_segment: int, compressed: bool
) -> None:
    """Whatever its records hold and wherever its segments end, an untouched ledger verifies."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_ledger(folder, records, per_segment=per_segment, compressed=compressed)
        last = hash_of(chained(records)[-1]) if records else GENESIS
        found = verify_ledger(folder, last)
        assert told(found) == []
        assert found.holds
        assert found.heads == (("w0", len(files), len(records), last),)
        assert (found.records, found.segments) == (len(records), len(files))
        assert found.size_bytes == sum(map(len, chained(records)))
        if not compressed:
            assert faults(folder, last if records else None) == []


def mutations(data: bytes) -> Iterator[bytes]:
    """Yield a file with bytes changed, taken out and doubled, and cut off there.

    Of the bytes each run takes another third; of the lines all.
    """
    for at in range(random.randrange(3), len(data), 3):
        yield data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        yield data[:at] + data[at + 1 :]
        yield data[:at] + data[at : at + 1] + data[at:]
        yield data[:at]
    lines = data.splitlines(keepends=True)
    for at, text in enumerate(lines):
        for other in range(at + 1, len(lines)):
            swapped = [*lines]
            swapped[at], swapped[other] = lines[other], text
            yield b"".join(swapped)
        for before in range(len(lines) + 1):
            yield b"".join([*lines[:before], text, *lines[before:]])
        yield b"".join(lines[:at] + lines[at + 1 :])


def small(number: int) -> dict[str, Any]:
    return {"kind": "note", "text": 'é"\\\n', "number": number}


@pytest.mark.parametrize("touched", [0, 1])
def test_every_small_change_is_found(tmp_path: Path, touched: int) -> None:
    """Each change of one byte or one line, and each cut, is found and named, by both verifiers."""
    files = write_ledger(tmp_path / "ledger", [small(n) for n in range(6)], per_segment=3)
    head = hashes(files)[-1]
    whole = files[touched].read_bytes()
    for changed in mutations(whole):
        files[touched].write_bytes(changed)
        found = verify_ledger(tmp_path / "ledger", head)
        assert not found.holds, changed
        assert faults(tmp_path / "ledger", head), changed
        assert all(fault.what and fault.path for fault in found.faults)
        if changed != whole[: len(changed)]:  # of a cut end the rest may well be whole
            assert any(fault.line is not None for fault in found.faults), changed


CHANGES = ("edit", "cut", "put in", "delete line", "double line", "swap lines", "delete file")


def change(draw: st.DataObject, folder: Path, kind: str) -> None:
    """Make one change of a kind anywhere in a ledger."""
    file = draw.draw(st.sampled_from(sorted(folder.iterdir())))
    data = file.read_bytes()
    lines = data.splitlines(keepends=True)
    at = draw.draw(st.integers(0, len(data) - 1))
    line_at, other_at = sorted(
        draw.draw(st.lists(st.integers(0, len(lines) - 1), min_size=2, max_size=2))
    )
    match kind:
        case "edit":
            byte = draw.draw(st.integers(0, 255).filter(lambda value: value != data[at]))
            data = data[:at] + bytes([byte]) + data[at + 1 :]
        case "cut":
            data = data[:at]
        case "put in":
            data = data[:at] + draw.draw(st.binary(min_size=1, max_size=100)) + data[at:]
        case "delete line":
            data = b"".join(lines[:line_at] + lines[line_at + 1 :])
        case "double line":
            data = b"".join([*lines[:other_at], lines[line_at], *lines[other_at:]])
        case "swap lines":
            lines[line_at], lines[other_at] = lines[other_at], lines[line_at]
            data = b"".join(lines)
        case _:
            file.unlink()
            return
    file.write_bytes(data)


@settings(deadline=None)
@given(st.data(), RECORDS.filter(bool), st.integers(1, 3), st.sampled_from(CHANGES))
def test_both_verifiers_agree(
    draw: st.DataObject, records: list[dict[str, Any]], per_segment: int, kind: str
) -> None:
    """After any change two verifiers that share no code find fault, or none where none was made."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_ledger(folder, records, per_segment=per_segment)
        head, before = hashes(files)[-1], {file: file.read_bytes() for file in files}
        change(draw, folder, kind)
        same = before == {file: file.read_bytes() for file in sorted(folder.iterdir())}
        assert verify_ledger(folder, head).holds == same
        assert (faults(folder, head) == []) == same


def edited(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b'"kind"', b'"Kind"'), *lines[2:]]


def rehashed(lines: list[bytes]) -> list[bytes]:
    """Change a record and give it the hash that it then has."""
    return [lines[0], line({"kind": "end", "forged": 1}, hash_of(lines[0])), *lines[2:]]


OTHER = chained([{"kind": "end", "from": "another ledger"}] * 2)


@pytest.mark.parametrize(
    ("alter", "expected"),
    [
        (edited, ["w0-000001.jsonl:2: edited: its bytes have the hash"]),
        (
            lambda lines: [*lines[:1], lines[1].replace(lines[1][-67:-3], b"f" * 64), *lines[2:]],
            ["w0-000001.jsonl:2: edited: its bytes have the hash"],
        ),
        (rehashed, ["w0-000001.jsonl:3: broken: it follows"]),
        (
            lambda lines: lines[:2] + lines[3:],
            ["w0-000001.jsonl:3: broken: it follows"],
        ),
        (lambda lines: lines[1:], ["w0-000001.jsonl:1: beginning missing: the first line must"]),
        (
            lambda lines: [*lines[:3], lines[0], *lines[3:]],
            ["w0-000001.jsonl:4: duplicate: this line stands in line 1 already"],
        ),
        (
            lambda lines: [*lines[:3], OTHER[1], *lines[3:]],
            ["w0-000001.jsonl:4: broken: it follows"],
        ),
        (
            lambda lines: [*lines[:3], OTHER[0], *lines[3:]],
            ["w0-000001.jsonl:4: out of order: it is the first line of a chain, but others"],
        ),
        (
            lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
            [
                "w0-000001.jsonl:2: broken: it follows",
                "w0-000001.jsonl:4: out of order: it follows line 2, what stands between",
            ],
        ),
        (
            lambda lines: [*lines[:2], b"rubbish\n", *lines[2:]],
            ["w0-000001.jsonl:3: garbage: the line does not end with prev and hash"],
        ),
        (
            lambda lines: [*lines[:2], b"\n", *lines[3:]],
            ["w0-000001.jsonl:3: garbage: the line does not end with prev and hash"],
        ),
        (
            lambda lines: [*lines[:5], lines[5][:-9]],
            ["w0-000001.jsonl:6: torn: the line ends without a newline"],
        ),
        (
            lambda lines: [*lines[:5], lines[5][:-1]],
            ["w0-000001.jsonl:6: torn: the line ends without a newline"],
        ),
    ],
)
def test_what_was_done_is_named(
    tmp_path: Path, alter: Callable[[list[bytes]], list[bytes]], expected: list[str]
) -> None:
    """A fault says segment, line and what was done, and one change is not told over and over."""
    [file] = write_ledger(tmp_path, calls(3))
    rewrite(file, alter)
    found = told(verify_ledger(tmp_path))
    assert len(found) == len(expected)
    assert [text.startswith(start) for text, start in zip(found, expected, strict=True)] == [
        True
    ] * len(expected)


def test_missing_segments_are_named(tmp_path: Path) -> None:
    """Segments that are missing are told by number, and what comes behind them is still checked."""
    files = write_ledger(tmp_path, calls(4), per_segment=1)
    for gone in (files[0], files[3], files[4]):
        gone.unlink()
    rewrite(files[6], lambda lines: [lines[0].replace(b'"c4"', b'"c5"')])
    *missing, edit = told(verify_ledger(tmp_path))
    assert missing == [
        "w0-000002.jsonl: segment 1 of w0 is missing before it",
        "w0-000006.jsonl: segments 4 to 5 of w0 are missing before it",
    ]
    assert edit.startswith("w0-000007.jsonl:1: edited")


def test_a_cut_end_is_found_by_a_noted_head(tmp_path: Path) -> None:
    """Whole lines missing at the end show in no chain, but a head that was noted is gone."""
    files = write_ledger(tmp_path, calls(3), per_segment=2)
    all_hashes = hashes(files)
    for size in range(6, 0, -1):
        assert verify_ledger(tmp_path).holds
        assert verify_ledger(tmp_path, all_hashes[:size]).holds
        found = verify_ledger(tmp_path, all_hashes[size:] or "0" * 64)
        assert len(found.faults) == 6 - size
        last = files[(size - 1) // 2]
        rewrite(last, lambda lines: lines[:-1])
        if not last.stat().st_size:
            last.unlink()


def test_a_ledger_written_anew_is_found_by_a_noted_head(tmp_path: Path) -> None:
    """A forged ledger that holds in itself does not have the head that was noted."""
    head = hashes(write_ledger(tmp_path, calls(2)))[-1]
    write_ledger(tmp_path, calls(2, prompt_tokens=1))
    assert verify_ledger(tmp_path).holds
    assert told(verify_ledger(tmp_path, head)) == [
        f"{tmp_path.name}: cut off or written anew: no line that holds has the noted head {head}"
    ]


def test_each_worker_has_a_chain(tmp_path: Path) -> None:
    """The chains of workers are checked apart, and each head is reported."""
    for worker in (10, 2, 0):
        records = calls(worker + 1, first=100 * worker + 1)
        write_ledger(tmp_path, records, worker=worker, per_segment=5, compressed=True)
    found = verify_ledger(tmp_path)
    assert found.holds
    assert [(head.chain, head.segments, head.records) for head in found.heads] == [
        ("w0", 1, 2),
        ("w2", 2, 6),
        ("w10", 5, 22),
    ]


def test_changes_in_a_compressed_segment_are_found(tmp_path: Path) -> None:
    """In a compressed segment, an edit is named by its line, and a cut or damage by where it is."""
    first, _ = write_ledger(tmp_path, calls(2), per_segment=3, compressed=True)
    lines = zstandard.decompress(first.read_bytes())
    packed = zstandard.compress(lines.replace(b'"c2"', b'"c3"'))
    first.write_bytes(packed)
    assert told(verify_ledger(tmp_path))[0].startswith("w0-000001.jsonl.zst:3: edited")
    first.write_bytes(packed[:-1])
    [cut] = told(verify_ledger(tmp_path))
    assert cut == (
        "w0-000001.jsonl.zst:1: the compressed data is cut off here; "
        "the rest of the file cannot be checked"
    )


def test_both_forms_count_once(tmp_path: Path) -> None:
    """A segment that is there plain and compressed, as after a crash, is one segment."""
    [file] = write_ledger(tmp_path, calls(2))
    file.with_name(f"{file.name}.zst").write_bytes(zstandard.compress(file.read_bytes()))
    found = verify_ledger(tmp_path)
    assert (found.holds, found.segments, found.records) == (True, 1, 4)


def test_a_folder_without_segments_does_not_hold(tmp_path: Path) -> None:
    """An emptied ledger is a fault; a folder that is not there cannot be verified at all."""
    assert told(verify_ledger(tmp_path)) == [
        f"{tmp_path.name}: holds no segment: a ledger has at least one, w0-000001.jsonl"
    ]
    with pytest.raises(BadRecord, match="none: No such file"):
        verify_ledger(tmp_path / "none")


def test_a_flood_of_faults_is_counted_not_kept(tmp_path: Path) -> None:
    """A file of garbage gives a bounded list of faults and their whole number."""
    (tmp_path / "w0-000001.jsonl").write_bytes(b"x\n" * 5000)
    found = verify_ledger(tmp_path)
    assert (len(found.faults), found.fault_count, found.records) == (1000, 5000, 5000)


def test_what_cannot_be_read_is_a_fault_and_the_rest_is_checked(tmp_path: Path) -> None:
    """A line without end, or a segment that is no file, is told, and the next segment is checked."""
    files = write_ledger(tmp_path, calls(2), per_segment=1)
    os.truncate(files[0], 17 << 20)
    files[2].unlink()
    os.mkfifo(files[2])
    found = told(verify_ledger(tmp_path))
    assert found[0].startswith("w0-000001.jsonl:2: the line is longer than")
    assert found[1].startswith(
        "w0-000003.jsonl: is not a regular file; the rest of the file cannot"
    )
    assert len(found) == 2


def test_without_zstandard_nothing_is_blamed_on_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that cannot unpack a segment says so; that is no fault of the ledger."""
    write_ledger(tmp_path, calls(2), per_segment=1, compressed=True)
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    with pytest.raises(BadRecord, match="pip install zstandard"):
        verify_ledger(tmp_path)
