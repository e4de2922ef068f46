"""Output in files of bounded size."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cab.adapters.output.bounded_file import BoundedFile


def test_small_output_is_whole(tmp_path: Path) -> None:
    """What fits is kept as it is, in beginning and end together."""
    kept = BoundedFile(tmp_path / "out", head_bytes=4, tail_bytes=4)
    kept.write(b"abcde")
    kept.write(b"fgh")

    assert kept.close() == 0
    assert (tmp_path / "out").read_bytes() == b"abcdefgh"


def test_flood(tmp_path: Path) -> None:
    """Of a flood the beginning and the end are kept, and a line says how much is missing."""
    kept = BoundedFile(tmp_path / "out", head_bytes=4, tail_bytes=4)
    for number in range(100):
        kept.write(b"%02d" % number)

    assert kept.close() == 192
    assert (tmp_path / "out").read_bytes() == b"0001\n[cab: 192 bytes are left out here]\n9899"


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=20)), st.integers(0, 10), st.integers(0, 10))
def test_bounded(tmp_path: Path, pieces: list[bytes], head: int, tail: int) -> None:
    """However it comes, beginning, gap and end are those of the whole."""
    whole = b"".join(pieces)
    kept = BoundedFile(tmp_path / "out", head_bytes=head, tail_bytes=tail)
    for piece in pieces:
        kept.write(piece)
    missing = kept.close()

    mark = b"\n[cab: %d bytes are left out here]\n" % missing if missing else b""
    assert missing == max(0, len(whole) - head - tail)
    rest = whole[head:]
    assert (tmp_path / "out").read_bytes() == whole[:head] + mark + rest[missing:]
