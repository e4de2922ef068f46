"""Answers that the proxy gives itself, in the error shape of the dialect that was called."""

from dataclasses import dataclass

import orjson

from cab.proxy.accounting.admission import IN_FLIGHT, LIMIT_REACHED, REGISTRY_LOST
from cab.proxy.errors import Rejected
from cab.scoring.ledger.records import Endpoint
from cab.scoring.ledger.slices import SEALED

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    503: "overloaded_error",
}
_GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
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


class RequestRefused(Exception):
    """A request that is answered with a refusal."""

    def __init__(self, status: int, code: str, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.refusal = ErrorResponse(status, code, message, retry)


_STATUS = {SEALED: 409, LIMIT_REACHED: 400, IN_FLIGHT: 503, REGISTRY_LOST: 503}


def error_response_for(endpoint: Endpoint, error: Rejected) -> ErrorResponse:
    """Return how a call that its cell may not make is refused.

    Agents must stop, not try again. 429 would start their retry loops; most give up on a 400 with a
    code that they do not know. Of Anthropic's clients, some send a call again on 400 and stop on 403.
    """
    status = _STATUS[error.code]
    if status == 400 and endpoint == "messages":
        status = 403
    return ErrorResponse(status, error.code, str(error), retry=status == 503)


def body_for(endpoint: Endpoint, refusal: ErrorResponse) -> bytes:
    """Return the JSON body that SDKs of this dialect turn into their usual exception."""
    if endpoint == "messages":
        kind = _ANTHROPIC_TYPES.get(refusal.status, "api_error")
        error = {"type": kind, "message": refusal.message}
        return orjson.dumps({"type": "error", "error": error})
    if endpoint == "gemini.generateContent":
        status = _GOOGLE_STATUS.get(refusal.status, "INTERNAL")
        return orjson.dumps(
            {"error": {"code": refusal.status, "message": refusal.message, "status": status}}
        )
    kind = "cab_proxy_error"
    shape = {"message": refusal.message, "type": kind, "param": None, "code": refusal.code}
    return orjson.dumps({"error": shape})


def headers_for(refusal: ErrorResponse) -> dict[str, str]:
    """Return the headers of a refusal; those that no retry can mend tell SDKs to stop."""
    headers = {"Content-Type": "application/json"}
    if not refusal.retry:
        headers["x-should-retry"] = "false"
    return headers
