"""Secrets in bytes: what of them can be written by now, and what must wait for what comes next.

A secret is found as it is, and in each form of `secret_forms`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cab.proxy.redaction.secret_forms import ESCAPE, folded, holds, plain, torn_escape_at

MOST_HELD_BYTES = 1 << 12
"""Of what may be the beginning of a secret, with the white space in it, no more waits."""
PIECE_BYTES = 1 << 16
_TOKEN = re.compile(rb"(?P<run>[^\\% \t\n\r\v\f]++)|(?P<escape>" + ESCAPE.pattern + rb")|%|\s++")


class _Plain(NamedTuple):
    """Data made plain, and for each byte of that where it began and ended."""

    data: bytes
    starts: list[int]
    ends: list[int]


class SecretsInBytes:
    """Finds secrets in bytes.

    Args:
        exact: The secrets as bytes.
        forms: Their plain forms, the shortest first.
        mark: What stands in their place afterwards.
    """

    def __init__(self, exact: Sequence[bytes], forms: Sequence[bytes], mark: bytes) -> None:
        self._exact = exact
        self._forms = forms
        self._mark = mark

    def redacted(self, data: bytes) -> bytes:
        """Return the whole of some data without the secrets."""
        if len(data) <= PIECE_BYTES:
            return self.split(data, last=True)[0]
        out, rest = list[bytes](), b""
        for at in range(0, len(data), PIECE_BYTES):
            done, rest = self.split(rest + data[at : at + PIECE_BYTES], last=False)
            out.append(done)
        return b"".join([*out, self.split(rest, last=True)[0]])

    def places(self, data: bytes) -> list[tuple[int, int]]:
        """Return where in the whole of some data secrets begin and end, in order; they may overlap."""
        if not self._exact or not data:
            return []
        exact = [secret for secret in self._exact if secret in data]
        if not exact and not holds(plain(data), self._forms):
            return []
        return sorted(self._spans(data, _plain_of(data), exact))

    def split(self, data: bytes, *, last: bool) -> tuple[bytes, bytes]:
        """Return what can be written by now, without the secrets, and the rest as it is.

        Args:
            data: What is there: the rest of before, and what came.
            last: Whether nothing comes any more.
        """
        if not self._exact or not data:
            return data, b""
        end = len(data) if last else torn_escape_at(data)
        body = data[:end]
        flat = plain(body)
        exact = [secret for secret in self._exact if secret in body]
        if not exact and not holds(flat, self._forms):
            if last:
                return data, b""
            if not _begun(body, self._exact) and not _begun(flat, self._forms):
                return body, data[end:]
        found = _plain_of(body)
        spans = sorted(self._spans(body, found, exact))
        cut = len(data) if last else self._cut(body, found, spans)
        if len(data) - cut > MOST_HELD_BYTES:
            cut = len(data)
        return self._without(data[:cut], spans), data[cut:]

    def _spans(
        self, data: bytes, found: _Plain, exact: Sequence[bytes]
    ) -> Iterator[tuple[int, int]]:
        """Yield where each secret begins and ends."""
        for secret in exact:
            for at in _places(data, secret):
                yield at, at + len(secret)
        for form in self._forms:
            for at in _places(found.data, form):
                yield found.starts[at], found.ends[at + len(form) - 1]

    def _cut(self, body: bytes, found: _Plain, spans: Sequence[tuple[int, int]]) -> int:
        """Return up to where nothing can be a part of a secret that is not here as a whole."""
        cut = len(body) - _begun(body, self._exact)
        if begun := _begun(found.data, self._forms):
            cut = min(cut, found.starts[-begun])
        # Where secrets overlap, the beginning of one may lie inside another that is whole.
        for start, end in reversed(spans):
            if start < cut < end:
                cut = start
        for start, end in zip(reversed(found.starts), reversed(found.ends), strict=True):
            if end <= cut:
                break
            if start < cut:  # inside an escape
                return start
        return cut

    def _without(self, data: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
        out, at = list[bytes](), 0
        for start, end in spans:
            if start >= len(data) or end <= at:
                continue
            if start >= at:
                out += (data[at:start], self._mark)
            at = end
        return b"".join([*out, data[at:]])


def _plain_of(data: bytes) -> _Plain:
    parts, starts, ends = list[bytes](), list[int](), list[int]()
    for token in _TOKEN.finditer(data):
        start, end = token.span()
        if token["run"] is not None:
            parts.append(folded(token["run"]))
            starts.extend(range(start, end))
            ends.extend(range(start + 1, end + 1))
        elif kept := plain(token[0]):
            parts.append(kept)
            starts.append(start)
            ends.append(end)
    return _Plain(b"".join(parts), starts, ends)


def _places(data: bytes, part: bytes) -> Iterator[int]:
    at = data.find(part)
    while at >= 0:
        yield at
        at = data.find(part, at + len(part))


def _begun(data: bytes, secrets: Sequence[bytes]) -> int:
    """Return how many bytes at the end may be the beginning of a secret."""
    longest = 0
    for secret in secrets:
        for size in range(min(len(data), len(secret) - 1), longest, -1):
            if data.endswith(secret[:size]):
                longest = size
                break
    return longest
