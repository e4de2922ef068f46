"""The way of server-sent events: which bytes must wait, and which must not leave at all."""

from cab.proxy.meter.json_values import JsonObject
from cab.proxy.meter.response.observer import DONE, EventListener
from cab.proxy.meter.response.pass_through import NOTHING, Feed
from cab.proxy.meter.response.sse import SseEvent
from cab.proxy.meter.response.usage_filter import altered

# Longer than any start of a line that has to be recognised.
_HEAD_BYTES = 48


class EventPath:
    """Passes the bytes of a stream as they come, but for these.

    Kept inside, if `hold`, are the event that ends the answer, a line or an event that may turn out
    to be that, and everything after it. With `alter`, whole events leave, so that each can be judged
    first.

    Args:
        listener: Hears the events.
        terminal_names: Types of the events that end the answer, besides `data: [DONE]`.
        hold: Whether the end of the answer is kept inside.
        alter: Whether usage that the client did not ask for is taken out.
        limit_bytes: An event that is larger passes as it comes.
    """

    def __init__(
        self,
        listener: EventListener,
        terminal_names: tuple[str, ...],
        *,
        hold: bool,
        alter: bool,
        limit_bytes: int,
    ) -> None:
        self._listener = listener
        self._reader = listener.reader
        self._hold = hold
        self._alter = alter
        self._limit_bytes = limit_bytes
        self._names = tuple(name.encode() for name in terminal_names)
        ends = [b"data: " + DONE, b"data:" + DONE]
        ends += [field + name for name in self._names for field in (b"event: ", b"event:")]
        self._ends = tuple(ends)
        self._inside = bytearray()
        self._given = 0  # offset in the stream of the first byte inside
        self._out: list[bytes] = []
        self._drop_lf = False
        self._judged_event: int | None = None
        self._judged_lines = 0
        self._suspect = False

    def feed(self, chunk: bytes, at_ns: int) -> Feed:
        """Take a chunk."""
        self._inside += chunk
        if self._drop_lf and chunk.startswith(b"\n"):
            self._take(self._given + 1)
        self._drop_lf = False
        return self._sort(self._reader.feed(chunk), at_ns)

    def listen(self, chunk: bytes, at_ns: int) -> Feed:
        """Take a chunk after the terminal bytes."""
        self._listener.feed(chunk, at_ns)
        return NOTHING

    def finish(self, at_ns: int, *, clean: bool) -> Feed:
        """Take the end, which is an end of the answer too if no event was."""
        event = self._reader.finish()
        feed = self._sort([] if event is None else [event], at_ns)
        self._listener.end(clean=clean)
        return feed

    def rest(self) -> bytes:
        """Give out what is still inside."""
        return self._flush(self._given + len(self._inside))

    def _sort(self, events: list[SseEvent], at_ns: int) -> Feed:
        terminal_at: int | None = None
        for event in events:
            heard = self._listener.hear(event, at_ns)
            if terminal_at is not None:
                continue
            if heard.terminal:
                terminal_at = event.start
            elif self._alter and heard.data is not None and "usage" in heard.data:
                self._judge(event, heard.data)
        if terminal_at is None:
            return Feed(self._flush(self._safe_until()), terminal=False)
        return Feed(self._flush(terminal_at if self._hold else self._reader.offset), terminal=True)

    def _judge(self, event: SseEvent, data: JsonObject) -> None:
        """Take usage that was not asked for out of an event."""
        # The same two cases in which `_safe_until` lets an event go before it is whole.
        if event.lines > 1 or event.end - event.start > self._limit_bytes:
            return
        self._out.append(self._take(event.start))
        replacement = altered(data, event.data, bytes(self._inside[: event.end - event.start]))
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
        if self._alter and reader.lines <= 1:
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
        if reader.event_start != self._judged_event:
            self._judged_event, self._judged_lines = reader.event_start, 0
            self._suspect = False
        self._suspect |= reader.name in self._names
        for value in reader.data[self._judged_lines :]:
            typed = not reader.name and any(name in value for name in self._names)
            self._suspect |= typed or value.lstrip().startswith(DONE)
        self._judged_lines = len(reader.data)
        return self._suspect

    def _take(self, until: int) -> bytes:
        count = max(0, until - self._given)
        taken = bytes(self._inside[:count])
        del self._inside[:count]
        self._given += count
        return taken

    def _flush(self, until: int) -> bytes:
        self._out.append(self._take(until))
        out, self._out = self._out, []
        return b"".join(out)
