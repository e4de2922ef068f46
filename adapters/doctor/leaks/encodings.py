"""The encodings and compressions in which a secret may be in a file."""

import base64
import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO
from urllib.parse import quote

_CHUNK_BYTES = 1 << 20
_MAX_UNPACKED_BYTES = 1 << 27  # more than an agent compresses, less than a zip bomb

SecretForms = Mapping[str, tuple[bytes, ...]]
"""Name of each secret -> the byte strings in which it may be written."""


def forms_of(secret: str) -> tuple[bytes, ...]:
    """Return the byte strings of a secret: plain, URL-quoted, base64, hex, UTF-16.

    >>> forms_of("cell-key")[1]
    b'Y2VsbC1rZX'
    """
    plain = secret.encode()
    quoted = "".join(f"%{byte:02X}" for byte in plain).encode()
    found = [plain, *_base64_forms(plain), plain.hex().encode(), plain.hex().upper().encode()]
    found += [quote(secret, safe="").encode(), quoted, secret.encode("utf-16-le")]
    return tuple(dict.fromkeys(found))


def _base64_forms(plain: bytes) -> Iterator[bytes]:
    # Its offset in a longer text decides how its bits are grouped; characters at the edges hold other bits too.
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + plain)
        certain = text[-(-offset * 8 // 6) : (offset + len(plain)) * 8 // 6]
        yield certain
        yield certain.translate(bytes.maketrans(b"+/", b"-_"))


def readings(handle: IO[bytes]) -> Iterator[Iterator[bytes]]:
    """Yield the contents of an open file, each as chunks: as it is, and decompressed.

    Raises:
        OSError: It cannot be read.
    """
    head = handle.read(4)
    handle.seek(0)
    yield _chunks(handle)
    handle.seek(0)
    if head == b"PK\3\4":
        yield from _members(handle)
    elif (unpack := _unpacker(head)) is not None:
        yield _bounded(unpack(handle))


def _unpacker(head: bytes) -> Callable[[IO[bytes]], Iterator[bytes]] | None:
    if head[:2] == b"\x1f\x8b":
        return lambda handle: _chunks(gzip.GzipFile(fileobj=handle))
    if head[:3] == b"BZh":
        return lambda handle: _chunks(bz2.BZ2File(handle))
    if head == b"\xfd7zX":
        return lambda handle: _chunks(lzma.LZMAFile(handle))
    if head[:1] == b"\x78" and len(head) > 1 and int.from_bytes(head[:2]) % 31 == 0:
        return _inflated  # such as git's objects
    return None


def _inflated(handle: IO[bytes]) -> Iterator[bytes]:
    stream = zlib.decompressobj()
    for chunk in _chunks(handle):
        while chunk and not stream.eof:
            yield stream.decompress(chunk, _CHUNK_BYTES)
            chunk = stream.unconsumed_tail  # noqa: PLW2901 - what is left of it


def _members(handle: IO[bytes]) -> Iterator[Iterator[bytes]]:
    try:
        with zipfile.ZipFile(handle) as archive:
            for name in archive.namelist():
                with archive.open(name) as member:
                    yield _bounded(_chunks(member))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError):
        return  # not an archive after all, or one with a password


def _bounded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks until there are too many, or the data is not compressed after all."""
    size = 0
    try:
        for chunk in chunks:
            yield chunk
            size += len(chunk)
            if size > _MAX_UNPACKED_BYTES:
                return
    except (zlib.error, lzma.LZMAError, EOFError, OSError, zipfile.BadZipFile):
        return


def _chunks(handle: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while chunk := handle.read(_CHUNK_BYTES):
        yield chunk
