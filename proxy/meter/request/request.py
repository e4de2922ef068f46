"""What a request says, and the one change made to it: asking for usage in a stream."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from cab.proxy.meter.dialects.routes import Dialect, plain_path
from cab.proxy.meter.json_values import (
    JsonObject,
    as_object,
    as_text,
    clean_or_none,
    is_object,
    parse_object,
)
from cab.proxy.meter.request.bounds import NO_BOUND, CostBound, bound_of
from cab.proxy.meter.request.canonical import request_hash
from cab.proxy.meter.request.json_members import Member, members

_GOOGLE_MODEL = re.compile(
    r".*/(?:models|tunedModels|endpoints)/(.+):"
    r"(?:generateContent|streamGenerateContent|rawPredict|streamRawPredict)$"
)
_AZURE_DEPLOYMENT = re.compile(r".*/deployments/([^/]+)/")
_ASK = b'{"include_usage":true}'
_ASK_MEMBER = b'"stream_options":' + _ASK


@dataclass(frozen=True)
class RequestFacts:
    """What the record needs of a request."""

    model: str | None
    """The model asked for, from the body or, where the dialect has it there, from the path."""
    stream: bool | None
    """Whether the client asked for a stream; `None` if the body does not say so intelligibly."""
    request_hash: str | None
    """`sha256:` and hex, see `canonical`; `None` for an empty body."""
    wants_usage: bool
    """Whether the client itself asked for usage in the stream, so that it gets all of it."""
    injected: bool
    """Whether usage is asked for on the client's behalf."""
    body_error: str | None
    """Why the body of a metered call could not be understood."""
    not_injected: str | None
    """Why usage was not asked for where it would have been due."""
    bound: CostBound = NO_BOUND
    """What the call can cost at most."""


class Edit(NamedTuple):
    """The body to send upstream, and why it is not changed if it should have been."""

    body: bytes
    injected: bool = False
    reason: str | None = None


def read_request(
    dialect: Dialect | None, path: str, body: bytes, *, inject_usage: bool
) -> tuple[RequestFacts, bytes]:
    """Return the facts of a request and the body to send upstream.

    Args:
        dialect: The dialect of the call, `None` for one that is not metered.
        path: Path as the upstream sees it.
        body: Body as the client sent it.
        inject_usage: Whether usage may be asked for on the client's behalf.

    Returns:
        The facts; and the very same `body` unless usage is asked for.
    """
    path = plain_path(path)
    content = parse_object(body) if body else None
    fields = content or {}
    stream = _stream(dialect, path, content)
    include = as_object(fields.get("stream_options")).get("include_usage")
    # With a value that is neither true nor false nothing is changed or taken out.
    absent = include is None or include is False
    asks = dialect is not None and dialect.usage_on_request and stream is True
    edit = ask_for_usage(body, fields) if asks and absent and inject_usage else Edit(body)
    facts = RequestFacts(
        model=clean_or_none(_model(path, fields)),
        stream=stream,
        request_hash=request_hash(body),
        wants_usage=asks and not absent,
        injected=edit.injected,
        body_error=_body_error(dialect, body, content),
        not_injected=edit.reason,
        bound=bound_of(dialect.name, content, len(body)) if dialect and content else NO_BOUND,
    )
    return facts, edit.body


def ask_for_usage(body: bytes, content: JsonObject) -> Edit:
    """Return the body with `stream_options.include_usage` set and every other byte as it was.

    Args:
        body: A JSON object as the client sent it.
        content: The same, parsed.
    """
    absent = "stream_options" not in content
    # The usual body need not be parsed again: the name stands there once, and without escapes.
    if absent and body.count(b'"stream"') == 1 and b"\\u" not in body:
        return _insert(body)
    found = members(body)
    names = [member.name for member in found]
    for name in ("stream", "stream_options"):
        if names.count(name) > 1:
            return _unchanged(body, f"`{name}` is repeated")
    if absent:
        return _insert(body)
    return _ask_in(body, content["stream_options"], found[names.index("stream_options")])


def _insert(body: bytes) -> Edit:
    brace = body.index(b"{") + 1
    return Edit(body[:brace] + _ASK_MEMBER + b"," + body[brace:], injected=True)


def _ask_in(body: bytes, options: object, place: Member) -> Edit:
    if options is None:
        return _replace(body, place.value_start, place.value_end, _ASK)
    if not is_object(options):
        # The client must see the endpoint's own error.
        return _unchanged(body, "`stream_options` is not an object")
    inside = members(body[place.value_start : place.value_end])
    asked = [member for member in inside if member.name == "include_usage"]
    if len(asked) > 1:
        return _unchanged(body, "`include_usage` is repeated")
    if asked:
        start = place.value_start + asked[0].value_start
        return _replace(body, start, place.value_start + asked[0].value_end, b"true")
    brace = place.value_start + 1
    return _replace(body, brace, brace, b'"include_usage":true' + (b"," if inside else b""))


def _replace(body: bytes, start: int, end: int, text: bytes) -> Edit:
    return Edit(body[:start] + text + body[end:], injected=True)


def _unchanged(body: bytes, reason: str) -> Edit:
    return Edit(body, reason=f"usage was not asked for: {reason} in the request")


def _stream(dialect: Dialect | None, path: str, content: JsonObject | None) -> bool | None:
    if dialect is not None and dialect.name == "gemini.generateContent":
        return ":streamGenerateContent" in path
    if content is None:
        return None
    stream = content.get("stream")
    if stream is None and dialect is not None:
        return path.endswith(":streamRawPredict")
    return stream if isinstance(stream, bool) else None


def _model(path: str, fields: JsonObject) -> str | None:
    model = as_text(fields.get("model"))
    named = _GOOGLE_MODEL.match(path) or _AZURE_DEPLOYMENT.match(path)
    return named[1] if model is None and named else model


def _body_error(dialect: Dialect | None, body: bytes, content: JsonObject | None) -> str | None:
    if dialect is None or content is not None:
        return None
    return "the request's body is not a JSON object" if body else "the request has no body"
