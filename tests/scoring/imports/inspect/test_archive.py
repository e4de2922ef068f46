import contextlib
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.scoring import BadRecord
from cab.scoring.imports import Note
from tests.scoring.imports.files import INSPECT, cells_of

LOG: dict[str, Any] = orjson.loads(INSPECT.read_bytes())
SAMPLES = {
    f"samples/{each['id']}_epoch_{each['epoch']}.json": orjson.dumps(each)
    for each in LOG["samples"]
}
HEADER = orjson.dumps({key: value for key, value in LOG.items() if key != "samples"})


def zipped(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip."""
    with zipfile.ZipFile(path, "w", method) as log:
        for name, content in members.items():
            log.writestr(name, content)
    return path


def zipped_with_zstd(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write a zip as newer versions of Inspect do, which Python cannot before 3.14."""
    packed = {name: zstandard.compress(content) for name, content in members.items()}
    zipped(path, packed, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.find(mark)
        while at >= 0:
            data[at + place] = 93
            at = data.find(mark, at + 1)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("write", [zipped, zipped_with_zstd])
def test_a_log_is_the_same_in_both_forms(tmp_path: Path, write: Any) -> None:
    """A zip of members, packed either way, holds the cells of the log in JSON."""
    assert cells_of(write(tmp_path / "x", {"header.json": HEADER, **SAMPLES})) == cells_of(INSPECT)


def test_a_log_that_goes_on_is_read_so_far(tmp_path: Path) -> None:
    """Before its end a log has a start in its journal and no header."""
    notes: list[Note] = []
    start = orjson.dumps({key: LOG[key] for key in ("version", "eval", "plan")})
    members = {"_journal/start.json": start, **SAMPLES}
    assert len(cells_of(zipped(tmp_path / "x.eval", members), notes)) == 3
    assert [note.text for note in notes] == ["the log is not complete: its status is None"]


@pytest.mark.parametrize("write", [zipped, zipped_with_zstd])
def test_a_broken_sample_does_not_cost_the_others(tmp_path: Path, write: Any) -> None:
    """A member that is not JSON is lost and named, and the others count."""
    notes: list[Note] = []
    members = {"header.json": HEADER, **SAMPLES, "samples/x.json": b"{"}
    assert len(cells_of(write(tmp_path / "x.eval", members), notes)) == 3
    [note] = notes
    assert note.text == (
        "samples/x.json: not valid JSON: unexpected end of data; this row is left out"
    ) or note.text.startswith("samples/x.json: not valid JSON")


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"a.txt": b"x"}, "not a log of Inspect: it has no header.json"),
        ({"header.json": b"[]"}, "header.json: is not an object"),
        ({"header.json": b"{"}, "header.json: not valid JSON"),
        ({"header.json": HEADER}, "holds no run"),
    ],
)
def test_a_zip_that_is_no_log_is_named(
    tmp_path: Path, members: dict[str, bytes], reason: str
) -> None:
    """Another zip, or a log without samples, is one error."""
    with pytest.raises(BadRecord, match=reason):
        cells_of(zipped(tmp_path / "x.eval", members))


def test_a_torn_zip_is_named(tmp_path: Path) -> None:
    """Without its end a zip has no list of members."""
    path = zipped(tmp_path / "x.eval", {"header.json": HEADER, **SAMPLES})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BadRecord, match="is not a whole zip"):
        cells_of(path)


@pytest.mark.parametrize("write", [zipped, zipped_with_zstd])
def test_a_bomb_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    """A member that unpacks to more than the limit is lost, whatever its size on the disk."""
    monkeypatch.setattr("cab.scoring.imports.inspect.archive.MAX_FILE_BYTES", 100_000)
    bomb = b'"' + b"0" * 1_000_000 + b'"'
    notes: list[Note] = []
    path = write(tmp_path / "x.eval", {"header.json": HEADER, **SAMPLES, "samples/b.json": bomb})
    assert len(cells_of(path, notes)) == 3
    assert "samples/b.json: is over the limit of 100000 bytes" in notes[0].text


def test_without_zstandard_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that is packed with zstd needs a library that the room does not."""
    whole = zipped_with_zstd(tmp_path / "x.eval", {"header.json": HEADER, **SAMPLES})
    mixed = zipped_with_zstd(tmp_path / "y.eval", SAMPLES)
    with zipfile.ZipFile(mixed, "a") as log:
        log.writestr("header.json", HEADER)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    for path in (whole, mixed):
        with pytest.raises(BadRecord, match="run: pip install zstandard"):
            cells_of(path)


def test_a_sample_may_be_written_again(tmp_path: Path) -> None:
    """Of two members of one name the later one counts."""
    path = zipped(tmp_path / "x.eval", {"header.json": HEADER, **SAMPLES})
    name = "samples/lib-1_epoch_1.json"
    again = SAMPLES[name].replace(b'"value":"C"', b'"value":"I"')
    assert again != SAMPLES[name]
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "a") as log:
        log.writestr(name, again)
    assert cells_of(path)[0].passed == 0


def test_a_zip_of_too_many_members_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log has a member per sample and some more."""
    monkeypatch.setattr("cab.scoring.imports.inspect.archive.MAX_MEMBERS", 3)
    with pytest.raises(BadRecord, match="has more than 3 members"):
        cells_of(zipped(tmp_path / "x.eval", {"header.json": HEADER, **SAMPLES}))


@pytest.mark.parametrize("write", [zipped, zipped_with_zstd])
@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_bytes_of_a_log_may_be_others(write: Any, draw: st.DataObject) -> None:
    """A zip of which bytes were changed or taken out is read in part, or refused with a BadRecord."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "x.eval", {"header.json": HEADER, **SAMPLES, "README": b"x"})
        text = path.read_bytes()
        cut = draw.draw(st.integers(4, len(text)))
        rest = draw.draw(st.integers(cut, min(len(text), cut + 40)))
        path.write_bytes(text[:cut] + draw.draw(st.binary(max_size=20)) + text[rest:])
        notes: list[Note] = []
        with contextlib.suppress(BadRecord):
            assert cells_of(path, notes)
        assert all(str(note).isprintable() for note in notes)


@pytest.mark.parametrize("write", [zipped, zipped_with_zstd])
def test_a_damaged_sample_does_not_cost_the_others(tmp_path: Path, write: Any) -> None:
    """Where the content of one member is damaged, or is encrypted, the others are read."""
    path = write(tmp_path / "x.eval", {"header.json": HEADER, **SAMPLES})
    with zipfile.ZipFile(path) as log:
        first, second = log.infolist()[1:3]
        data = bytearray(path.read_bytes())
    begin = first.header_offset + 30 + len(first.filename)
    data[begin : begin + 40] = b"\xff" * 40
    directory = data.rfind(second.filename.encode()) - 46
    data[directory + 8] |= 1
    path.write_bytes(data)
    notes: list[Note] = []
    assert len(cells_of(path, notes)) == 1
    damaged, encrypted = notes
    assert damaged.text.startswith(f"{first.filename}: is damaged: ")
    assert encrypted.text.startswith(f"{second.filename}: is encrypted")
