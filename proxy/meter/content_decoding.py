"""Reading a copy of a body that the endpoint has compressed, although it was asked not to."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import brotli  # pyright: ignore[reportMissingTypeStubs] - it has none
import zstandard

_BITE_BYTES = 1 << 18
"""Most that one step of a decoder gives out; brotli and zstd overshoot it by a few blocks."""
_PIECE_BYTES = 4096
"""What is not taken yet of a piece is copied with every bite, so a piece is small."""
_ZSTD_PIECE_BYTES = 64
"""zstd gives out all that a piece decompresses to, and its densest blocks grow 32,000-fold: 2 MB."""
_ZSTD_WINDOW_BYTES = 8 << 20
"""RFC 9659: no larger window is used over HTTP."""


class BadEncoding(ValueError):
    """A body that is not encoded as its header says, or that decompresses to too many bytes."""


_BROTLI = cast("Any", brotli)
_ERRORS: tuple[type[Exception], ...] = (zlib.error, _BROTLI.error, zstandard.ZstdError)

Inflate = Callable[[bytes], Iterator[bytes]]
"""Yields what the next piece decompresses to, in bites."""


class _ZlibObject(Protocol):
    """What `zlib.decompressobj` returns."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Decoder:
    """Undoes the content encoding of a body, piece by piece.

    Args:
        content_encoding: The header's value; several encodings stand in the order of application.
            One that is not known, such as `utf-8`, is taken for none at all.
        limit_bytes: One chunk may not decompress to more.
    """

    def __init__(self, content_encoding: str, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._stages: list[Inflate] = []
        self.unknown: list[str] = []
        if not content_encoding:  # nearly always
            return
        names = [name.strip().lower() for name in content_encoding.split(",")]
        self.unknown = [name for name in names if name not in (*_INFLATERS, "", "identity")]
        """Encodings that are not known."""
        for name in reversed(names):
            if name in _INFLATERS:
                self._stages.append(_INFLATERS[name]())

    @property
    def is_identity(self) -> bool:
        """Whether there is nothing to undo."""
        return not self._stages

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what `chunk` decompresses to.

        Raises:
            BadEncoding: The bytes are not what the header says, or too many.
        """
        if self.is_identity:
            yield chunk
            return
        room_bytes = self._limit_bytes
        try:
            for piece, is_last in self._through(chunk, 0):
                room_bytes -= len(piece)
                if room_bytes < 0:
                    message = f"a chunk decompresses to more than {self._limit_bytes} bytes"
                    raise BadEncoding(message)
                if is_last and piece:
                    yield piece
        except _ERRORS as error:
            raise BadEncoding(f"the body does not match its content-encoding: {error}") from error

    def _through(self, data: bytes, stage: int) -> Iterator[tuple[bytes, bool]]:
        """Yield what each stage from this one on gives out, and whether that was the last stage."""
        is_last = stage + 1 == len(self._stages)
        for start in range(0, len(data), _PIECE_BYTES):
            for piece in self._stages[stage](data[start : start + _PIECE_BYTES]):
                yield piece, is_last
                if not is_last:
                    yield from self._through(piece, stage + 1)


class _Gzip:
    """Members of gzip, one after the other."""

    def __init__(self) -> None:
        self._member: _ZlibObject = zlib.decompressobj(31)

    def __call__(self, piece: bytes) -> Iterator[bytes]:
        yield from _bites(self._member, piece)
        # What follows a member is another one, or padding that means nothing.
        while self._member.eof and (rest := self._member.unused_data).startswith(b"\x1f"):
            self._member = zlib.decompressobj(31)
            yield from _bites(self._member, rest)


class _Deflate:
    """Zlib as RFC 9110 says, or the raw stream that some servers send under the same name."""

    def __init__(self) -> None:
        self._head = b""
        self._body: _ZlibObject | None = None

    def __call__(self, piece: bytes) -> Iterator[bytes]:
        if self._body is None:
            self._head += piece
            if len(self._head) < 2:
                return
            piece, first = self._head, self._head[0]
            zlibbed = first & 0x0F == 8 and (first << 8 | self._head[1]) % 31 == 0
            self._body = zlib.decompressobj(15 if zlibbed else -15)
        yield from _bites(self._body, piece)


def _bites(stream: _ZlibObject, data: bytes) -> Iterator[bytes]:
    """Yield what `data` decompresses to."""
    while True:
        out = stream.decompress(data, _BITE_BYTES)
        yield out
        data = stream.unconsumed_tail
        # With a full bite there may be more inside, although all input was taken.
        if stream.eof or not (data or len(out) == _BITE_BYTES):
            return


def _brotli() -> Inflate:
    stream = _BROTLI.Decompressor()

    def inflate(piece: bytes) -> Iterator[bytes]:
        yield stream.process(piece, output_buffer_limit=_BITE_BYTES)
        while not stream.can_accept_more_data():
            yield stream.process(b"", output_buffer_limit=_BITE_BYTES)

    return inflate


def _zstd() -> Inflate:
    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    stream = reader.decompressobj(read_across_frames=True)

    def inflate(piece: bytes) -> Iterator[bytes]:
        for start in range(0, len(piece), _ZSTD_PIECE_BYTES):
            yield stream.decompress(piece[start : start + _ZSTD_PIECE_BYTES])

    return inflate


_INFLATERS: dict[str, Callable[[], Inflate]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _brotli,
    "zstd": _zstd,
}
