"""Passing server-sent events on: which bytes must wait, and which must not leave at all."""

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.json_values import JsonObject
from cab.proxy.meter.response.event_template import MAX_EVENT_BYTES, EventTemplate
from cab.proxy.meter.response.observer import DONE, observe_event
from cab.proxy.meter.response.pass_through import MeterOutput
from cab.proxy.meter.response.sse import SseEvent, SseReader
from cab.proxy.meter.response.usage_filter import without_injected_usage
from cab.proxy.meter.usage import USAGE_MEMBERS

# Longer than any start of a line that has to be recognised.
_HEAD_BYTES = 48
_MAX_TRIES = 8
"""After so many events that no other was like, events are not remembered any more."""
_MANY_TEXTS = 256
"""So many texts of known events are kept apart from the answer at most."""
_USAGE = frozenset(USAGE_MEMBERS)


class StreamFilter:
    """Passes the bytes of a stream as they come, but for these.

    Kept inside, if `hold`, are the event that ends the answer, a line or an event that may turn out
    to be that, and everything after it. With `filter_usage`, whole events leave, so that each can be
    looked at first.

    Args:
        answer: Where the events go.
        terminal_names: Types of the events that end the answer, besides `data: [DONE]`.
        hold: Whether the end of the answer is kept inside.
        filter_usage: Whether usage that the client did not ask for is taken out.
        limit_bytes: An event that is larger passes as it comes.
    """

    def __init__(
        self,
        answer: Answer,
        terminal_names: tuple[str, ...],
        *,
        hold: bool,
        filter_usage: bool,
        limit_bytes: int,
    ) -> None:
        self._answer = answer
        self._reader = SseReader(limit_bytes)
        self._hold = hold
        self._filter_usage = filter_usage
        self._limit_bytes = limit_bytes
        self._names = tuple(name.encode() for name in terminal_names)
        ends = [b"data: " + DONE, b"data:" + DONE]
        ends += [field + name for name in self._names for field in (b"event: ", b"event:")]
        self._ends = tuple(ends)
        self._inside = bytearray()
        self._inside_start = 0  # offset in the stream of the first byte inside
        self._out: list[bytes] = []
        self._drop_lf = False
        self._checked_event: int | None = None
        self._checked_lines = 0
        self._may_be_terminal = False
        self._template: EventTemplate | None = None
        """What the next event is usually like."""
        self._tries = 0
        self._next: EventTemplate | None = None
        """The same while an event may begin with the next byte; None while one is open."""
        self._texts: list[bytes] = []
        """Texts of events that were like it, and that the answer does not have yet."""
        self._skipped_bytes = 0
        """Size of these events."""

    def known(self, chunk: bytes) -> bytes | None:
        """Return what leaves of a chunk that is one event like the one before it; None if it was not taken.

        It differs in its text only, so that there is nothing to read in it: most events are known.
        """
        if self._next is None or (found := self._next.match(chunk)) is None:
            return None
        text, sent = found
        self._texts.append(text)
        self._skipped_bytes += len(chunk)
        if len(self._texts) >= _MANY_TEXTS:
            self.note_texts()
        return sent

    def note_texts(self) -> None:
        """Give the answer the texts of the known events: before anybody looks at it."""
        if not self._skipped_bytes:
            return
        texts, self._texts = self._texts, []
        size_bytes, self._skipped_bytes = self._skipped_bytes, 0
        self._reader.skip(size_bytes)
        self._inside_start += size_bytes
        self._tries = 0
        self._answer.more_texts([text.decode() for text in texts if text])

    def pass_on(self, chunk: bytes, at_ns: int) -> MeterOutput:
        """Take a chunk."""
        self.note_texts()
        self._inside += chunk
        if self._drop_lf and chunk.startswith(b"\n"):
            self._take(self._inside_start + 1)
        self._drop_lf = False
        output = self._pass_on_events(self._reader.feed(chunk), at_ns)
        is_between = not self._inside and self._reader.is_between_events
        self._next = self._template if is_between else None
        return output

    def observe(self, chunk: bytes, at_ns: int) -> None:
        """Read a chunk that comes after the terminal bytes."""
        self.note_texts()
        for event in self._reader.feed(chunk):
            observe_event(self._answer, event, at_ns)

    def finish(self, at_ns: int, *, clean: bool) -> bytes:
        """Take the end, which is an end of the answer too if no event was."""
        self.note_texts()
        event = self._reader.finish()
        output = self._pass_on_events([] if event is None else [event], at_ns)
        self._answer.end(clean=clean)
        return output.data

    def rest(self) -> bytes:
        """Give out what is still inside."""
        self.note_texts()
        return self._flush(self._inside_start + len(self._inside))

    def _pass_on_events(self, events: list[SseEvent], at_ns: int) -> MeterOutput:
        terminal_at: int | None = None
        for event in events:
            answer = self._answer
            finished = bool(answer.finish_reasons)
            before = answer.facts(), answer.pieces
            terminal, data = observe_event(answer, event, at_ns)
            self._template = None
            if terminal_at is not None:
                continue
            one_more = (answer.facts(), answer.pieces - 1) == before
            if one_more and data is not None and self._tries < _MAX_TRIES and not terminal:
                self._note_template(event, data, finished=finished)
            if terminal:
                terminal_at = event.start
            elif self._filter_usage and data is not None and not _USAGE.isdisjoint(data):
                self._take_usage_out(event, data, finished=finished)
        if terminal_at is None:
            return MeterOutput(self._flush(self._safe_until()), terminal=False)
        until = terminal_at if self._hold else self._reader.offset
        return MeterOutput(self._flush(until), terminal=True)

    def _note_template(self, event: SseEvent, data: JsonObject, *, finished: bool) -> None:
        """Remember an event that told nothing but a piece of text: those that follow may be like it."""
        size = event.end - event.start
        begin = event.start - self._inside_start
        if size > MAX_EVENT_BYTES or begin < 0 or not event.closed or event.lines != 1:
            return
        self._tries += 1
        raw = bytes(self._inside[begin : begin + size])
        head = b"event: %b\n" % event.name if event.name else b""
        if raw != b"%bdata: %b\n\n" % (head, event.data):
            return
        sent = raw
        if self._filter_usage and "usage" in data:
            replaced = without_injected_usage(data, event.data, raw, finished=finished)
            sent = raw if replaced is None else replaced
        if not self._answer.piece_repeats:
            return
        _, text = self._answer.last_piece
        try:
            self._template = EventTemplate(raw, sent, data, text)
        except ValueError:
            self._template = None

    def _take_usage_out(self, event: SseEvent, data: JsonObject, *, finished: bool) -> None:
        # The same two cases in which `_safe_until` lets an event go before it is whole.
        if event.lines > 1 or event.end - event.start > self._limit_bytes:
            return
        self._out.append(self._take(event.start))
        raw = bytes(self._inside[: event.end - event.start])
        replacement = without_injected_usage(data, event.data, raw, finished=finished)
        if replacement is None:
            return
        self._take(event.end)
        self._out.append(replacement)
        # The CR that ended the event may be the first half of a CRLF, whose second half goes with it.
        cut_short = event.end == self._reader.offset and self._reader.after_cr
        self._drop_lf = cut_short and not replacement

    def _safe_until(self) -> int:
        """Return the offset up to which bytes may leave."""
        reader = self._reader
        open_at, end = reader.open_at, reader.offset
        if open_at == end or end - open_at > self._limit_bytes:
            return end
        if self._filter_usage and reader.lines <= 1:
            return open_at
        return open_at if self._hold and self._may_end() else end

    def _may_end(self) -> bool:
        """Whether what is not over yet may turn out to end the answer."""
        head = bytes(self._reader.unfinished[:_HEAD_BYTES])
        if head and any(head.startswith(end) or end.startswith(head) for end in self._ends):
            return True
        return self._open_event_may_end()

    def _open_event_may_end(self) -> bool:
        reader = self._reader
        if reader.event_start != self._checked_event:
            self._checked_event, self._checked_lines = reader.event_start, 0
            self._may_be_terminal = False
        self._may_be_terminal |= reader.name in self._names
        for value in reader.data[self._checked_lines :]:
            typed = not reader.name and any(name in value for name in self._names)
            self._may_be_terminal |= typed or value.lstrip().startswith(DONE)
        self._checked_lines = len(reader.data)
        return self._may_be_terminal

    def _take(self, until: int) -> bytes:
        count = max(0, until - self._inside_start)
        taken = bytes(self._inside[:count])
        del self._inside[:count]
        self._inside_start += count
        return taken

    def _flush(self, until: int) -> bytes:
        last = self._take(until)
        if not self._out:
            return last
        out, self._out = [*self._out, last], []
        return b"".join(out)
