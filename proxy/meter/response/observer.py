"""Reading a copy of an answer: decoded bytes in, the parts of the answer out.

An answer is framed in one of three ways: server-sent events, a JSON array, or a body in one piece.
"""

from typing import Protocol

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.error_body import error_in_text
from cab.proxy.meter.json_values import MAX_MARKS, JsonObject, has_many_values, parse_object
from cab.proxy.meter.response.json_array import ArrayReader
from cab.proxy.meter.response.large_body import MAX_PARSED_BYTES, LargeBody, object_of
from cab.proxy.meter.response.sse import SseEvent, SseReader

_EVENT_OVER = "an event of the stream is over the limit"
DONE = b"[DONE]"
"""The data that end a stream of the OpenAI kind."""


class Observer(Protocol):
    """Reads the decoded bytes of one answer."""

    def observe(self, decoded: bytes, at_ns: int) -> bool:
        """Read the next bytes; return whether they tell the client that the answer is complete."""
        ...

    def finish(self, at_ns: int, *, clean: bool) -> None:
        """Take the end; `clean` unless the connection broke."""
        ...


def observe_event(answer: Answer, event: SseEvent, at_ns: int) -> tuple[bool, JsonObject | None]:
    """Hand a server-sent event over to the answer.

    Returns:
        Whether it tells the client that the answer is complete; and its data, if they are one JSON
        object.
    """
    if has_many_values(event.data):
        event = event._replace(data=b"", oversized=True, large=LargeBody(event.data))
    if event.large is not None and (members := event.large.members()):
        answer.warn(_EVENT_OVER)
        return _observe_large(answer, event.name, members, at_ns), None
    data = parse_object(event.data)
    if data is not None:
        return answer.add_event(event.name, data, at_ns), data
    terminal = False
    # Perhaps several events between which the blank lines were forgotten.
    for line in event.data.split(b"\n"):
        terminal |= _observe_line(answer, event, line, at_ns)
    return terminal, None


def _observe_large(answer: Answer, name: bytes, members: JsonObject, at_ns: int | None) -> bool:
    """Hand over what is known of a part of the answer that is too large to be read whole."""
    answer.texts.truncated = True
    answer.recognized = answer.delivered = True
    return answer.add_event(name, members, at_ns)


def _observe_line(answer: Answer, event: SseEvent, line: bytes, at_ns: int) -> bool:
    if line.lstrip().startswith(DONE):
        answer.add_done()
        return True
    data = parse_object(line) if event.lines > 1 and line.lstrip()[:1] == b"{" else None
    if data is None and not event.oversized:
        error = error_in_text(line, named=event.name == b"error")
        answer.error = answer.error or error
    if data is None and event.closed and (line.strip() or event.oversized):
        answer.warn(
            _EVENT_OVER if event.oversized else "an event of the stream is not a JSON object"
        )
        # Its name may still say that the answer is over.
        data = {}
    return data is not None and answer.add_event(event.name, data, at_ns)


class _EventObserver:
    """Reads server-sent events."""

    def __init__(self, answer: Answer, limit_bytes: int) -> None:
        self._answer = answer
        self._reader = SseReader(limit_bytes)

    def observe(self, decoded: bytes, at_ns: int) -> bool:
        terminal = False
        for event in self._reader.feed(decoded):
            terminal |= observe_event(self._answer, event, at_ns)[0]
        return terminal

    def finish(self, at_ns: int, *, clean: bool) -> None:
        event = self._reader.finish()
        if event is not None:
            observe_event(self._answer, event, at_ns)
        self._answer.end(clean=clean)


