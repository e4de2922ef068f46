"""The head of an endpoint's answer, if it has the ordinary form; aiohttp reads all others."""

import re
from typing import NamedTuple

RawHeader = tuple[bytes, bytes]

MAX_HEAD_BYTES = 1 << 16
"""A longer head is not ordinary."""

# Possessive, so that nothing is looked at twice. No control characters, no folded lines, no space
# before a colon: whatever two readers could take differently is not ordinary.
_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-9][0-9]{2})(?: ([\t -~\x80-\xff]*+))?+"
    rb"((?:\r\n[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+)*+)"
)
_LENGTH = re.compile(rb"[0-9]{1,15}")
_BODILESS = frozenset({204, 304})


class AnswerHead(NamedTuple):
    """Status, headers and framing of an answer."""

    status: int
    reason: bytes
    raw_headers: tuple[RawHeader, ...]
    """Names in their letters, values without white space around them."""
    content_type: bytes
    """The header's value, empty if there is none."""
    content_encoding: bytes
    """Likewise; of several headers the values joined by commas."""
    content_length: int | None
    """As stated; None where the body is chunked, or ends with the connection."""
    is_chunked: bool
    keeps_alive: bool
    """Whether another request may follow on the connection."""

    @property
    def has_body(self) -> bool:
        """Whether bytes of a body may follow."""
        return self.status not in _BODILESS and self.content_length != 0


def read_answer_head(head: bytes) -> AnswerHead | None:
    """Return what an answer's head says; None if its form is not an ordinary one.

    Args:
        head: The bytes before the blank line.
    """
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    headers: list[RawHeader] = []
    found: dict[bytes, bytes] = {}
    for line in match[3].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        value = value.strip(b" \t")
        headers.append((name, value))
        lower = name.lower()
        if lower in _READ_HERE:
            if lower in found:
                return None  # twice: a matter of reading lists, or an attack
            found[lower] = value
    length = found.get(b"content-length")
    coding = found.get(b"transfer-encoding")
    if b"upgrade" in found or (coding is not None and coding.lower() != b"chunked"):
        return None
    if length is not None and (coding is not None or not _LENGTH.fullmatch(length)):
        return None
    connection = found.get(b"connection", b"").lower()
    if connection not in (b"", b"keep-alive", b"close"):
        return None
    status = int(match[1])
    framed = length is not None or coding is not None or status in _BODILESS
    return AnswerHead(
        status,
        match[2] or b"",
        tuple(headers),
        found.get(b"content-type", b""),
        found.get(b"content-encoding", b""),
        None if length is None else int(length),
        coding is not None,
        framed and connection != b"close",
    )


_READ_HERE = frozenset(
    {
        *(b"content-length", b"transfer-encoding", b"connection", b"upgrade"),
        *(b"content-type", b"content-encoding"),
    }
)
