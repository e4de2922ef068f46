"""Answers that the proxy gives itself, in the error shape of the dialect that was called."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from aiohttp import web

from cab.proxy.accounting.admission import (
    IN_FLIGHT,
    LIMIT_REACHED,
    RATE_LIMITED,
    REGISTRY_LOST,
    USED,
)
from cab.proxy.errors import Rejected
from cab.scoring.ledger.archive.segments import ARCHIVED
from cab.scoring.ledger.records import Endpoint
from cab.scoring.ledger.slices import SEALED

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
_GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """A status, a machine-readable code and a sentence for a person."""

    status: int
    code: str
    message: str
    retry: bool = False
    """Whether a client's own retry may help; if not, `x-should-retry: false` says so."""
    retry_after_s: int | None = None
    """When it may, in whole seconds from now; None: not known."""


class RequestFailed(Exception):
    """A request that is answered with an error; `response` is that answer."""

    def __init__(self, status: int, code: str, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.response = ErrorResponse(status, code, message, retry)


UNCLEAR_BODY = "unclear_body"
"""Code of a refusal of a body that endpoints may read in different ways."""
UNMETERED_PATH = "unmetered_path"
"""Code of a refusal of a call that may cost and is not metered."""
PATH_NOT_ALLOWED = "path_not_allowed"
"""Code of a refusal of a path that a held key is not used for."""
MODEL_NOT_ALLOWED = "model_not_allowed"
"""Code of a refusal of a model that the cell's key does not name."""
UNCLEAR_MODEL = "unclear_model"
"""Code of a refusal of a model's name that would change the path it is put into."""
OVERLOAD = "overload"
"""Code of a refusal of a call for whose body there was no room in time."""
_STATUS = {
    ARCHIVED: 409,
    SEALED: 409,
    USED: 409,
    LIMIT_REACHED: 400,
    RATE_LIMITED: 429,
    IN_FLIGHT: 503,
    REGISTRY_LOST: 503,
    UNCLEAR_BODY: 400,
    UNMETERED_PATH: 404,
    PATH_NOT_ALLOWED: 404,
    MODEL_NOT_ALLOWED: 404,
    UNCLEAR_MODEL: 400,
    OVERLOAD: 503,
}


def error_response_for(endpoint: Endpoint, error: Rejected) -> ErrorResponse:
    """Return the answer to a call that its cell may not make.

    Agents must stop, not try again. 429 would start their retry loops; most give up on a 400 with a
    code that they do not know. Of Anthropic's clients, some send a call again on 400 and stop on 403.
    Only where the next minute gives room, it is a 429 that says when.
    """
    status = _STATUS.get(error.code, 400)
    if error.code == LIMIT_REACHED and endpoint == "messages":
        status = 403
    retry = status in (429, 503)
    return ErrorResponse(status, error.code, str(error), retry, error.retry_after_s)


def shape_of(endpoint: Endpoint, headers: Mapping[str, str]) -> Endpoint:
    """Return the dialect whose clients read an error; of paths that are not metered, as the headers show it."""
    if endpoint == "other" and ("anthropic-version" in headers or "x-api-key" in headers):
        return "messages"
    if endpoint == "other" and "x-goog-api-key" in headers:
        return "gemini.generateContent"
    return endpoint


def body_for(endpoint: Endpoint, error: ErrorResponse) -> bytes:
    """Return the JSON body that SDKs of this dialect turn into their usual exception."""
    status, message = error.status, error.message
    if endpoint == "messages":
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
        return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})
    if endpoint == "gemini.generateContent":
        name = _GOOGLE_STATUS.get(status, "INTERNAL")
        return orjson.dumps({"error": {"code": status, "message": message, "status": name}})
    kind = "cab_proxy_error"
    shape = {"message": message, "type": kind, "param": None, "code": error.code}
    return orjson.dumps({"error": shape})


def headers_for(error: ErrorResponse) -> dict[str, str]:
    """Return the headers of an error answer; where no retry can help, SDKs are asked to stop."""
    headers = {"Content-Type": "application/json"}
    if not error.retry:
        headers["x-should-retry"] = "false"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return headers


def web_response(endpoint: Endpoint, error: ErrorResponse, **headers: str) -> web.Response:
    """Return an error answer, with some more headers."""
    response = web.Response(
        status=error.status,
        headers={**headers_for(error), **headers},
        body=body_for(endpoint, error),
    )
    if error.status == 408:
        response.force_close()  # what is missing of the request cannot be told from the next one
    return response


def raw_response(error: ErrorResponse) -> bytes:
    """Return the bytes of an error answer to no request in particular; the connection ends with it."""
    body = body_for("other", error)
    headers = {**headers_for(error), "Content-Length": len(body), "Connection": "close"}
    first = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}"
    lines = [first, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + body
