"""Which headers pass, which ones a proxy must not pass on, and whose credentials go upstream."""

import re
from collections.abc import Iterable

from multidict import CIMultiDict, CIMultiDictProxy

from cab.scoring.ledger.records import Endpoint

Headers = CIMultiDict[str]
RawHeaders = Iterable[tuple[bytes, bytes]]

# RFC 9110, section 7.6.1, and the older ones that proxies are known to meet.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Set anew by the client side of the proxy; X-Cab-* is between the client and us.
_NOT_FORWARDED = _HOP_BY_HOP | {"host", "content-length", "expect", "x-cab-cell"}
OVERRIDES = (
    *("x-original-url", "x-rewrite-url", "x-http-method-override", "x-http-method"),
    "x-method-override",
)
"""Headers by which some servers take another path or method than the request's own."""
TRACEPARENT = "traceparent"
"""Says which trace a request is in (W3C Trace Context); it is passed on as it came."""
CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
"""Headers that carry a key, in the order in which they are looked at."""
_READ = frozenset(
    {
        *(*_NOT_FORWARDED, *OVERRIDES, *CREDENTIALS),
        *("user-agent", "origin", "content-type", "content-encoding", "accept-encoding"),
    }
)
"""Headers that are read here, changed or left out, besides those whose names tell of a secret."""
_SECRET_NAMES = re.compile(
    r"key|token|secret|auth|cookie|passw|credential|signature", re.IGNORECASE
)


def as_sent(raw: RawHeaders) -> CIMultiDictProxy[str]:
    """Return headers with their names in the letters they came in; aiohttp's parser changes some."""
    pairs = ((name.decode(), value.decode(errors="surrogateescape")) for name, value in raw)
    return CIMultiDictProxy(CIMultiDict(pairs))


def may_hold_secret(name: str) -> bool:
    """Return whether a header or a parameter of this name may hold a secret.

    >>> may_hold_secret("X-Auth-Token"), may_hold_secret("User-Agent")
    (True, False)
    """
    return _SECRET_NAMES.search(name) is not None


def only_value(headers: "CIMultiDictProxy[str] | Headers", name: str) -> str | None:
    """Return the value of a header; None if there is not exactly one."""
    values = headers.getall(name, ())
    return values[0] if len(values) == 1 else None


def is_passed_on(name: str) -> bool:
    """Return whether a header of this name, in small letters, is passed on and nothing follows from it here.

    >>> is_passed_on("x-request-id"), is_passed_on("x-session-token"), is_passed_on("user-agent")
    (True, False, False)
    """
    return name not in _READ and not name.startswith("x-cab-") and not may_hold_secret(name)


def header_fault(text: str) -> str | None:
    """Return why a key or a token cannot be sent in a header, and the fix; None if it can be."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not valid UTF-8 text; give it as it was issued"
    # A file with the line ends of Windows is enough; each request would fail for it.
    return None if text.isprintable() else "has a line end or another control character; remove it"


def _named_in_connection(headers: CIMultiDictProxy[str]) -> set[str]:
    values = ",".join(headers.getall("Connection", []))
    return {name.strip().lower() for name in values.split(",") if name.strip()}


def end_to_end(headers: CIMultiDictProxy[str], drop: frozenset[str]) -> Headers:
    """Return the headers that pass a proxy, in order, duplicates kept."""
    dropped = drop | _named_in_connection(headers)
    return CIMultiDict((k, v) for k, v in headers.items() if k.lower() not in dropped)


def request_headers(headers: CIMultiDictProxy[str]) -> Headers:
    """Return the client's headers as they go upstream, credentials still the client's."""
    return end_to_end(headers, _NOT_FORWARDED)


def response_headers(headers: CIMultiDictProxy[str]) -> Headers:
    """Return the endpoint's headers as they go to the client."""
    return end_to_end(headers, _HOP_BY_HOP)


def credential(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the key that a client sent, without its `Bearer`; None if it sent none."""
    for name in CREDENTIALS:
        value = headers.get(name)
        if value:
            return value[7:].strip() if value[:7].lower() == "bearer " else value
    return None


def replace_credentials(headers: Headers, endpoint: Endpoint, key: str | None) -> None:
    """Put the endpoint's key where the client had its own; take every key out if there is none.

    Args:
        headers: Changed in place.
        endpoint: Decides which header is used where the client sent no key at all.
        key: The endpoint's key, or None for an endpoint that wants none.
    """
    sent = [name for name in CREDENTIALS if name in headers]
    for name in sent:
        headers.popall(name)
    if key is None:
        return
    match sent[0] if sent else endpoint:
        case "x-api-key" | "messages":
            headers["x-api-key"] = key
        case "x-goog-api-key" | "gemini.generateContent":
            headers["x-goog-api-key"] = key
        case "api-key":
            headers["api-key"] = key
        case _:
            headers["Authorization"] = f"Bearer {key}"
