"""Secrets taken out of texts before they are written anywhere."""

import re
from collections.abc import Iterable

from cab.proxy.meter.values import clean

MASK = "[redacted]"

# Key shapes that vendors print in their own error messages, and bearer values of any shape.
_SHAPES = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|nvapi|hf|ghp|gho|AIza)[-_][A-Za-z0-9_\-*.]{6,}"
    r"|\bAIza[A-Za-z0-9_\-]{10,}"
    r"|\beyJ[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+"
    r"|(?i:(?<=bearer )\S+)"
)


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text with the given secrets, and whatever looks like a key, masked.

    It can be written as UTF-8, whatever bytes a client put into a header.

    >>> scrub("Incorrect API key provided: sk-abcdef123456.")
    'Incorrect API key provided: [redacted]'
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return clean(_SHAPES.sub(MASK, text))
