"""Secrets taken out of texts before they are written anywhere.

Known secrets are found wherever they stand. Unknown ones are found by their shape: in sentences
generously, in names (of models, of finish reasons) only where nothing but a key can be meant, for
`xai-grok-4` is a model and no key.
"""

import re
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, cast
from urllib.parse import quote

from cab.proxy.meter.json_values import clean

MASK = "[redacted]"
MIN_SECRET_CHARS = 8
"""Shorter keys ("none", "ollama") are placeholders, and part of ordinary words."""

IN_PLAY: ContextVar[tuple[str, ...]] = ContextVar("IN_PLAY", default=())
"""Secrets that whatever runs now may come across; what is logged is searched for them."""

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


def worth_hiding(texts: Iterable[str | None]) -> tuple[str, ...]:
    """Return what of some texts can be a secret, also as it stands in a URL, the longest first."""
    stripped = (text.strip() for text in texts if text)
    long = {text for text in stripped if len(text) >= MIN_SECRET_CHARS}
    long |= {quote(text, safe="", errors="replace") for text in long}
    return tuple(sorted(long, key=lambda text: (-len(text), text)))  # a key may begin with another


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a sentence with the given secrets, and whatever looks like a key, masked.

    It can be written as UTF-8, whatever bytes a client put into a header.

    >>> scrub("Incorrect API key provided: sk-abcdef123456.")
    'Incorrect API key provided: [redacted]'
    """
    return clean(_IN_SENTENCES.sub(MASK, _without(text, secrets)))


def redact_name(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a name with the given secrets, and what can be nothing but a key, masked.

    >>> scrub_name("xai-grok-4-fast-reasoning")
    'xai-grok-4-fast-reasoning'
    """
    return clean(_IN_NAMES.sub(MASK, _without(text, secrets)))


def is_secret_name(text: str) -> bool:
    """Tell whether a name holds what can be nothing but a key."""
    return _IN_NAMES.search(text) is not None


def redact_value(value: Any, secrets: tuple[str, ...]) -> Any:  # noqa: ANN401 - any JSON value
    """Return a JSON value with all its texts scrubbed as names, those of members too."""
    if isinstance(value, str):
        return redact_name(value, secrets)
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {redact_name(name, secrets): redact_value(v, secrets) for name, v in members}
    if isinstance(value, list):
        return [redact_value(item, secrets) for item in cast("list[object]", value)]
    return value


def redact_in_play(text: str) -> str:
    """Return a text with the secrets of whatever runs now masked."""
    return redact_name(text, IN_PLAY.get())


def _without(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return text
