"""The bytes of an answer, taken as a stream: its events, or the one body that it is."""

import re
from typing import NamedTuple

from cab.scoring.evidence.messages.json_values import JsonObject, decoded, parsed
from cab.scoring.files import is_list, is_object

_LINE_END = re.compile(rb"\r\n|\n|\r")
_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?(?:data|event|id|retry|error|)(?::|\r|\n|\Z)")
_BOM = b"\xef\xbb\xbf"


class StreamEvent(NamedTuple):
    """One event of a stream."""

    name: str
    """Its `event` field; empty if it has none."""
    data: JsonObject


class AnswerBytes(NamedTuple):
    """An answer's body, read as far as no dialect is needed."""

    body: JsonObject | None
    """The object that it is; None if it is a stream or neither."""
    events: list[StreamEvent]
    """Its events; empty if it is not a stream."""
    unread: list[str]
    """What is not a JSON object: data of events, or the whole body."""


def read_bytes(body: bytes) -> AnswerBytes:
    """Return an answer's body as one object, or as the events of a stream.

    A stream is one of server-sent events, a list of JSON objects, or an object in each line.
    """
    if not body.strip():
        return AnswerBytes(None, [], [])
    if _FIELD.match(body.lstrip(b"\r\n")):
        return _of_events(sse_events(body))
    whole = parsed(body)
    if is_object(whole):
        return AnswerBytes(whole, [], [])
    if is_list(whole):
        events = [StreamEvent("", each) for each in whole if is_object(each)]
        return AnswerBytes(None, events, [] if len(events) == len(whole) else [decoded(body)])
    lines = [parsed(line) for line in body.splitlines() if line.strip()]
    events = [StreamEvent("", line) for line in lines if is_object(line)]
    whole_lines = bool(events) and len(events) == len(lines)
    return AnswerBytes(None, events if whole_lines else [], [] if whole_lines else [decoded(body)])


def _of_events(found: list[tuple[bytes, bytes]]) -> AnswerBytes:
    events: list[StreamEvent] = []
    unread: list[str] = []
    for name, data in found:
        if data.strip() in (b"[DONE]", b""):
            continue
        value = parsed(data)
        if is_object(value):
            events.append(StreamEvent(decoded(name), value))
        else:
            unread.append(decoded(data))
    return AnswerBytes(None, events, unread)


def sse_events(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Return name and data of each server-sent event, also of one that the end of the stream cuts.

    The rules are WHATWG's for `text/event-stream`; a field `error` is the data of an event of that name,
    as some servers send it.
    """
    found: list[tuple[bytes, bytes]] = []
    name, data = b"", list[bytes]()
    for line in [*_LINE_END.split(stream.removeprefix(_BOM)), b""]:
        if not line:
            if data:
                found.append((name, b"\n".join(data)))
            name, data = b"", []
            continue
        field, _, value = line.partition(b":")
        if field == b"event":
            name = value.removeprefix(b" ")
        elif field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"error" and value:
            name = b"error"
            data.append(value)
    return found
