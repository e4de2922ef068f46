"""What an endpoint says went wrong, in any of the shapes in use."""

from typing import NamedTuple

from cab.proxy.meter.json_values import JsonObject, as_text, clean, dump_text, is_object

_MAX_MESSAGE_CHARS = 2000
_NO_MESSAGE = "no message"


class EndpointError(NamedTuple):
    """An error that the endpoint reports inside a body or a stream."""

    type: str
    """A short class name, as the endpoint gives it."""
    message: str
    """One line, as the endpoint gives it: it may repeat secrets that the client sent."""


def error_in(data: JsonObject) -> EndpointError | None:
    """Return the error that an object holds as its `error` member, `None` if it holds none.

    OpenAI, Anthropic and Gemini all put an object there, some servers a text.
    """
    error = data.get("error")
    if is_object(error):
        return error_from(error)
    text = as_text(error)
    return None if text is None else EndpointError("error", _one_line(text))


def error_in_body(data: JsonObject) -> EndpointError | None:
    """Return the error in the answer to a request that the endpoint rejected.

    Besides `error` this knows vLLM's bare `{"object": "error", ...}` and FastAPI's `detail`.
    """
    error = error_in(data)
    if error is not None:
        return error
    if "detail" in data:
        return EndpointError("error", _text(data["detail"]) or _NO_MESSAGE)
    return error_from(data) if as_text(data.get("message")) else None


def error_from(error: JsonObject) -> EndpointError:
    """Return the error that an error object describes."""
    names = (_text(error.get(key)) for key in ("type", "status", "code"))
    kind = next((name for name in names if name), "error")
    return EndpointError(kind, _text(error.get("message")) or _NO_MESSAGE)


def error_of_status(status: int) -> EndpointError | None:
    """Return the error that an answer without an error object has by its status, if it has one."""
    if status < 400:
        return None
    return EndpointError(f"http_{status}", "the endpoint gave no error object")


def _text(value: object) -> str:
    if value is None:
        return ""
    return _one_line(value if isinstance(value, str) else dump_text(value))


def _one_line(text: str) -> str:
    return clean(" ".join(text[:_MAX_MESSAGE_CHARS].split()))
