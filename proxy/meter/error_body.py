"""What an endpoint says went wrong, in any of the shapes in use."""

import re
from typing import NamedTuple

from cab.proxy.meter.json_values import (
    JsonObject,
    as_object,
    as_text,
    clean,
    dump_text,
    is_object,
    parse_object,
)

_MAX_MESSAGE_CHARS = 2000
"""More than a record holds, so that a key that is cut here stands behind all that is kept."""
_NO_MESSAGE = "no message"
_GOOD_CODES = ("0", "200", "ok", "success")
"""What servers write as `code` or `error` into an answer in which nothing went wrong."""
_FAILED = frozenset(("error", "network_error", "error_finish", "abort", "failed"))
_ERROR_TEXT = re.compile(rb"\s*(?:\[error\]|error:|<!doctype html|<html)", re.IGNORECASE)


class EndpointError(NamedTuple):
    """An error that the endpoint reports inside a body or a stream."""

    type: str
    """A short class name, as the endpoint gives it."""
    message: str
    """One line, as the endpoint gives it: it may repeat secrets that the client sent."""


def error_in(data: JsonObject) -> EndpointError | None:
    """Return the error that a body or an event states, `None` if it states none.

    OpenAI, Anthropic and Gemini put an object into `error`, TGI a text (`error_type` is beside it),
    some servers `true`. Old vLLM and SGLang send `{"object": "error", ...}`, MiniMax a `base_resp` with
    a `status_code`, gateways `{"success": false}` or a `code` with a message. An empty `error`, and a
    code that means success, stand in good answers too.
    """
    error = data.get("error")
    if is_object(error):
        good = _is_good_code(error.get("code")) or not any(error.values())
        return None if good else error_from(error)
    if error is True:
        return error_from(data)
    if not _is_good(error):
        return EndpointError(_text(data.get("error_type")) or "error", _text(error))
    if data.get("object") == "error" or data.get("success") is False:
        return error_from(data)
    base = as_object(data.get("base_resp"))
    if not _is_good(base.get("status_code")):
        return error_from(base)
    stated = not _is_good(data.get("code")) and (data.get("message") or data.get("msg"))
    return error_from(data) if stated else None


def error_in_body(data: JsonObject) -> EndpointError | None:
    """Return the error in a body that holds no answer.

    Besides what `error_in` knows this may be FastAPI's `detail`, or a message and nothing else.
    """
    error = error_in(data)
    if error is not None:
        return error
    if "detail" in data:
        return EndpointError("error", _text(data["detail"]) or _NO_MESSAGE)
    stated = as_text(data.get("message")) and not _is_good_code(data.get("code"))
    return error_from(data) if stated else None


def error_from(error: JsonObject) -> EndpointError:
    """Return the error that an error object describes."""
    stated = (_text(error.get(key)) for key in ("type", "status", "code", "status_code"))
    # `{"type": "error", "code": ...}` says with its type only what it is.
    names = [name for name in stated if name not in ("", "error")]
    # Azure has the HTTP status beside a code that says more.
    kind = next((name for name in names if not name.isdecimal()), next(iter(names), "error"))
    texts = (_text(error.get(key)) for key in ("message", "msg", "status_msg", "errors"))
    return EndpointError(kind, next(filter(None, texts), _NO_MESSAGE))


def error_of_status(status: int) -> EndpointError | None:
    """Return the error that an answer without an error object has by its status, if it has one."""
    if status < 400:
        return None
    return EndpointError(f"http_{status}", "the endpoint gave no error object")


def error_of_finish(reason: str) -> EndpointError | None:
    """Return the error that a finish reason states, `None` for one that ends a good answer."""
    if reason.lower().replace("-", "_") not in _FAILED:
        return None
    return EndpointError(clean(reason), "the finish reason of the answer is an error")


def error_in_text(text: bytes, *, named: bool) -> EndpointError | None:
    """Return the error that an event's data state as plain text or as a page of HTML.

    Args:
        text: The data, which are not a JSON object.
        named: Whether the event's name says that it is an error.
    """
    mark = _ERROR_TEXT.match(text)
    if mark is None and not named:
        return None
    if mark is not None and b"<" in mark[0]:
        return EndpointError("html", "the endpoint sent a page of HTML")
    stated = text if mark is None else text[mark.end() :]
    data = parse_object(stated)
    if data is not None:
        return error_in_body(data) or error_from(data)
    return EndpointError("error", _text(stated.decode(errors="replace")) or _NO_MESSAGE)


def _is_good(value: object) -> bool:
    """Return whether the value of `error` or of a code states no error."""
    return not value or _is_good_code(value)


def _is_good_code(code: object) -> bool:
    return _text(code).lower() in _GOOD_CODES


def _text(value: object) -> str:
    if value is None:
        return ""
    return _one_line(value if isinstance(value, str) else dump_text(value))


def _one_line(text: str) -> str:
    return clean(" ".join(text[:_MAX_MESSAGE_CHARS].split()))
