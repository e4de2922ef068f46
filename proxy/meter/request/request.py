"""What a request says, and the one change made to it: asking for usage in a stream."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from cab.proxy.meter.dialects.paths import model_in_path, plain_path
from cab.proxy.meter.dialects.routes import Dialect
from cab.proxy.meter.json_values import (
    JsonObject,
    as_list,
    as_object,
    as_text,
    clean_or_none,
    is_object,
)
from cab.proxy.meter.request.body import RequestBody
from cab.proxy.meter.request.bounds import NO_BOUND, CostBound, bound_of
from cab.proxy.meter.request.json_members import Member, members

_SUBSTITUTES = ("models", "fallbacks")
"""Members in which OpenRouter and LiteLLM take other models, for when the first one fails."""
_ASK = b'{"include_usage":true}'
_ASK_MEMBER = b'"stream_options":' + _ASK


@dataclass(slots=True)  # not frozen: that takes several times as long, for each call
class RequestFacts:
    """What the record needs of a request."""

    model: str | None
    """The model asked for, from the body or, where the dialect has it there, from the path."""
    stream: bool | None
    """Whether the client asked for a stream; `None` if the body does not say so intelligibly."""
    request_hash: str | None
    """`sha256:` and hex, see `canonical`; `None` for an empty body."""
    request_hash_form: Literal["canonical", "raw"] | None
    """What was hashed: the canonical form, or the bytes as they are."""
    wants_usage: bool
    """Whether the client itself asked for usage in the stream, so that it gets all of it."""
    injected: bool
    """Whether usage is asked for on the client's behalf."""
    body_fault: str | None
    """Why an endpoint could read the body of a metered call otherwise than it is read here."""
    not_injected: str | None
    """Why usage was not asked for where it would have been due."""
    bound: CostBound = NO_BOUND
    """What the call can cost at most."""
    models: tuple[str, ...] = ()
    """All models that it names, also as substitutes: each of them could be the one that answers."""


class Edit(NamedTuple):
    """The body to send upstream, and why it is not changed if it should have been."""

    body: bytes
    injected: bool = False
    reason: str | None = None


def read_request(
    dialect: Dialect | None, path: str, sent: bytes, body: RequestBody, *, inject_usage: bool
) -> tuple[RequestFacts, bytes]:
    """Return the facts of a request and the body to send upstream.

    Args:
        dialect: The dialect of the call, `None` for one that is not metered.
        path: Path as the upstream sees it.
        sent: Body as the client sent it.
        body: What it is.
        inject_usage: Whether usage may be asked for on the client's behalf.

    Returns:
        The facts; and the very same `sent` unless usage is asked for.
    """
    path = plain_path(path)
    content = body.content
    fields = content or {}
    stream = _stream(dialect, path, content)
    include = as_object(fields.get("stream_options")).get("include_usage")
    # With a value that is neither true nor false nothing is changed or taken out.
    absent = include is None or include is False
    asks = dialect is not None and dialect.usage_on_request and stream is True
    edit = Edit(sent)
    if asks and absent and inject_usage:
        edit = _ask(sent, body, fields)
    bound = NO_BOUND
    if dialect and content:
        bound = bound_of(dialect.name, content, len(body.text), whole=body.found is None)
    facts = RequestFacts(
        model=clean_or_none(_model(path, fields)),
        stream=stream,
        request_hash=body.request_hash,
        request_hash_form=body.hash_form,
        wants_usage=asks and not absent,
        injected=edit.injected,
        body_fault=body.fault,
        not_injected=edit.reason,
        bound=bound,
        models=_models(path, fields),
    )
    return facts, edit.body


def _ask(sent: bytes, body: RequestBody, fields: JsonObject) -> Edit:
    if sent.endswith(body.text):  # with or without a byte order mark before it
        ahead = len(sent) - len(body.text)
        found = None if body.found is None or ahead else body.found
        return ask_for_usage(sent, fields, found)
    return _unchanged(sent, "the content encoding")


def ask_for_usage(body: bytes, content: JsonObject, found: list[Member] | None = None) -> Edit:
    """Return the body with `stream_options.include_usage` set and every other byte as it was.

    Args:
        body: A JSON object as the client sent it.
        content: The same, parsed, as far as it is read here.
        found: Where its members stand, if that is known.
    """
    absent = "stream_options" not in content
    # The usual body need not be parsed again: the name stands there once, and without escapes.
    if found is None and absent and body.count(b'"stream"') == 1 and b"\\u" not in body:
        return _insert(body)
    found = members(body) if found is None else found
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
        return ":streamgeneratecontent" in path.lower()
    if content is None:
        return None
    stream = content.get("stream")
    if stream is None and content.get("stream_format") is not None:
        return content["stream_format"] == "sse"  # of speech
    if stream is None and dialect is not None:
        return path.lower().endswith(":streamrawpredict")
    return stream if isinstance(stream, bool) else None


def _models(path: str, fields: JsonObject) -> tuple[str, ...]:
    """Return every model that is named in the path, as the body's model, or where gateways take substitutes."""
    in_path, model = model_in_path(path), fields.get("model")
    if in_path is None and "models" not in fields and "fallbacks" not in fields:  # nearly always
        return (model,) if isinstance(model, str) else ()
    named: list[object] = [in_path, model]
    for name in _SUBSTITUTES:
        listed = fields.get(name)
        entries = as_list(listed) or [listed]
        named += [entry.get("model") if is_object(entry) else entry for entry in entries]
    return tuple(dict.fromkeys(name for name in named if isinstance(name, str)))


def _model(path: str, fields: JsonObject) -> str | None:
    # Where a path names the model, endpoints do not look at the body for it.
    return model_in_path(path) or as_text(fields.get("model"))
