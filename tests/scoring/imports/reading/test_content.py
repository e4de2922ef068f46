import gzip
from pathlib import Path
from random import Random

import pytest
import zstandard

from cab.scoring import BadRecord
from cab.scoring.imports.reading import content as module
from cab.scoring.imports.reading.content import is_zip, open_content
from tests.scoring.imports.files import written


def whole(path: Path) -> bytes:
    """Return all that is in a file."""
    with open_content(path) as content:
        return content.whole()


def lines(path: Path) -> list[tuple[int, bytes | None]]:
    """Return the lines of a file, and that it is torn as one more without content."""
    with open_content(path) as content:
        found = list(content.lines())
        return found if content.torn is None else [*found, (-1, None)]


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_content_is_what_was_packed(tmp_path: Path, size: int, pack: object) -> None:
    """Whatever the size, and however it is packed."""
    assert callable(pack)
    text = (b"0123456789\n" * (size // 11 + 1))[:size]
    assert whole(written(tmp_path / "x", pack(text))) == text


def test_several_gzip_members_are_one_content(tmp_path: Path) -> None:
    """Files that were joined, with zeros between and behind them, are read to the end."""
    text = gzip.compress(b"one\n") + b"\0" * 100 + gzip.compress(b"two\n") + b"\0" * 70_000
    assert whole(written(tmp_path / "x", text)) == b"one\ntwo\n"


@pytest.mark.parametrize(
    "packed", [gzip.compress(b"12345"), zstandard.compress(b"1" * 99999)], ids=["gzip", "zstd"]
)
def test_more_than_the_limit_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bytes
) -> None:
    """A bomb is refused once it has unpacked to more than a file may have."""
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 4)
    with pytest.raises(BadRecord, match="over the limit of 4 bytes"):
        whole(written(tmp_path / "x", packed))
    assert whole(written(tmp_path / "x", b"1234")) == b"1234"
    with pytest.raises(BadRecord, match="over the limit of 4 bytes"):
        whole(written(tmp_path / "x", b"12345"))


def test_a_bomb_of_lines_ends_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read line by line, packed content has a limit, too."""
    monkeypatch.setattr(module, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(BadRecord, match="unpacks to more than 1000 bytes"):
        lines(written(tmp_path / "x", gzip.compress(b"line\n" * 1000)))


def test_blank_lines_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gigabytes of them pack into some megabytes: they are not read for hours."""
    monkeypatch.setattr(module, "MAX_LINES", 100)
    assert len(lines(written(tmp_path / "x", b"{}\n" * 100))) == 100
    with pytest.raises(BadRecord, match="has more than 100 lines"):
        lines(written(tmp_path / "x", gzip.compress(b"{}\n{}\n" + b"\n" * 100)))


def test_a_line_over_the_limit_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines behind it keep their numbers."""
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 10)
    path = written(tmp_path / "x", b"a\n" + b"b" * 1000 + b"\n\nc\n" + b"d" * 11)
    assert lines(path) == [(1, b"a\n"), (2, None), (4, b"c\n"), (5, None)]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_packed_content_that_is_cut_off_is_torn(tmp_path: Path, pack: object) -> None:
    """Line by line what is there is read; as a whole it is refused."""
    assert callable(pack)
    numbers = Random(7)
    text = b"".join(b"%d\n" % numbers.getrandbits(60) for _ in range(30_000))
    packed = pack(text)
    path = written(tmp_path / "x", packed[: len(packed) // 2])
    found = lines(path)
    assert len(found) > 10_000
    assert found[-1] == (-1, None)
    with pytest.raises(BadRecord, match="cut off"):
        whole(path)


@pytest.mark.parametrize(
    "text", [b"\x1f\x8bgarbage", gzip.compress(b"x") + b"garbage"], ids=["begin", "end"]
)
def test_damaged_content_is_named(tmp_path: Path, text: bytes) -> None:
    """What is not what it begins as is one error."""
    with pytest.raises(BadRecord, match="the compressed data is"):
        whole(written(tmp_path / "x", text))


def test_a_device_is_not_opened(tmp_path: Path) -> None:
    """A name that leads to an endless device is refused."""
    (tmp_path / "x").symlink_to("/dev/zero")
    for read in (whole, is_zip):
        with pytest.raises(BadRecord, match="not a regular file"):
            read(tmp_path / "x")


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        (b"", b"", b""),
        (b"\n \n{}\n\n[1]\n", b"{}", b"[1]"),
        (b"{}", b"{}", b""),
        (b"\n" * 5000 + b"x", b"", b""),
    ],
)
def test_the_first_lines_are_not_lost(
    tmp_path: Path, text: bytes, first: bytes, second: bytes
) -> None:
    """Who looks at them reads all of the content afterwards."""
    with open_content(written(tmp_path / "x", text)) as content:
        assert content.first_lines() == (first, second)
        assert content.whole() == text
