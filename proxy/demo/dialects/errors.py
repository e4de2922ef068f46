"""Errors in the shape of each dialect, as SDKs of it turn them into their usual exceptions."""

from typing import NamedTuple

import orjson

_OPENAI_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    404: "invalid_request_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
_GOOGLE_STATUS = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
}
_SERVER_ERROR = 500


class ErrorReply(NamedTuple):
    """Why a request is not served."""

    status: int
    message: str
    param: str | None = None
    """The field that is wrong, if it is one."""
    code: str | None = None
    """A word for machines, in the dialect that has a place for it."""
    headers: dict[str, str] | None = None


def openai_error(error: ErrorReply) -> bytes:
    """Return an error in the shape of chat completions and responses."""
    return orjson.dumps({"error": openai_members(error)})


def openai_members(error: ErrorReply) -> dict[str, str | None]:
    """Return what such an error says."""
    other = "server_error" if error.status >= _SERVER_ERROR else "invalid_request_error"
    kind = _OPENAI_TYPES.get(error.status, other)
    return {"message": error.message, "type": kind, "param": error.param, "code": error.code}


def anthropic_error(error: ErrorReply) -> bytes:
    """Return an error in the shape of messages."""
    other = "api_error" if error.status >= _SERVER_ERROR else "invalid_request_error"
    kind = _ANTHROPIC_TYPES.get(error.status, other)
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": _message(error)}})


def google_error(error: ErrorReply) -> bytes:
    """Return an error in the shape of Gemini."""
    other = "INTERNAL" if error.status >= _SERVER_ERROR else "INVALID_ARGUMENT"
    status = _GOOGLE_STATUS.get(error.status, other)
    members = {"code": error.status, "message": _message(error), "status": status}
    return orjson.dumps({"error": members})


def _message(error: ErrorReply) -> str:
    return error.message if error.param is None else f"{error.param}: {error.message}"
