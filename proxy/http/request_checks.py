"""Checks of a request's HTTP before it goes on: an endpoint must read it as it is read here."""

import re

from cab.proxy.http.error_responses import RequestFailed
from cab.proxy.http.request import HttpRequest

CONTROL_PREFIX = "/cab/"
"""Paths of the control API; none of them leaves the proxy."""
_VERSIONS = {(1, 0), (1, 1)}
_NOT_SERVED = frozenset({"TRACE", "TRACK", "CONNECT"})
"""They echo what they carry, the endpoint's key among it, or leave HTTP."""
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


def checked_target(request: HttpRequest) -> str:
    """Return the path and query of a request that can be read here as it was meant.

    Raises:
        RequestFailed: It cannot be.
    """
    if request.version not in _VERSIONS:
        raise RequestFailed(505, "http_version", "this proxy speaks HTTP/1.1 and HTTP/1.0")
    coding = request.headers.get("Transfer-Encoding", "chunked")
    if coding.strip().lower() != "chunked":
        message = "chunked is the only transfer coding that this proxy knows"
        raise RequestFailed(501, "transfer_encoding", message)
    if request.method.upper() in _NOT_SERVED:
        raise RequestFailed(501, "method_not_served", f"{request.method} is not served here")
    path_qs = origin_form(request.raw_path)
    if path_qs is None:
        message = "a request's target must be a path without a fragment"
        raise RequestFailed(400, "bad_target", message)
    return path_qs
