import tracemalloc
from pathlib import Path

import pytest
import zstandard

from cab.scoring.ledger.zstd import Damaged, Unpacked


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_the_content_comes_out_in_any_slices(tmp_path: Path, size: int) -> None:
    """However few bytes are asked for at once, the content of all frames comes out in order."""
    path = tmp_path / "a.zst"
    parts = [bytes([n]) * 1000 * n for n in range(5)]
    path.write_bytes(b"".join(zstandard.compress(part) for part in parts))
    with Unpacked(path) as unpacked:
        assert unpacked.readable()
        pieces = list(iter(lambda: unpacked.read(size), b""))
    assert b"".join(pieces) == b"".join(parts)


def test_an_empty_file_is_cut_off(tmp_path: Path) -> None:
    """A file of no bytes is no compressed file of nothing."""
    path = tmp_path / "a.zst"
    path.touch()
    with Unpacked(path) as unpacked, pytest.raises(Damaged, match="cut off"):
        unpacked.read(1)


def test_what_unpacks_to_very_much_is_not_held(tmp_path: Path) -> None:
    """Reading 1 GB that was packed into a few kB takes a small part of it."""
    path = tmp_path / "a.zst"
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as writer:
        for _ in range(1024):
            writer.write(bytes(1 << 20))
    buffer, size = bytearray(1 << 20), 0
    tracemalloc.start()
    with Unpacked(path) as unpacked:
        while got := unpacked.readinto(buffer):
            size += got
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 1 << 30
    assert peak < 256 << 20
