"""Keys taken out of whatever a run writes: a second line of defence, no agent holds the real one."""

from collections.abc import Iterable, Iterator

from cab.proxy.redaction import MASK

MIN_SECRET_CHARS = 8
"""Shorter keys ("none", "ollama") are placeholders, and part of ordinary words."""


class Redactor:
    """Replaces each secret wherever it stands.

    Args:
        secrets: Keys, absent ones as None.
    """

    def __init__(self, secrets: Iterable[str | None]) -> None:
        long = {secret for secret in secrets if secret and len(secret) >= MIN_SECRET_CHARS}
        # Longest first: a key may begin with another.
        self._secrets = sorted((secret.encode() for secret in long), key=len, reverse=True)

    @property
    def secrets(self) -> list[bytes]:
        """What is taken out."""
        return list(self._secrets)

    def __call__(self, data: bytes) -> bytes:
        """Return the bytes without the secrets."""
        for secret in self._secrets:
            data = data.replace(secret, MASK.encode())
        return data

    def text(self, text: str) -> str:
        """Return the text without the secrets."""
        return self(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


class StreamRedactor:
    """The same for a text that comes in pieces: a secret may be split over two of them.

    Args:
        mask: What to take out.
    """

    def __init__(self, mask: Redactor) -> None:
        self._mask = mask
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what can be passed on by now; what may be the beginning of a secret waits."""
        data = self._held + data
        cut = self._safe_until(data)
        self._held = data[cut:]
        return self._mask(data[:cut])

    def flush(self) -> bytes:
        """Return what was held back: nothing follows any more."""
        data, self._held = self._held, b""
        return self._mask(data)

    def _safe_until(self, data: bytes) -> int:
        cut = len(data) - max((_begun(data, each) for each in self._mask.secrets), default=0)
        # Where secrets overlap, the beginning of one may lie inside another that is whole.
        while (earlier := min(self._spanning(data, cut), default=cut)) < cut:
            cut = earlier
        return cut

    def _spanning(self, data: bytes, cut: int) -> Iterator[int]:
        """Yield where secrets begin that a cut would go through."""
        for secret in self._mask.secrets:
            begin = data.find(secret, max(0, cut - len(secret) + 1), cut + len(secret) - 1)
            if begin != -1:
                yield begin


def _begun(data: bytes, secret: bytes) -> int:
    """Return how many bytes at the end may be the beginning of a secret."""
    longest = min(len(data), len(secret) - 1)
    return next((n for n in range(longest, 0, -1) if data.endswith(secret[:n])), 0)
