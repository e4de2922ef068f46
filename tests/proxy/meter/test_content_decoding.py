"""Reading a copy of compressed bodies."""

import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cab.proxy.meter.content_decoding import BadEncoding, Decoder
from tests.proxy.meter.drive import bytewise, slicings

LIMIT = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def identity(data: bytes) -> bytes:
    return data


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "none": ("", identity),
    "identity": ("identity", identity),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": (" X-GZIP ", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "two": ("gzip, br", lambda data: brotli.compress(gzip.compress(data))),
}


def decoded(encoding: str, chunks: list[bytes]) -> bytes:
    decoder = Decoder(encoding, LIMIT)
    return b"".join(piece for chunk in chunks for piece in decoder.decode(chunk))


@pytest.mark.parametrize("name", PACKERS)
@given(data=st.data())
def test_every_encoding_is_undone_in_any_slicing(name: str, data: st.DataObject) -> None:
    """What was packed comes out again, whatever the slicing."""
    encoding, pack = PACKERS[name]
    body = data.draw(st.binary())
    assert decoded(encoding, data.draw(slicings(pack(body)))) == body
    assert decoded(encoding, bytewise(pack(body))) == body


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("zstd", PACKERS["zstd"][1])]
)
def test_members_and_frames_follow_each_other(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    """A body of several gzip members or zstd frames is read to its end."""
    packed = pack(b"one") + pack(b"two")
    assert decoded(encoding, [packed]) == decoded(encoding, bytewise(packed)) == b"onetwo"


def test_padding_after_a_member_means_nothing() -> None:
    """Zeros after the last gzip member are no error."""
    assert decoded("gzip", [gzip.compress(b"one") + bytes(8), bytes(3)]) == b"one"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_bytes_that_do_not_hold_what_the_header_says_are_named(encoding: str) -> None:
    """A body that is not encoded as announced raises the one error there is."""
    with pytest.raises(BadEncoding, match="the body does not match its content-encoding"):
        decoded(encoding, [b"data: plain text\n\n" * 9])


def test_an_unknown_encoding_is_taken_for_none() -> None:
    """A charset as the encoding leaves the bytes as they are, and is named."""
    decoder = Decoder("UTF-8", LIMIT)
    assert decoder.is_identity
    assert decoder.unknown == ["utf-8"]
    assert Decoder("gzip, identity", LIMIT).unknown == []
    assert decoded("gzip, utf-8", [gzip.compress(b"one")]) == b"one"


@pytest.mark.parametrize("name", ["gzip", "zlib", "br", "zstd"])
def test_a_bomb_is_stopped_before_it_decompresses(name: str) -> None:
    """A chunk that decompresses beyond the limit is stopped soon after the limit."""
    encoding, pack = PACKERS[name]
    bomb = pack(bytes(16 << 20))
    pieces: list[bytes] = []
    with pytest.raises(BadEncoding, match="a chunk decompresses to more than 1048576 bytes"):
        pieces.extend(Decoder(encoding, LIMIT).decode(bomb))
    assert sum(map(len, pieces)) <= LIMIT


@pytest.mark.parametrize("name", ["gzip", "zlib", "br", "zstd"])
def test_a_dense_body_is_decoded_in_bites(name: str) -> None:
    """However much a piece decompresses to, no step gives out more than a few megabytes."""
    encoding, pack = PACKERS[name]
    body = bytes(32 << 20)
    pieces = list(Decoder(encoding, 64 << 20).decode(pack(body)))
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= 2 << 20


def test_a_window_over_that_of_http_is_refused() -> None:
    """A frame of zstd may not make the reader keep more than RFC 9659 allows."""
    packer = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27)
    ).compressobj()
    with pytest.raises(BadEncoding, match="content-encoding"):
        decoded("zstd", [packer.compress(b"x") + packer.flush()])


def test_identity_is_known() -> None:
    """Without anything to undo chunks pass as they are."""
    assert Decoder("identity, ", LIMIT).is_identity
    assert not Decoder("gzip", LIMIT).is_identity
    chunk = b"x" * 10
    assert next(iter(Decoder("", 1).decode(chunk))) is chunk
