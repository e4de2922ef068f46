"""Takes the secrets that somebody knows, and what can only be a key, out of texts."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, cast
from urllib.parse import quote

from cab.proxy.meter.json_values import clean
from cab.proxy.redaction.in_bytes import SecretsInBytes
from cab.proxy.redaction.key_shapes import (
    REDACTED,
    is_random,
    without_keys_in_name,
    without_keys_in_sentence,
)
from cab.proxy.redaction.secret_forms import (
    as_bytes,
    blanked,
    ends_with_part,
    folded,
    holds,
    plain,
    plain_forms,
    without_torn_escape,
)

MIN_SECRET_CHARS = 8
"""Shorter keys ("none", "ollama") are placeholders, and part of ordinary words."""

WINDOW_CHARS = 1 << 13
"""Of a longer text only so much is searched and kept; what it is for holds less."""


_KNOWN_NAMES, _KNOWN_CHARS = 256, 128
"""How many redacted names are remembered, and how long they may be."""


class Redactor:
    """Replaces secrets by `[redacted]`; what it replaces never changes once it is made.

    Args:
        secrets: Texts to take out, absent ones as None. Those that are too short to be a key are
            left out; the others are found as they stand in a URL too.
    """

    def __init__(self, secrets: Iterable[str | None] = ()) -> None:
        self._held = _long_ones(secrets)
        self._sent = frozenset[str]()
        self._names: dict[str, str] = {}
        """Names that were redacted: a few come again and again."""
        self._headers: dict[str, str] = {}
        """The same of headers."""
        self._left: dict[frozenset[str], bool] = {}
        """Sets of names, and whether each stays as it is."""

    def with_secrets(self, secrets: Iterable[str | None]) -> "Redactor":
        """Return a redactor of these secrets too, which a client sent.

        A client could send a model's name or a member's as its key. So of these only what looks
        random is taken out of names; sentences lose them all.
        """
        more = Redactor(())
        more._held, more._sent = self._held, self._sent | _long_ones(secrets)
        return more

    def and_holding(self, secrets: Iterable[str | None]) -> "Redactor":
        """Return one that takes out what this one does, and further secrets that the proxy holds."""
        return Redactor([*self._held, *secrets])

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """What is taken out, the longest first: a key may begin with another."""
        return _longest_first(self._held | self._sent)

    @cached_property
    def encoded(self) -> tuple[bytes, ...]:
        """The secrets as bytes, the longest first."""
        return tuple(secret.encode("utf-8", "surrogateescape") for secret in self.secrets)

    @cached_property
    def in_bytes(self) -> SecretsInBytes:
        """What finds the secrets in bytes, in each of their forms."""
        return SecretsInBytes(self.encoded, self._all_forms, REDACTED.encode())

    def __call__(self, data: bytes) -> bytes:
        """Return bytes without the secrets, in whatever form."""
        return self.in_bytes.redacted(data)

    def text(self, text: str) -> str:
        """Return a text without the secrets; all else stays."""
        return _without(text, self.secrets, self._all_forms, cut=False)

    def sentence(self, text: str) -> str:
        """Return a sentence without the secrets and without whatever looks like a key.

        It can be written as UTF-8, whatever bytes a client put into a header. It ends after
        `WINDOW_CHARS`, and may have been cut before.

        >>> Redactor().sentence("Incorrect API key provided: sk-abcdef123456.")
        'Incorrect API key provided: [redacted]'
        """
        known = _without(text[:WINDOW_CHARS], self.secrets, self._all_forms, cut=True)
        return clean(without_keys_in_sentence(known))

    def header(self, text: str) -> str:
        """Return what a client says of itself: as a sentence, but with the secrets of a name.

        >>> Redactor().with_secrets(["agent/1.0"]).header("agent/1.0 (sk-abcdef123456)")
        'agent/1.0 ([redacted])'
        """
        known = self._headers.get(text)
        if known is not None:
            return known
        cut = _without(text[:WINDOW_CHARS], self._in_names, self._name_forms, cut=True)
        return _remembered(self._headers, text, clean(without_keys_in_sentence(cut)))

    def leaves(self, names: frozenset[str]) -> bool:
        """Return whether each of these names stays as it is."""
        known = self._left.get(names)
        if known is None:
            known = self._left[names] = all(self.name(name) == name for name in names)
        return known

    def name(self, text: str, window_chars: int = WINDOW_CHARS) -> str:
        """Return a name without the secrets and without what can only be a key, fit for UTF-8.

        >>> Redactor().name("xai-grok-4-fast-reasoning")
        'xai-grok-4-fast-reasoning'
        """
        known = self._names.get(text)
        if known is not None:
            return known
        return _remembered(self._names, text, self._redacted_name(text, window_chars))

    def identifier(self, text: str) -> str:
        """Return a name without the secrets that nobody will ask for again, such as an id.

        The same as `name`, which remembers what it redacted.
        """
        if not text.isascii() or len(text) > _KNOWN_CHARS or "\\" in text or "%" in text:
            return self._redacted_name(text, WINDOW_CHARS)
        flat = folded(text.encode())
        for form in self._name_forms:
            if form in flat:
                return self._redacted_name(text, WINDOW_CHARS)
        for secret in self._in_names:
            if secret in text:
                return self._redacted_name(text, WINDOW_CHARS)
        return without_keys_in_name(text)

    def _redacted_name(self, text: str, window_chars: int) -> str:
        cut = len(text) > window_chars
        if cut:
            text = text[:window_chars]
        return clean(
            without_keys_in_name(_without(text, self._in_names, self._name_forms, cut=cut))
        )

    def value(self, value: Any, window_chars: int = WINDOW_CHARS) -> Any:  # noqa: ANN401 - any JSON value
        """Return a JSON value with all its texts redacted as names, those of members too."""
        if isinstance(value, str):
            return self.name(value, window_chars)
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value).items()
            return {self.name(name): self.value(each, window_chars) for name, each in members}
        if isinstance(value, list):
            return [self.value(item, window_chars) for item in cast("list[object]", value)]
        return value

    @cached_property
    def _in_names(self) -> tuple[str, ...]:
        return _longest_first({*self._held, *filter(is_random, self._sent)})

    @cached_property
    def _all_forms(self) -> tuple[bytes, ...]:
        return _forms_of(self.secrets)

    @cached_property
    def _name_forms(self) -> tuple[bytes, ...]:
        return _forms_of(self._in_names)


def _remembered(known: dict[str, str], text: str, redacted: str) -> str:
    """Return a redacted text, which is remembered if it is short."""
    if len(text) <= _KNOWN_CHARS:
        if len(known) >= _KNOWN_NAMES:
            known.clear()
        known[text] = redacted
    return redacted


def _long_ones(secrets: Iterable[str | None]) -> frozenset[str]:
    stripped = (text.strip() for text in secrets if text)
    return frozenset(text for text in stripped if len(text) >= MIN_SECRET_CHARS)


def _longest_first(secrets: Iterable[str]) -> tuple[str, ...]:
    long = set(secrets)
    both = long | {quote(text, safe="", errors="replace") for text in long}
    return tuple(sorted(both, key=lambda text: (-len(text), text)))


def _forms_of(secrets: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(sorted({f for secret in secrets for f in plain_forms(secret)}, key=len))


def _without(text: str, secrets: Iterable[str], forms: tuple[bytes, ...], *, cut: bool) -> str:
    """Return a text without the secrets, in whatever form.

    Args:
        text: The text.
        secrets: As they are.
        forms: Their plain forms, the shortest first.
        cut: Whether the text may have been cut, so that it may end inside a secret.
    """
    if len(text) < MIN_SECRET_CHARS:
        return text
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, REDACTED)
    if not forms or (not cut and text.isascii() and len(text) < len(forms[0])):
        return text
    data = as_bytes(text)
    if cut:
        data = without_torn_escape(data)
    flat = plain(data)
    if not (holds(flat, forms) or (cut and ends_with_part(flat, forms))):
        return text
    return blanked(data, forms, REDACTED.encode(), cut=cut).decode("utf-8", "replace")
