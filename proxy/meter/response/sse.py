"""An incremental reader of server-sent events that keeps raw byte offsets.

It follows the WHATWG rules for `text/event-stream`: lines end at CR, LF or CRLF and nowhere else, a
line that starts with a colon is a comment, `data` lines are joined by LF, a blank line dispatches.
Besides these a field `error` counts as the data of an event of that name.
No byte is looked at twice: the unfinished line is kept apart and only new bytes are searched.
"""

import re
from typing import NamedTuple

from cab.proxy.meter.response.large_body import LargeBody

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_COLON = 0x3A

# What is kept of a line that is over the limit: enough to know its field.
_HEAD_BYTES = 64
MAX_LINES = 1 << 16
"""Most `data` lines of one event: what reads an event does so in one step."""


class SseEvent(NamedTuple):
    """One event, and where its bytes stand in the stream."""

    name: bytes
    """Value of its `event` field, empty if it has none."""
    data: bytes
    """Its `data` lines joined by LF; empty if `oversized`."""
    start: int
    """Offset of its first field line."""
    end: int
    """Offset after the blank line that ends it."""
    lines: int
    """Number of its `data` lines."""
    closed: bool
    """Whether a blank line ended it; the standard drops an event that the end of the stream cuts."""
    oversized: bool
    """Whether it was over a limit, so that its data were not kept."""
    large: LargeBody | None = None
    """The ends of the data of an oversized one."""


class SseReader:
    """Turns the bytes of a stream, in any slicing, into events.

    Args:
        limit_bytes: An event with a longer line, or more data in all, or more than `MAX_LINES` lines of
            data, is reported without its data.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._head_bytes = min(_HEAD_BYTES, limit_bytes)
        self._line = bytearray()
        self._line_over = False
        self._long_line: LargeBody | None = None
        self.line_start = 0
        """Offset at which the unfinished line starts; the end of the stream so far if none is."""
        self.offset = 0
        """Number of bytes seen."""
        self.after_cr = False
        """Whether the last byte was a CR; an LF that follows belongs to it."""
        self._reset()

    def _reset(self) -> None:
        self.event_start: int | None = None
        """Offset of the open event's first complete line, `None` while no event is open."""
        self.name = b""
        """Name of the open event so far."""
        self.data: list[bytes] = []
        """Complete `data` lines of the open event."""
        self.lines = 0
        """Their number, also when they were not kept."""
        self._size = 0
        self._oversized = False
        self._large: LargeBody | None = None

    @property
    def unfinished(self) -> bytearray:
        """The unfinished line; only its head if it is over the limit."""
        return self._line

    @property
    def open_at(self) -> int:
        """Offset from which on bytes belong to an event that is not over yet."""
        if self.event_start is not None:
            return self.event_start
        return self.offset if self._line.startswith(b":") else self.line_start

    @property
    def is_between_events(self) -> bool:
        """Whether an event would begin with the next byte."""
        return self.event_start is None and not self._line and not self.after_cr and self.offset > 0

    def skip(self, size_bytes: int) -> None:
        """Take note of whole events of this size that somebody else has read, between events."""
        self.offset += size_bytes
        self.line_start = self.offset

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that `chunk` completes."""
        events: list[SseEvent] = []
        if not chunk:
            return events
        position, base = 0, self.offset
        self.offset += len(chunk)
        if self.after_cr and chunk.startswith(b"\n"):
            position = 1
            self.line_start = base + 1
        # Searching for LF alone is several times faster, and no endpoint is known to send CR.
        has_cr = b"\r" in chunk
        while True:
            if has_cr:
                match = _LINE_END.search(chunk, position)
                end, after = (match.start(), match.end()) if match else (-1, -1)
            else:
                end = chunk.find(b"\n", position)
                after = end + 1
            if end < 0:
                break
            self._end_line(chunk[position:end], base + after, events)
            position = after
        self.after_cr = chunk.endswith(b"\r")
        self._keep(chunk[position:])
        return events

    def finish(self) -> SseEvent | None:
        """Return the event that the end of the stream leaves without its blank line."""
        if self._line:
            self._end_line(b"", self.offset, [])
        return self._dispatch(self.offset, closed=False)

    def _keep(self, rest: bytes) -> None:
        if self._long_line is not None:
            self._long_line.add(rest)
            return
        self._line += rest
        if len(self._line) > self._limit_bytes:
            self._line_over = True
            self._long_line = LargeBody(self._line)
            del self._line[self._head_bytes :]

    def _end_line(self, rest: bytes, end: int, events: list[SseEvent]) -> None:
        line = rest
        if self._line:
            self._keep(rest)
            line = bytes(self._line)
            self._line.clear()
        elif len(rest) > self._limit_bytes:
            self._line_over = True
            self._long_line = LargeBody(rest)
            line = rest[: self._head_bytes]
        start, self.line_start = self.line_start, end
        if start == 0 and line.startswith(_BOM):
            line = line[3:]
        if line:
            self._field(line, start)
        elif (event := self._dispatch(end, closed=True)) is not None:
            events.append(event)
        self._line_over = False
        self._long_line = None

    def _field(self, line: bytes, start: int) -> None:
        if line[0] == _COLON:
            return
        if self.event_start is None:
            self.event_start = start
        if line.startswith(b"data:"):
            self._data(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            self.name = line[7:] if line[6:7] == b" " else line[6:]
        elif line.startswith(b"error:"):
            # llama.cpp before 2025-09 sent an error under a field name of its own.
            self.name = b"error"
            self._data(line[6:])
        elif line == b"data":
            self._data(b"")
        elif line == b"event":
            self.name = b""

    def _data(self, value: bytes) -> None:
        self.lines += 1
        self._size += len(value) + 1
        if self._line_over or self._size > self._limit_bytes or self.lines > MAX_LINES:
            self._oversized = True
        if self._oversized:
            self._add_large(value)
            self.data.clear()
        else:
            self.data.append(value)

    def _add_large(self, value: bytes) -> None:
        """Keep the ends of the data; JSON on several lines has white space where they meet."""
        if self._large is None:
            self._large = LargeBody(b"\n".join(self.data))
        if self._long_line is None:
            self._large.add(value)
        elif self.lines == 1:
            self._large = self._long_line.without_start(len(b"data:"))

    def _dispatch(self, end: int, *, closed: bool) -> SseEvent | None:
        start, lines = self.event_start, self.lines
        if start is None:
            return None
        data = self.data[0] if lines == 1 and self.data else b"\n".join(self.data)
        large = self._large
        event = SseEvent(self.name, data, start, end, lines, closed, self._oversized, large)
        self._reset()
        return event if lines else None
