"""What must hold of a request's HTTP before it may go on: nobody behind may read it in another way."""

import re

from aiohttp import web

from cab.proxy.http.error_responses import ErrorResponse

BAD_TARGET = ErrorResponse(
    400, "bad_target", "a request's target must be a path without a fragment"
)
"""The answer where there is no `origin_form`."""
_SPOKEN = {(1, 0), (1, 1)}
_SCHEME_AND_HOST = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


def origin_form(raw_target: str) -> str | None:
    """Return the path and query of a request's target; None for a target that has no clear path.

    A whole URL must be taken (RFC 9112, section 3.2.2); its host does not matter where there is one
    endpoint only. `*` and `host:port` name no path, and written behind the endpoint's address they
    would make another one of it. A fragment hides the end of the path from whoever cuts it off.
    """
    match = _SCHEME_AND_HOST.match(raw_target)
    rest = raw_target[match.end() :] if match else raw_target
    if match and not rest.startswith("/"):
        rest = f"/{rest}"
    return rest if rest.startswith("/") and "#" not in rest else None


def fault_of(request: web.BaseRequest) -> ErrorResponse | None:
    """Return why a request's framing cannot be read here as it was meant; None if it can."""
    if request.version not in _SPOKEN:
        return ErrorResponse(505, "http_version", "HTTP/1.1 and HTTP/1.0 are spoken here")
    coding = request.headers.get("Transfer-Encoding", "chunked")
    if coding.strip().lower() != "chunked":
        return ErrorResponse(
            501, "transfer_encoding", "of transfer codings only chunked is known here"
        )
    return None
