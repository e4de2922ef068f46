"""What can only be a key, by its shape: in sentences generously, in names only where nothing else has it.

`xai-grok-4` is a model and not a key. No pattern goes back over what it has read, so that work grows
with the length of a text and no faster, whatever the text is.
"""

import re
from collections.abc import Iterator

REDACTED = "[redacted]"

_PREFIXES = r"\b(?:sk|pk|rk|gsk|xai|nvapi|hf|ghp|gho|AIza)[-_]"
_USER_IN_URL = r"(?<=://)[^/\s@]++(?=@)"
# ASCII, also below: in Chinese a key stands behind a word without a space.
_SUSPECT = re.compile(rf"{_PREFIXES}|\bAIza|\beyJ|://|(?i:bearer )", re.ASCII)
"""Without one of these there is nothing to look for."""
_PREFIXED = re.compile(
    r"[-_](?:(?<=\b(?:sk|pk|rk|hf).)|(?<=\b(?:gsk|xai|ghp|gho).)|(?<=\bnvapi.))", re.ASCII
)
"""A prefix of a key with what follows it, found by the latter: few characters are one."""
# Key shapes that vendors print in their own error messages, and bearer values of any shape.
_IN_SENTENCES = re.compile(
    _PREFIXES + r"[A-Za-z0-9_\-*.]{6,}+|\bAIza[A-Za-z0-9_\-]{10,}+"
    rf"|(?i:(?<=bearer )\S++)|{_USER_IN_URL}",
    re.ASCII,
)
_IN_NAMES = re.compile(rf"\bAIza[A-Za-z0-9_\-]{{30,}}+|{_USER_IN_URL}", re.ASCII)
# Each run is looked at once: only its first character can begin a match.
_RUN = re.compile(r"(?<![A-Za-z0-9_\-.])[A-Za-z0-9_\-.]{19,}+")
_DOTTED = re.compile(r"(?<![A-Za-z0-9_\-])[A-Za-z0-9_\-]++(?:\.[A-Za-z0-9_\-]++){2,}+")
_PREFIX = re.compile(_PREFIXES, re.ASCII)
# No model's name has sixteen letters and digits on end after such a beginning.
_LONG_PART = re.compile(r"[A-Za-z0-9]{16}[A-Za-z0-9_\-]*+")
_TOKEN_BEGIN = re.compile(r"\beyJ(?=[A-Za-z0-9_\-])", re.ASCII)
_LETTERS_AND_DIGITS = re.compile(r"[A-Za-z0-9]{10,}+")
_DIGIT = re.compile(r"[0-9]")


def without_keys_in_sentence(text: str) -> str:
    """Return a sentence without whatever looks like a key."""
    if _SUSPECT.search(text) is None:
        return text
    return _IN_SENTENCES.sub(REDACTED, _without_tokens(text))


def without_keys_in_name(text: str) -> str:
    """Return a name without what can only be a key."""
    if not _may_be_suspect(text) or _SUSPECT.search(text) is None:
        return text
    text = _RUN.sub(lambda run: "".join(_without_vendor_keys(run[0])), text)
    return _IN_NAMES.sub(REDACTED, _without_tokens(text))


def _may_be_suspect(text: str) -> bool:
    """Return whether a text may hold what `_SUSPECT` looks for: three times as fast for an id, which has none."""
    marked = "AIza" in text or "eyJ" in text or "://" in text or " " in text
    return marked or _PREFIXED.search(text) is not None


def is_secret_name(text: str) -> bool:
    """Return whether a name holds what can only be a key."""
    return without_keys_in_name(text) != text


def is_random(text: str) -> bool:
    """Return whether a text has ten letters and digits on end, with a digit: no word and no model has.

    >>> is_random("prompt_tokens"), is_random("gpt-4o-2024-08-06"), is_random("k-9f8e7d6c5b4a")
    (False, False, True)
    """
    return any(_DIGIT.search(run) for run in _LETTERS_AND_DIGITS.findall(text))


def _without_vendor_keys(run: str) -> Iterator[str]:
    """Yield the parts of a run of letters, digits, `_`, `-` and `.` that are no vendor's key."""
    at = 0
    while (prefix := _PREFIX.search(run, at)) is not None:
        part = _LONG_PART.search(run, prefix.end())
        if part is None:
            break
        yield run[at : prefix.start()]
        yield REDACTED
        at = part.end()
    yield run[at:]


def _without_tokens(text: str) -> str:
    """Return a text without JSON Web Tokens."""
    return (
        _DOTTED.sub(lambda run: ".".join(_parts(run[0].split("."))), text)
        if "eyJ" in text
        else text
    )


def _parts(parts: list[str]) -> Iterator[str]:
    """Yield the parts between dots, those of a token as one."""
    at = 0
    while at < len(parts):
        begin = _TOKEN_BEGIN.search(parts[at]) if at + 2 < len(parts) else None
        yield parts[at] if begin is None else parts[at][: begin.start()] + REDACTED
        at += 1 if begin is None else 3
