import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from cab.proxy.ledger.compression import CompressionStopped, Compressor, compress_segment
from cab.scoring.ledger.reading import segment_files, segment_lines
from cab.scoring.ledger.segments import open_segment

CONTENT = b"".join(b'{"n":%d}\n' % n for n in range(300_000))
NEVER = threading.Event()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "w0-000001.jsonl"
    path.write_bytes(CONTENT)
    yield path
    [left] = segment_files(tmp_path)
    assert b"".join(segment_lines(left)) == CONTENT


def names(plain: Path) -> set[str]:
    return {path.name for path in plain.parent.iterdir()}


def packed(plain: Path) -> Path:
    return plain.with_name(f"{plain.name}.zst")


def test_a_segment_is_replaced_by_its_compressed_form(plain: Path) -> None:
    """The compressed file holds the same bytes in fewer, states their number, and stands alone."""
    compress_segment(plain, NEVER)
    assert names(plain) == {"w0-000001.jsonl.zst"}
    assert packed(plain).stat().st_size < len(CONTENT) / 4
    head = zstandard.get_frame_parameters(packed(plain).read_bytes())
    assert (head.content_size, head.has_checksum) == (len(CONTENT), True)
    with open_segment(packed(plain)) as handle:
        assert handle.readline() == b'{"n":0}\n'


def test_an_interruption_after_the_rename_is_made_good(plain: Path) -> None:
    """Where both forms are there and agree, only the plain one goes."""
    content = zstandard.compress(CONTENT)
    packed(plain).write_bytes(content)
    compress_segment(plain, NEVER)
    assert names(plain) == {"w0-000001.jsonl.zst"}
    assert packed(plain).read_bytes() == content


@pytest.mark.parametrize(
    "bad", [b"", b"no zstd", zstandard.compress(b"other"), zstandard.compress(CONTENT)[:-9]]
)
def test_a_compressed_form_that_differs_is_put_aside(plain: Path, bad: bytes) -> None:
    """Where the two forms differ, the plain one counts, and the other is kept under another name."""
    packed(plain).write_bytes(bad)
    compress_segment(plain, NEVER)
    assert names(plain) == {"w0-000001.jsonl.zst", "w0-000001.jsonl.zst.bad"}
    assert packed(plain).with_name("w0-000001.jsonl.zst.bad").read_bytes() == bad


class StopAfter(threading.Event):
    """An event that is set after it was asked for some times."""

    def __init__(self, asked: int) -> None:
        super().__init__()
        self._left = asked

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.mark.parametrize("asked", range(9))
def test_a_stop_at_any_time_leaves_the_plain_segment(plain: Path, asked: int) -> None:
    """Given up at whatever piece, the plain segment is as it was and nothing half made is left."""
    with pytest.raises(CompressionStopped):
        compress_segment(plain, StopAfter(asked))
    assert names(plain) == {"w0-000001.jsonl"}


def test_a_refusing_disk_leaves_the_plain_segment(plain: Path) -> None:
    """A segment that cannot be compressed stays, and those after it still are."""
    (plain.parent / "w0-000001.jsonl.zst.tmp").mkdir()
    other = plain.with_name("w0-000002.jsonl")
    other.write_bytes(CONTENT)
    compressor = Compressor()
    compressor.add(plain)
    compressor.add(other)
    compressor._queue.put(None)
    compressor._thread.join()
    compressor.close()
    assert names(plain) == {
        "w0-000001.jsonl",
        "w0-000001.jsonl.zst.tmp",
        "w0-000002.jsonl.zst",
    }
    packed(other).unlink()


def test_a_compressor_that_is_closed_gives_up(plain: Path) -> None:
    """Closing does not wait for what is still to be compressed."""
    compressor = Compressor()
    compressor._stop.set()
    compressor.add(plain)
    compressor.close()
    assert names(plain) == {"w0-000001.jsonl"}
