"""Listening to an answer: decoded bytes in, the answer's facts out."""

from typing import NamedTuple, Protocol

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import JsonObject, parse_object
from cab.proxy.meter.response.json_array import ArrayReader
from cab.proxy.meter.response.sse import SseEvent, SseReader

DONE = b"[DONE]"
"""The data that end a stream of the OpenAI kind."""


class Ear:
    """What the listeners share: the answer, its end, and when it began to say something."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.first_delta_ns: int | None = None
        self.complete = False
        """Whether the end of the answer was seen."""

    def event(self, kind: bytes, data: JsonObject, at_ns: int) -> bool:
        """Take one part of a stream; return whether it ends the answer for the client."""
        terminal = self.answer.event(kind.decode("utf-8", "replace"), data)
        if self.first_delta_ns is None and self.answer.delivered:
            self.first_delta_ns = at_ns
        self.complete = self.answer.complete
        return terminal

    def done(self) -> None:
        """Take `[DONE]`."""
        self.answer.done()
        self.complete = self.answer.complete

    def end(self, *, clean: bool) -> None:
        """Take the end of a stream of parts."""
        self.complete = self.answer.complete or (clean and self.answer.finished())
        self.answer.doubt()

    def body(self, data: JsonObject, *, clean: bool) -> None:
        """Take the whole answer as one object."""
        self.answer.body(data)
        self.complete = clean
        self.answer.doubt()


class Listener(Protocol):
    """Takes the decoded bytes of one answer."""

    def feed(self, decoded: bytes, at_ns: int) -> bool:
        """Take the next bytes; return whether they tell the client that the answer is complete."""
        ...

    def finish(self, at_ns: int, *, clean: bool) -> None:
        """Take the end; `clean` unless the connection broke."""
        ...


class Heard(NamedTuple):
    """What an event was."""

    terminal: bool
    """Whether it tells the client that the answer is complete."""
    data: JsonObject | None
    """Its data, if they are one JSON object."""


class EventListener:
    """Listens to server-sent events.

    Args:
        ear: Where the events go.
        limit_bytes: The largest event that is understood.
    """

    def __init__(self, ear: Ear, limit_bytes: int) -> None:
        self._ear = ear
        self.reader = SseReader(limit_bytes)

    def feed(self, decoded: bytes, at_ns: int) -> bool:
        """Take the next bytes; return whether they hold the end of the answer."""
        heard = [self.hear(event, at_ns) for event in self.reader.feed(decoded)]
        return any(event.terminal for event in heard)

    def finish(self, at_ns: int, *, clean: bool) -> None:
        """Take the end."""
        event = self.reader.finish()
        if event is not None:
            self.hear(event, at_ns)
        self.end(clean=clean)

    def end(self, *, clean: bool) -> None:
        """Take note that nothing follows the last event."""
        self._ear.end(clean=clean)

    def hear(self, event: SseEvent, at_ns: int) -> Heard:
        """Take one event."""
        data = parse_object(event.data)
        if data is not None:
            return Heard(self._ear.event(event.name, data, at_ns), data)
        terminal = False
        # Perhaps several events between which the blank lines were forgotten.
        for line in event.data.split(b"\n"):
            terminal |= self._line(event, line, at_ns)
        return Heard(terminal, None)

    def _line(self, event: SseEvent, line: bytes, at_ns: int) -> bool:
        if line.lstrip().startswith(DONE):
            self._ear.done()
            return True
        data = parse_object(line) if event.lines > 1 else None
        if data is None and event.closed and (line.strip() or event.oversized):
            what = "is over the limit" if event.oversized else "is no JSON object"
            self._ear.answer.complain(f"an event of the stream {what}")
            # Its name may still say that the answer is over.
            data = {}
        return data is not None and self._ear.event(event.name, data, at_ns)


class BodyListener:
    """Listens to an answer in one piece.

    Args:
        ear: Where the answer goes.
        limit_bytes: The largest body that is understood.
        content_type: As the endpoint calls it, for the complaint if it is no JSON.
    """

    def __init__(self, ear: Ear, limit_bytes: int, content_type: str) -> None:
        self._ear = ear
        self._limit_bytes = limit_bytes
        self._content_type = content_type
        self._body = bytearray()
        self._over = False

    def feed(self, decoded: bytes, at_ns: int) -> bool:  # noqa: ARG002 - a body has no first delta
        """Take the next bytes; only the end of the body ends the answer."""
        if not self._over:
            self._body += decoded
            if len(self._body) > self._limit_bytes:
                self._over = True
                self._body.clear()
        return False

    def finish(self, at_ns: int, *, clean: bool) -> None:  # noqa: ARG002 - as above
        """Take the end."""
        if self._over:
            self._ear.answer.complain(f"the answer is over {self._limit_bytes} bytes")
            return
        body = bytes(self._body)
        self._body.clear()
        data = parse_object(body)
        if data is not None:
            self._ear.body(data, clean=clean)
        elif self._parts(body):
            self._ear.end(clean=clean)
        else:
            kind = self._content_type.partition(";")[0].strip()[:80] or "no content type"
            cut = "" if clean else ", cut off"
            self._ear.answer.complain(f"the answer is no JSON object ({kind}{cut})")

    def _parts(self, body: bytes) -> bool:
        """Take a stream under a wrong name: JSON lines, or events; return whether it is one."""
        lines = [line.removeprefix(b"data:").strip() for line in body.split(b"\n")]
        parts = [part for part in map(parse_object, filter(None, lines)) if part is not None]
        for part in parts:
            self._ear.answer.event("", part)
        if parts and DONE in lines:
            self._ear.done()
        return bool(parts)


class ArrayListener:
    """Listens to a JSON array of objects, each a part of the answer.

    Args:
        ear: Where the parts go.
        limit_bytes: The largest part that is understood.
    """

    def __init__(self, ear: Ear, limit_bytes: int) -> None:
        self._ear = ear
        self._reader = ArrayReader(limit_bytes)
        self._parts = 0

    def feed(self, decoded: bytes, at_ns: int) -> bool:
        """Take the next bytes; only the end of the array ends the answer."""
        for part in self._reader.feed(decoded):
            data = parse_object(part)
            if data is None:
                self._ear.answer.complain("a part of the answer's array is no JSON object")
            else:
                self._parts += 1
                self._ear.event(b"", data, at_ns)
        return False

    def finish(self, at_ns: int, *, clean: bool) -> None:  # noqa: ARG002 - every part had its time
        """Take the end."""
        if self._reader.oversized:
            self._ear.answer.complain("a part of the answer's array is over the limit")
        elif not self._parts:
            self._ear.answer.complain("the answer is an array without objects")
        self._ear.end(clean=clean and self._reader.closed)


def is_event_stream(content_type: str, first: bytes) -> bool:
    """Return whether a body holds server-sent events, whatever its header says.

    Args:
        content_type: The header's value, in lower case.
        first: The body's first byte that is no white space.
    """
    if first in b"{[<":
        return False
    if content_type.startswith("text/event-stream"):
        return True
    # A stream under a wrong name starts with a field's name or a comment.
    return "json" not in content_type and "html" not in content_type and first in b"deir:"


def listener_for(first: bytes, content_type: str, ear: Ear, limit_bytes: int) -> Listener:
    """Return the listener for a body, by its first byte and its content type."""
    if is_event_stream(content_type, first):
        return EventListener(ear, limit_bytes)
    if first == b"[":
        return ArrayListener(ear, limit_bytes)
    return BodyListener(ear, limit_bytes, content_type)
