"""The query parameter `key`, where Gemini's clients may put their API key."""

from urllib.parse import unquote_plus

NAME = "key"


def query_key(path_qs: str) -> str | None:
    """Return the key in a target's query, decoded; None if there is none."""
    values = (part.partition("=")[2] for part in _parameters(path_qs) if _is_key(part))
    return next((unquote_plus(value) for value in values if value), None)


def without_query_key(path_qs: str) -> str:
    """Return a target without keys in its query; all else stays byte for byte.

    >>> without_query_key("/v1beta/models/m:streamGenerateContent?alt=sse&key=abc")
    '/v1beta/models/m:streamGenerateContent?alt=sse'
    """
    parts = _parameters(path_qs)
    kept = [part for part in parts if not _is_key(part)]
    if len(kept) == len(parts):
        return path_qs
    path = path_qs.partition("?")[0]
    return f"{path}?{'&'.join(kept)}" if kept else path


def _parameters(path_qs: str) -> list[str]:
    _, mark, query = path_qs.partition("?")
    return query.split("&") if mark else []


def _is_key(part: str) -> bool:
    return unquote_plus(part.partition("=")[0]) == NAME
