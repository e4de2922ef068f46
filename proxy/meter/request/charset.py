"""Which characters a request's body holds, as its content type says it: JSON is UTF-8, or it is unclear."""

import re
from functools import lru_cache

_MAX_CHARS = 1024
_CHARSET = re.compile(r"charset\s*([^=;,]*)=\s*\"?([^\";,]*)", re.IGNORECASE)
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
"""ASCII is a part of UTF-8, and what is not ASCII has no value in it."""


@lru_cache(maxsize=64)  # most calls state the same few
def charset_fault(content_type: str) -> str | None:
    """Return why an endpoint could read the characters of a body otherwise than as UTF-8; None if not.

    >>> charset_fault("application/json; charset=UTF-7")
    "the content type states the charset 'UTF-7'"
    """
    if len(content_type) > _MAX_CHARS:
        return f"the content type has over {_MAX_CHARS} characters"
    for extended, name in _CHARSET.findall(content_type):
        if extended.strip() or name.strip().lower() not in _UTF8:
            return f"the content type states the charset {name.strip()[:40]!r}"
    return None
