"""Requests beside the metered calls that clients make and that cost nothing."""

import re

from cab.proxy.meter.dialects.paths import plain_path

COUNTING = (
    r"[/:](count_tokens|count-tokens:rawPredict|countTokens|computeTokens|input_tokens|tokenize|detokenize"
    r"|apply-template)$"
)
"""Plain paths that count tokens, and do other work on texts without a model."""
_LOOKUPS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("GET", re.compile(r"/models(/.+)?$", re.IGNORECASE)),
    ("POST", re.compile(COUNTING, re.IGNORECASE)),
    ("GET", re.compile(r"/responses/[^/]+(/input_items)?$", re.IGNORECASE)),
    ("POST", re.compile(r"/responses/[^/]+/cancel$", re.IGNORECASE)),
)


def is_lookup(method: str, path: str, *, has_body: bool = False) -> bool:
    """Return whether a request only looks: at models, at tokens, at an answer that was made before.

    >>> is_lookup("GET", "/v1/models"), is_lookup("POST", "/v1/models")
    (True, False)

    Args:
        method: HTTP method.
        path: Path as the upstream sees it, under any prefix.
        has_body: Whether the request has a body; it may ask for more than its method says.
    """
    method = method.upper()
    if method == "HEAD":
        return not has_body
    path = plain_path(path)
    return any(
        method == served and (method == "POST" or not has_body) and pattern.search(path)
        for served, pattern in _LOOKUPS
    )
