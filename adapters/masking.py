"""Keys taken out of whatever a run writes: a second line of defence, no agent holds the real one."""

from collections.abc import Iterable

from cab.proxy.scrub import MASK

MIN_SECRET_CHARS = 8
"""Shorter keys ("none", "ollama") are placeholders, and part of ordinary words."""


class Masker:
    """Replaces each secret wherever it stands.

    Args:
        secrets: Keys, absent ones as None.
    """

    def __init__(self, secrets: Iterable[str | None]) -> None:
        long = {secret for secret in secrets if secret and len(secret) >= MIN_SECRET_CHARS}
        # Longest first: a key may begin with another.
        self._secrets = sorted((secret.encode() for secret in long), key=len, reverse=True)

    def __call__(self, data: bytes) -> bytes:
        """Return the bytes without the secrets."""
        for secret in self._secrets:
            data = data.replace(secret, MASK.encode())
        return data

    def text(self, text: str) -> str:
        """Return the text without the secrets."""
        return self(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
