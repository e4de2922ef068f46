"""What the body of a request is, and whether every endpoint must read it as it is read here.

A body that two readers could understand differently is the way past a meter: the one sees no stream,
a small model, no limit; the other serves what was meant. Each of the differences between readers of
JSON that are in use is named here, and whoever has a key at stake refuses such a body.
"""

from typing import Literal, NamedTuple

from cab.proxy.meter.content_decoding import BadEncoding, Decoder
from cab.proxy.meter.dialects.routes import Dialect
from cab.proxy.meter.json_values import JsonObject, as_object, is_object, parse, parse_object
from cab.proxy.meter.request.canonical import (
    BadJson,
    RepeatedMember,
    canonical_form,
    hash_of,
    is_large,
    json_fault,
    plain_json,
    strict_json,
)
from cab.proxy.meter.request.charset import charset_fault
from cab.proxy.meter.request.form import form_members
from cab.proxy.meter.request.json_members import Member
from cab.proxy.meter.request.json_scan import scan_members

MAX_DECODED_BYTES = 128 << 20
"""A compressed body is not read beyond this."""
NO_OBJECT = "the request's body is not a JSON object in UTF-8"
_BOM = b"\xef\xbb\xbf"
_READ_HERE = (
    *("model", "models", "fallbacks", "stream", "stream_options", "include_usage", "n", "best_of"),
    *("max_tokens", "max_completion_tokens", "max_output_tokens"),
)
_READ_OF_MESSAGE = ("type", "stream_id", "previous_response_id", "generate")
_READ_OF_LARGE = (
    *(*_READ_HERE, *_READ_OF_MESSAGE),
    *("stream_format", "generationConfig", "generation_config"),
)
_MAX_VALUE_BYTES = 1 << 16
_BY_FOLDED_NAME = {name.casefold(): name for name in _READ_HERE}


class RequestBody(NamedTuple):
    """A request's body as it is read here."""

    text: bytes
    """The body without its content encoding."""
    content: JsonObject | None
    """The JSON object in it, or the members of a form that are read here; None if there is neither."""
    request_hash: str | None
    """Of the text, see `canonical`; None for an empty body."""
    fault: str | None
    """Why an endpoint could read a call's body otherwise; None if it cannot."""
    hash_form: Literal["canonical", "raw"] | None = None
    """What was hashed: the canonical form, or the bytes as they are; None for an empty body."""
    found: list[Member] | None = None
    """Of a large body, of which `content` has but the members that are read here: where all stand."""
    is_decoded: bool = True
    """Whether the content encoding was undone, if there is one."""


def read_body(
    dialect: Dialect | None, body: bytes, content_encoding: str, content_type: str = ""
) -> RequestBody:
    """Return what a request's body is.

    Args:
        dialect: The dialect of the call, `None` for one that is not metered: its body may be anything.
        body: As the client sent it.
        content_encoding: The header's value, empty if there is none.
        content_type: The header's value, empty if there is none.
    """
    if not body:
        return RequestBody(body, None, None, None)
    try:
        decoded = _decoded(body, content_encoding) if content_encoding else body
    except BadEncoding as error:
        fault = None if dialect is None else str(error)
        return RequestBody(body, None, hash_of(body, None), fault, "raw", is_decoded=False)
    text = decoded.removeprefix(_BOM)
    canonical, found = None, None
    if is_large(text):
        content, found, fault = _read_large(text)
    elif (plain := plain_json(text)) is not None:
        fault = None
        content, canonical = (plain[0] if is_object(plain[0]) else None), plain[1]
    else:
        canonical, fault = _strictly(text)
        content = parse_object(text)
    if len(text) != len(decoded):
        canonical = None  # with a byte order mark it is no JSON text
    hashed = hash_of(decoded, canonical)
    if content is None and dialect is not None and dialect.takes_forms:
        content = form_members(text)
        fault = None if content is not None else f"{NO_OBJECT}, and no form"
    if dialect is None:
        fault = None
    elif fault is None:
        fault = _unclear(content) or charset_fault(content_type)
    form: Literal["canonical", "raw"] = "raw" if canonical is None else "canonical"
    return RequestBody(text, content, hashed, fault, form, found)


def read_message(text: bytes) -> tuple[JsonObject | None, str | None]:
    """Return the members of a message on a WebSocket, and why they could be read otherwise.

    Of a large one they are those that are read here; the object is None if there is none.
    """
    if is_large(text):
        content, _, fault = _read_large(text)
        return content, fault
    fault = json_fault(text)
    return None if fault else parse_object(text), fault


def _strictly(text: bytes) -> tuple[bytes | None, str | None]:
    """Return the canonical form of a JSON text, and why it has no value for every reader."""
    try:
        return canonical_form(strict_json(text)), None
    except RepeatedMember as error:
        return None, str(error)
    except BadJson:
        return None, NO_OBJECT


def _read_large(text: bytes) -> tuple[JsonObject | None, list[Member] | None, str | None]:
    """Return of a JSON object the members that are read here, where all stand, and what is unclear."""
    try:
        found = scan_members(text)
    except BadJson:
        return None, None, NO_OBJECT
    content: JsonObject = {}
    names: set[str] = set()
    fault = None
    for name, start, end in found:
        if name and name in names:
            fault = fault or f"the member `{name[:40]}` is repeated"
        names.add(name)
        if name not in _READ_OF_LARGE and name.casefold() not in _BY_FOLDED_NAME:
            continue
        if end - start > _MAX_VALUE_BYTES:
            fault = fault or f"the member `{name}` is over {_MAX_VALUE_BYTES} bytes"
            continue
        unclear = json_fault(text[start:end])
        fault = fault or unclear
        content[name] = None if unclear else parse(text[start:end])
    return content, found, fault


def _decoded(body: bytes, content_encoding: str) -> bytes:
    decoder = Decoder(content_encoding, MAX_DECODED_BYTES)
    if decoder.unknown:
        raise BadEncoding(f"the content encoding {decoder.unknown[0]} cannot be read here")
    return body if decoder.is_identity else b"".join(decoder.decode(body))


def _unclear(content: JsonObject | None) -> str | None:
    if content is None:
        return NO_OBJECT
    return _unclear_member(content) or _unclear_member(as_object(content.get("stream_options")))


def _unclear_member(members: JsonObject) -> str | None:
    for name, value in members.items():
        known = _BY_FOLDED_NAME.get(name.casefold())
        if known is None:
            continue
        # Some readers take a name in any letters for a member's.
        if name != known:
            return f"the member `{name[:40]}` differs from `{known}` by its letters only"
        if name in ("stream", "include_usage") and not (value is None or isinstance(value, bool)):
            return f"`{name}` is neither true nor false"
        # JavaScript looks `["m"]` up as `m`.
        if name == "model" and not (value is None or isinstance(value, str)):
            return "`model` is not text"
        if name == "stream_options" and not (value is None or is_object(value)):
            return "`stream_options` is not an object"
    return None
