import os
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from cab.scoring import BadRecord
from cab.scoring.ledger.bounds import MAX_LINE_BYTES, BrokenLine
from cab.scoring.ledger.segments import find_segments, find_strays, segment_files, segment_lines


def packed(data: bytes, piece: int | None = None) -> bytes:
    """Return data as zstd, in one frame, or in one frame per piece of that many bytes."""
    pieces = [data] if piece is None else [data[n : n + piece] for n in range(0, len(data), piece)]
    return b"".join(zstandard.compress(part) for part in pieces)


def test_segments_are_in_the_ledgers_order(tmp_path: Path) -> None:
    """Workers and segments are ordered by number, other files are none, each segment is there once."""
    for name in (
        *("w10-000001.jsonl", "w2-000010.jsonl", "w2-000009.jsonl.zst", "w2-1000000.jsonl"),
        *(
            "w2-000010.jsonl.zst",
            "other.jsonl",
            "signing.key",
            "w2.lock",
            "w3-000001.jsonl.zst.part",
        ),
    ):
        (tmp_path / name).touch()
    assert [file.name for file in segment_files(tmp_path)] == [
        "w2-000009.jsonl.zst",
        "w2-000010.jsonl",
        "w2-1000000.jsonl",
        "w10-000001.jsonl",
    ]
    assert [(segment.chain, segment.number) for segment in find_segments(tmp_path)][:2] == [
        ("w2", 9),
        ("w2", 10),
    ]
    assert [file.name for file in find_strays(tmp_path)] == [
        "other.jsonl",
        "w3-000001.jsonl.zst.part",
    ]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A folder that cannot be listed is an error that names it."""
    with pytest.raises(BadRecord, match="none: No such file"):
        segment_files(tmp_path / "none")


@pytest.mark.parametrize("piece", [None, 1, 3000])
def test_both_forms_have_the_same_lines(tmp_path: Path, piece: int | None) -> None:
    """A compressed segment gives the lines of the plain one, in however many frames it is."""
    data = b"".join(b"%d\n" % n for n in range(3000)) + b"torn"
    plain, zst = tmp_path / "a-1.jsonl", tmp_path / "b-1.jsonl.zst"
    plain.write_bytes(data)
    zst.write_bytes(packed(data, piece))
    assert list(segment_lines(plain)) == list(segment_lines(zst)) == data.splitlines(keepends=True)


def test_a_segment_compressed_since_it_was_listed_is_found(tmp_path: Path) -> None:
    """A plain file that has become a compressed one under the reader's hands is read all the same."""
    (tmp_path / "w0-000001.jsonl.zst").write_bytes(packed(b"a\n"))
    assert list(segment_lines(tmp_path / "w0-000001.jsonl")) == [b"a\n"]


def test_the_rest_of_a_line_that_is_being_written_is_read(tmp_path: Path) -> None:
    """A line whose end comes between two looks at the file is one line."""
    path = tmp_path / "w0-000001.jsonl"
    path.write_bytes(b"a\nb")
    lines = segment_lines(path)
    assert next(lines) == b"a\n"
    with path.open("ab") as handle:
        handle.write(b"c\n")
    assert list(lines) == [b"bc\n"]


def test_every_cut_of_a_compressed_file_is_noticed(tmp_path: Path) -> None:
    """A compressed segment that ends early is damaged, it is never taken for a shorter one."""
    whole = packed(b"a\nb\n" * 50)
    path = tmp_path / "w0-000001.jsonl.zst"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(BadRecord, match="the compressed data is cut off here"):
            list(segment_lines(path))


def test_damage_is_named_by_its_line(tmp_path: Path) -> None:
    """What cannot be unpacked is an error that names the line where it begins."""
    path = tmp_path / "w0-000001.jsonl.zst"
    path.write_bytes(packed(b"a\nb\n") + b"rubbish")
    lines = segment_lines(path)
    assert [next(lines), next(lines)] == [b"a\n", b"b\n"]
    with pytest.raises(BadRecord, match=r"zst:3: the compressed data is damaged here"):
        next(lines)


@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_an_endless_line_is_not_held(tmp_path: Path, suffix: str) -> None:
    """Of a line past the limit the beginning comes, reading it takes no more memory, and more follow."""
    path = tmp_path / f"1.jsonl{suffix}"
    if suffix:
        path.write_bytes(packed(bytes(MAX_LINE_BYTES * 4) + b"\nnext\n"))
    else:
        path.touch()
        os.truncate(path, MAX_LINE_BYTES * 4)
        with path.open("ab") as handle:
            handle.write(b"\nnext\n")
    endless, after = segment_lines(path)
    assert isinstance(endless, BrokenLine)
    assert endless.reason == f"the line is longer than {MAX_LINE_BYTES} bytes"
    assert len(endless) < 1 << 16
    assert after == b"next\n"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe that is called a segment is an error, not a wait for ever."""
    os.mkfifo(tmp_path / "w0-000001.jsonl")
    with pytest.raises(BadRecord, match="is not a regular file"):
        list(segment_lines(tmp_path / "w0-000001.jsonl"))


def test_without_zstandard_the_mend_is_named(tmp_path: Path) -> None:
    """A compressed segment on a machine without zstandard is one line that says what to install."""
    (tmp_path / "w0-000001.jsonl.zst").write_bytes(packed(b"a\n"))
    code = (
        "import sys; sys.modules['zstandard'] = None\n"
        "from pathlib import Path\n"
        "from cab.scoring.ledger.segments import segment_lines\n"
        "try: list(segment_lines(Path('w0-000001.jsonl.zst')))\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("is compressed; to read it, run: pip install zstandard\n")
