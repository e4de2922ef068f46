"""The chunked coding, in any slicing, and what does not follow the standard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.http.wire.chunks import ChunkReader


def taken_by(reader: ChunkReader, piece: bytes) -> list[bytes]:
    """Return what a reader gives of a piece; one that is just a chunk it gives at once."""
    whole = reader.whole(piece)
    return reader.feed(piece) if whole is None else [whole]


def fed(pieces: list[bytes]) -> tuple[bytes, bool]:
    """Return what a reader gives of pieces, and whether it found a fault."""
    reader, taken = ChunkReader(), b""
    for piece in pieces:
        taken += b"".join(taken_by(reader, piece))
        if reader.fault is not None:
            break
    return taken, reader.fault is not None


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    st.sampled_from([b"", b";ext", b' ; a="b"']),
    st.sampled_from([b"", b"X: y\r\n", b"A: 1\r\nB: 2\r\n"]),
    st.binary(max_size=5),
    st.data(),
)
def test_any_slicing(
    chunks: list[bytes], extension: bytes, trailer: bytes, rest: bytes, data: st.DataObject
) -> None:
    """The body is whole, each chunk's end is the end of a piece, and what comes behind is not taken."""
    coded = b"".join(b"%X%b\r\n%b\r\n" % (len(c), extension, c) for c in chunks)
    whole = coded + b"0\r\n" + trailer + b"\r\n" + rest
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    reader, taken, late = ChunkReader(), list[bytes](), b""
    for piece in pieces:
        if reader.done:
            late += piece
        else:
            taken += taken_by(reader, piece)
    assert b"".join(taken) == b"".join(chunks)
    assert reader.done
    assert reader.rest + late == rest
    ends = {sum(map(len, chunks[: n + 1])) for n in range(len(chunks))}
    assert ends <= {sum(map(len, taken[: n + 1])) for n in range(len(taken))}


@pytest.mark.parametrize(
    "bad",
    [
        *(b"zz\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"\r\n", b" 1\r\n", b"1 x\r\n", b"1_0\r\n"),
        *(b"1\r\nab\r\n", b"1\r\na\nb", b"1" * 5000, b"0\r\n" + b"X: y\r\n" * 4000, b"1\x00\r\n"),
        b"1000000000000000\r\n",
    ],
)
def test_what_breaks_the_standard_is_refused(bad: bytes) -> None:
    """Whole, or byte by byte; what came before it is part of the body."""
    body = b"" if bad[:3] not in (b"1\r\n",) else b"a"
    assert fed([b"2\r\nok\r\n" + bad]) == (b"ok" + body, True)
    assert fed([bytes([byte]) for byte in bad]) == (body, True)
