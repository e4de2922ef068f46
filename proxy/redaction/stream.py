"""Secrets taken out of bytes that come in pieces: a secret may be split over two of them."""

from collections.abc import Iterator

from cab.proxy.redaction.redactor import Redactor


class StreamRedactor:
    """Redacts bytes that come in pieces as the whole of them would be redacted."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what can be passed on by now; what may be the beginning of a secret waits."""
        data = self._held + data
        cut = self._safe_until(data)
        self._held = data[cut:]
        return self._redactor(data[:cut])

    def flush(self) -> bytes:
        """Return what was held back: nothing follows any more."""
        data, self._held = self._held, b""
        return self._redactor(data)

    def _safe_until(self, data: bytes) -> int:
        secrets = self._redactor.encoded
        cut = len(data) - max((_begun(data, secret) for secret in secrets), default=0)
        # Where secrets overlap, the beginning of one may lie inside another that is whole.
        while (earlier := min(self._spanning(data, cut), default=cut)) < cut:
            cut = earlier
        return cut

    def _spanning(self, data: bytes, cut: int) -> Iterator[int]:
        """Yield where secrets begin that a cut would go through."""
        for secret in self._redactor.encoded:
            begin = data.find(secret, max(0, cut - len(secret) + 1), cut + len(secret) - 1)
            if begin != -1:
                yield begin


def _begun(data: bytes, secret: bytes) -> int:
    """Return how many bytes at the end may be the beginning of a secret."""
    longest = min(len(data), len(secret) - 1)
    return next((n for n in range(longest, 0, -1) if data.endswith(secret[:n])), 0)