class _BodyObserver:
    """Reads an answer in one piece; only its end ends the answer."""

    def __init__(self, answer: Answer, limit_bytes: int, content_type: str) -> None:
        self._answer = answer
        self._limit_bytes = min(limit_bytes, MAX_PARSED_BYTES)
        self._content_type = content_type
        self._body = bytearray()
        self._large: LargeBody | None = None

    def observe(self, decoded: bytes, at_ns: int) -> bool:  # noqa: ARG002 - a body has no first delta
        if self._large is not None:
            self._large.add(decoded)
            return False
        self._body += decoded
        if len(self._body) > self._limit_bytes:
            self._large = LargeBody(bytes(self._body))
            self._body.clear()
        return False

    def finish(self, at_ns: int, *, clean: bool) -> None:  # noqa: ARG002 - as above
        body = bytes(self._body)
        self._body.clear()
        if has_many_values(body):
            self._large = LargeBody(body)
        if self._large is not None:
            self._add_large(self._large, clean=clean)
            return
        data = parse_object(body)
        if data is not None:
            self._answer.add_body(data, clean=clean)
        elif self._add_parts(body):
            self._answer.end(clean=clean)
        else:
            kind = self._content_type.partition(";")[0].strip() or "no content type"
            cut = "" if clean else ", cut off"
            self._answer.warn(f"the answer is not a JSON object ({kind}{cut})")

    def _add_large(self, large: LargeBody, *, clean: bool) -> None:
        """Take what stands at the head and at the tail of an answer that is too large to be read whole."""
        self._answer.warn(f"the answer is over {self._limit_bytes} bytes or {MAX_MARKS} values")
        if members := large.members():
            self._answer.texts.truncated = True
            self._answer.recognized = self._answer.delivered = True
            self._answer.add_body(members, clean=clean and large.closed)

    def _add_parts(self, body: bytes) -> bool:
        """Take a stream under a wrong name: JSON lines, or events; return whether it is one."""
        lines = [line.removeprefix(b"data:").strip() for line in body.split(b"\n")]
        parts = [part for part in map(parse_object, filter(None, lines)) if part is not None]
        for part in parts:
            self._answer.add_event(b"", part, None)
        if parts and DONE in lines:
            self._answer.add_done()
        return bool(parts)


class _FileObserver:
    """Takes an answer that is a text or a file; only its end ends the answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def observe(self, decoded: bytes, at_ns: int) -> bool:  # noqa: ARG002 - it is not looked into
        return False

    def finish(self, at_ns: int, *, clean: bool) -> None:  # noqa: ARG002 - as above
        self._answer.add_file(clean=clean)


class _ArrayObserver:
    """Reads a JSON array of objects, each a part of the answer; only its end ends the answer."""

    def __init__(self, answer: Answer, limit_bytes: int) -> None:
        self._answer = answer
        self._reader = ArrayReader(limit_bytes)
        self._parts = 0

    def observe(self, decoded: bytes, at_ns: int) -> bool:
        for part in self._reader.feed(decoded):
            if isinstance(part, LargeBody):
                data, whole = part.members() or None, False
            else:
                data, whole = object_of(part)
            if not whole:
                self._answer.warn("a part of the answer's array is over the limit")
            if data is not None and not whole:
                self._parts += 1
                _observe_large(self._answer, b"", data, at_ns)
            elif data is None and whole:
                self._answer.warn("a part of the answer's array is not a JSON object")
            elif data is not None:
                self._parts += 1
                self._answer.add_event(b"", data, at_ns)
        return False

    def finish(self, at_ns: int, *, clean: bool) -> None:  # noqa: ARG002 - every part had its time
        if not self._parts:
            self._answer.warn("the answer is an array without objects")
        self._answer.end(clean=clean and self._reader.closed)


def may_be_event_stream(content_type: str) -> bool:
    """Return whether a body with this header, in lower case, may hold server-sent events."""
    named = content_type.startswith("text/event-stream")
    return named or ("json" not in content_type and "html" not in content_type)


def is_event_stream(content_type: str, first: bytes, *, named_only: bool = False) -> bool:
    """Return whether a body holds server-sent events, whatever its header says.

    Args:
        content_type: The header's value, in lower case.
        first: The body's first byte that is not white space.
        named_only: Whether the header decides alone what is none: a text or a file may begin with any byte.
    """
    if first in b"{[<":
        return False
    # A stream under a wrong name starts with a field's name or a comment.
    named = content_type.startswith("text/event-stream")
    return named or (not named_only and may_be_event_stream(content_type) and first in b"deir:")


def _is_file(content_type: str, first: bytes) -> bool:
    """Return whether a body with this header, and this first byte if it has none, is a text or a file."""
    if content_type:
        return not any(name in content_type for name in ("json", "html", "event-stream"))
    return first not in b"{[<"


def observer_for(first: bytes, content_type: str, answer: Answer, limit_bytes: int) -> Observer:
    """Return the observer of a body.

    Args:
        first: The body's first byte that is not white space.
        content_type: The header's value, in lower case.
        answer: Where the parts of the answer go.
        limit_bytes: The largest event, part or body that is understood.
    """
    if is_event_stream(content_type, first, named_only=answer.takes_any_body):
        return _EventObserver(answer, limit_bytes)
    if answer.takes_any_body and _is_file(content_type, first):
        return _FileObserver(answer)
    if first == b"[":
        return _ArrayObserver(answer, limit_bytes)
    return _BodyObserver(answer, limit_bytes, content_type)
