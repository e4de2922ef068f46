"""Secrets taken out of texts before they are written anywhere.

Known secrets are found wherever they stand. Unknown ones are found by their shape: in sentences
generously, in names (of models, of finish reasons) only where it can only be a key, for
`xai-grok-4` is a model and not a key.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, cast
from urllib.parse import quote

from cab.proxy.meter.json_values import clean

REDACTED = "[redacted]"
MIN_SECRET_CHARS = 8
"""Shorter keys ("none", "ollama") are placeholders, and part of ordinary words."""

_PREFIXES = r"\b(?:sk|pk|rk|gsk|xai|nvapi|hf|ghp|gho|AIza)[-_]"
_TOKEN = r"\beyJ[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+"
# Key shapes that vendors print in their own error messages, and bearer values of any shape.
_IN_SENTENCES = re.compile(
    _PREFIXES + r"[A-Za-z0-9_\-*.]{6,}|\bAIza[A-Za-z0-9_\-]{10,}"
    rf"|{_TOKEN}|(?i:(?<=bearer )\S+)|(?<=://)[^/\s@]+(?=@)"
)
# No model's name has sixteen letters and digits on end after such a beginning.
_IN_NAMES = re.compile(
    _PREFIXES + r"[A-Za-z0-9_\-.]*?[A-Za-z0-9]{16}[A-Za-z0-9_\-]*"
    rf"|\bAIza[A-Za-z0-9_\-]{{30,}}|{_TOKEN}|(?<=://)[^/\s@]+(?=@)"
)


class Redactor:
    """Replaces secrets by `[redacted]`; never changed once it is made.

    Args:
        secrets: Texts to take out, absent ones as None. Those that are too short to be a key are
            left out; the others are found as they stand in a URL too.
    """

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        stripped = (text.strip() for text in secrets if text)
        long = {text for text in stripped if len(text) >= MIN_SECRET_CHARS}
        self._take(long | {quote(text, safe="", errors="replace") for text in long})

    def _take(self, secrets: set[str]) -> None:
        self.secrets = tuple(sorted(secrets, key=lambda text: (-len(text), text)))
        """What is taken out, the longest first: a key may begin with another."""

    def with_secrets(self, secrets: Iterable[str | None]) -> "Redactor":
        """Return a redactor of these secrets too."""
        more = Redactor(secrets)
        more._take({*self.secrets, *more.secrets})
        return more

    @cached_property
    def encoded(self) -> tuple[bytes, ...]:
        """The secrets as bytes, the longest first."""
        return tuple(secret.encode("utf-8", "surrogateescape") for secret in self.secrets)

    def __call__(self, data: bytes) -> bytes:
        """Return bytes without the secrets."""
        for secret in self.encoded:
            data = data.replace(secret, REDACTED.encode())
        return data

    def text(self, text: str) -> str:
        """Return a text without the secrets; all else stays."""
        for secret in self.secrets:
            text = text.replace(secret, REDACTED)
        return text

    def sentence(self, text: str) -> str:
        """Return a sentence without the secrets and without whatever looks like a key.

        It can be written as UTF-8, whatever bytes a client put into a header.

        >>> Redactor().sentence("Incorrect API key provided: sk-abcdef123456.")
        'Incorrect API key provided: [redacted]'
        """
        return clean(_IN_SENTENCES.sub(REDACTED, self.text(text)))

    def name(self, text: str) -> str:
        """Return a name without the secrets and without what can only be a key, fit for UTF-8.

        >>> Redactor().name("xai-grok-4-fast-reasoning")
        'xai-grok-4-fast-reasoning'
        """
        return clean(_IN_NAMES.sub(REDACTED, self.text(text)))

    def value(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return a JSON value with all its texts redacted as names, those of members too."""
        if isinstance(value, str):
            return self.name(value)
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value).items()
            return {self.name(name): self.value(each) for name, each in members}
        if isinstance(value, list):
            return [self.value(item) for item in cast("list[object]", value)]
        return value


class StreamRedactor:
    """The same for bytes that come in pieces: a secret may be split over two of them."""

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


def is_secret_name(text: str) -> bool:
    """Return whether a name holds what can only be a key."""
    return _IN_NAMES.search(text) is not None
