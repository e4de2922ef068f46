"""Git's form of binary content in a patch: compressed, then written in letters of ASCII."""

import base64
import zlib
from collections.abc import Iterator

_LINE_BYTES = 52  # the most that the first letter of a line can state
_SHORT = 26


def binary_hunk(content: bytes) -> bytes:
    """Return the hunk that makes a file's content this one, whatever it was before.

    Source:
        `parse_binary_hunk` in git's apply.c: `literal`, the length, and lines of up to 52 bytes in
        base 85, each after a letter that states how many.

    >>> binary_hunk(bytes(1000)).decode().splitlines()[1]
    'literal 1000'
    """
    return b"GIT binary patch\nliteral %d\n" % len(content) + b"".join(_lines(content)) + b"\n"


def _lines(content: bytes) -> Iterator[bytes]:
    packed = zlib.compress(content)
    for start in range(0, len(packed), _LINE_BYTES):
        piece = packed[start : start + _LINE_BYTES]
        size = len(piece)
        letter = ord("A") + size - 1 if size <= _SHORT else ord("a") + size - _SHORT - 1
        yield bytes([letter]) + base64.b85encode(piece, pad=True) + b"\n"
