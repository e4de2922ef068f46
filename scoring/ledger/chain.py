r"""The links of a chain: whether each line is what its hash says, and follows the line before it.

A line's layout is fixed, so its bytes suffice and no JSON is parsed:

    {...,"prev":"<64 hex>","hash":"<64 hex>"}\n

`hash` is the SHA-256 of the line without its newline and without the last member.
"""

import re
from binascii import hexlify
from collections import deque
from hashlib import sha256

from cab.scoring.ledger.bounds import BrokenLine
from cab.scoring.ledger.records import GENESIS

_HASH_BYTES = len(b',"hash":""}\n') + 64
_LINKS_BYTES = len(b',"prev":""') + 64 + _HASH_BYTES
_LINKS = re.compile(rb'[{,]"prev":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\n')
_NOTHING = b""

# Enough to say where a line was moved to or from nearby; a whole segment would fill the memory.
_RECENT_LINES = 1024


def line_hash(line: bytes) -> bytes:
    """Return the hash, in hex, that a line must state; the line ends with its newline."""
    return hexlify(sha256(line[:-_HASH_BYTES] + b"}").digest())


class Links:
    """Checks the lines of one chain, one after the other, over all its segments."""

    def __init__(self) -> None:
        self.head = GENESIS.encode()
        """`hash` of the last whole line."""
        self._also: tuple[
            bytes, ...
        ] = ()  # other hashes that the next line may name, after a fault
        self._unknown = False  # the next line may name any hash: what stood before it is not known
        self._recent: deque[bytes] = deque(maxlen=_RECENT_LINES)
        self._number = 0

    def begin_behind(self, head: str) -> None:
        """Go on behind a line that is not here, whose hash is known."""
        self.head = head.encode()

    def next_segment(self, *, gap: bool = False) -> None:
        """Go on in the next segment.

        Args:
            gap: The segment before it is missing, or was not read to its end.
        """
        self._number = 0
        self._recent.clear()
        self._unknown = self._unknown or gap

    def check(self, line: bytes) -> str | None:
        """Return what is wrong with the next line, None if nothing is."""
        self._number += 1
        digest = line_hash(line)
        if line.endswith(b',"prev":"' + self.head + b'","hash":"' + digest + b'"}\n'):
            self.head = digest
            self._recent.append(digest)
            if self._also or self._unknown:
                self._also, self._unknown = (), False
            return None
        return self._examine(line, digest)

    def _examine(self, line: bytes, digest: bytes) -> str | None:
        links = _LINKS.fullmatch(line, max(0, len(line) - _LINKS_BYTES))
        if links is None:
            return self._no_record(line)
        prev, stated = links.groups()
        if stated != digest:
            return self._edited(stated, digest)
        if self._unknown or prev == self.head or prev in self._also:
            self._follow(digest)
            return None
        return self._misplaced(prev, digest)

    def _no_record(self, line: bytes) -> str:
        # Either a line was overwritten or one was put in; so the next one may name what it likes.
        self._recent.append(_NOTHING)
        self._unknown = True
        if isinstance(line, BrokenLine):
            return line.reason
        if not line.endswith(b"\n"):
            return "torn: the line ends without a newline"
        return "garbage: the line does not end with prev and hash"

    def _edited(self, stated: bytes, digest: bytes) -> str:
        # Which of the two was changed shows in the next line: it names one of them, or, if this one was
        # put in or a recovered proxy went on behind it, the line before.
        before = self.head
        self._follow(stated)
        self._also = digest, before
        return f"edited: its bytes have the hash {digest.decode()}, it says {stated.decode()}"

    def _misplaced(self, prev: bytes, digest: bytes) -> str:
        if repeated := self._find(digest):
            self._recent.append(_NOTHING)
            return f"duplicate: this line stands in line {repeated} already"
        what = self._why(prev)
        # If this line was put in, the next one follows the line before it.
        before = self.head
        self._follow(digest)
        self._also = (before,)
        return what

    def _why(self, prev: bytes) -> str:
        if followed := self._find(prev):
            return (
                f"out of order: it follows line {followed}, what stands between was put in or moved"
            )
        if prev == GENESIS.encode():
            return "out of order: it is the first line of a chain, but others stand before it"
        if self.head == GENESIS.encode():
            return f"beginning missing: the first line must name 64 zeros, it names {prev.decode()}"
        return (
            f"broken: it follows {prev.decode()}, the line before it is {self.head.decode()}; "
            "lines were deleted, put in or moved here"
        )

    def _follow(self, digest: bytes) -> None:
        self.head = digest
        self._also, self._unknown = (), False
        self._recent.append(digest)

    def _find(self, digest: bytes) -> int | None:
        """Return the number of the line of this segment with a hash, None if it is not near."""
        try:
            at = self._recent.index(digest)
        except ValueError:
            return None
        return self._number - len(self._recent) + at
