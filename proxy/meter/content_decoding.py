"""Reading a copy of a body that the endpoint has compressed, although it was asked not to."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import brotli  # pyright: ignore[reportMissingTypeStubs] - it has none
import zstandard

# Compressed input is decoded in small pieces, so that no piece needs much memory at once:
# zstd's densest blocks grow 32,000-fold.
_PIECE_BYTES = 1024


class BadEncoding(ValueError):
    """A body that is not encoded as its header says, or that decompresses to too many bytes."""


_BROTLI = cast("Any", brotli)
_ERRORS: tuple[type[Exception], ...] = (zlib.error, _BROTLI.error, zstandard.ZstdError)

Inflate = Callable[[bytes], bytes]
"""Returns what the next piece decompresses to."""


class Decoder:
    """Undoes the content encoding of a body, piece by piece.

    Args:
        content_encoding: The header's value; several encodings stand in the order of application.
            One that is not known, such as `utf-8`, is taken for none at all.
        limit_bytes: One chunk may not decompress to more.
    """

    def __init__(self, content_encoding: str, limit_bytes: int) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        self._limit_bytes = limit_bytes
        self._stages: list[Inflate] = []
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
        for start in range(0, len(chunk), _PIECE_BYTES):
            data = chunk[start : start + _PIECE_BYTES]
            try:
                for stage in self._stages:
                    data = stage(data)
            except _ERRORS as error:
                raise BadEncoding(
                    f"the body does not match its content-encoding: {error}"
                ) from error
            room_bytes -= len(data)
            if room_bytes < 0:
                raise BadEncoding(f"a chunk decompresses to more than {self._limit_bytes} bytes")
            yield data


class _Gzip:
    """Members of gzip, one after the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(31)

    def __call__(self, piece: bytes) -> bytes:
        out = self._member.decompress(piece)
        # What follows a member is another one, or padding that means nothing.
        while self._member.eof and (rest := self._member.unused_data).startswith(b"\x1f"):
            self._member = zlib.decompressobj(31)
            out += self._member.decompress(rest)
        return out


class _Deflate:
    """Zlib as RFC 9110 says, or the raw stream that some servers send under the same name."""

    def __init__(self) -> None:
        self._head = b""
        self._body: Inflate | None = None

    def __call__(self, piece: bytes) -> bytes:
        if self._body is None:
            self._head += piece
            if len(self._head) < 2:
                return b""
            piece, first = self._head, self._head[0]
            zlibbed = first & 0x0F == 8 and (first << 8 | self._head[1]) % 31 == 0
            self._body = zlib.decompressobj(15 if zlibbed else -15).decompress
        return self._body(piece)


def _brotli() -> Inflate:
    return cast("Inflate", _BROTLI.Decompressor().process)


def _zstd() -> Inflate:
    return zstandard.ZstdDecompressor().decompressobj(read_across_frames=True).decompress


_INFLATERS: dict[str, Callable[[], Inflate]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _brotli,
    "zstd": _zstd,
}
