"""The meter of one response: its bytes in, out what may leave, and in the end an outcome."""

import re
from functools import partial
from typing import NamedTuple

from cab.proxy.meter.content_decoding import Decoder
from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.dialects.routes import Dialect
from cab.proxy.meter.outcome import Outcome, Transfer, outcome_of
from cab.proxy.meter.response.observer import is_event_stream, observer_for
from cab.proxy.meter.response.pass_through import MeterOutput, PassThrough, ResponseFilter
from cab.proxy.meter.response.stream_filter import StreamFilter

_DECODED_CHUNK_BYTES = 8 << 20
"""What one chunk of an answer may decompress to: it is read in one step, on the event loop."""

NOTHING = MeterOutput(b"", terminal=False)
_SIGNIFICANT = re.compile(rb"[^ \t\r\n]")


class ResponseHead(NamedTuple):
    """What a response says of itself before its body."""

    status: int
    content_type: str
    """In small letters, empty if there is none."""
    content_encoding: str
    """Empty if there is none."""
    content_length: int | None


class MeterSettings(NamedTuple):
    """How the responses of a call are metered; see `CallMeter`."""

    dialect: Dialect | None
    hold_terminal: bool
    filter_usage: bool
    """Whether usage that the client did not ask for is taken out."""
    capture_limit_bytes: int
    text_limit_chars: int


class ResponseMeter:
    """Meters one response. Nothing raises, whatever the bytes.

    Args:
        settings: How.
        head: Its head.
    """

    __slots__ = (
        *("_answer", "_clean", "_closed", "_decoder", "_ended", "_faults", "_filter", "_head"),
        *("_held", "_last_byte_ns", "_observed", "_received_bytes", "_released", "_settings"),
        "_stream",
    )

    def __init__(self, settings: MeterSettings, head: ResponseHead) -> None:
        dialect, limit_bytes = settings.dialect, settings.capture_limit_bytes
        self._settings = settings
        self._head = head
        self._received_bytes = 0
        self._last_byte_ns: int | None = None
        self._observed = dialect
        """The dialect as which the bytes are read, `None` to pass them unread."""
        self._answer = Answer(0) if dialect is None else dialect.answer(settings.text_limit_chars)
        self._decoder = Decoder(head.content_encoding, min(limit_bytes, _DECODED_CHUNK_BYTES))
        self._faults = [f"content-encoding {n} is not known" for n in self._decoder.unknown]
        self._filter: ResponseFilter | None = None
        self._stream: StreamFilter | None = None
        """The same if that knows events again, as long as it may be asked."""
        self._held = bytearray()
        self._ended = False  # the terminal bytes came, or the end did
        self._released = not settings.hold_terminal
        self._closed = self._clean = False

    @property
    def is_identity(self) -> bool:
        """Whether the body is not compressed."""
        return self._decoder.is_identity

    @property
    def answer(self) -> Answer:
        """What it has said so far."""
        if self._filter is not None:
            self._filter.note_texts()
        return self._answer

    @property
    def last_byte_ns(self) -> int | None:
        """When the last byte came."""
        return self._last_byte_ns

    @property
    def received_bytes(self) -> int:
        """Size of the body so far."""
        return self._received_bytes

    def pass_known(self, chunk: bytes, at_ns: int) -> bytes | None:
        """Return what may be sent of an event like the one before; see `CallMeter.pass_known`."""
        if self._stream is None:
            return None
        try:
            sent = self._stream.known(chunk)
        except Exception as error:  # noqa: BLE001 - metering never breaks a call
            sent = self._stop_metering(self._stream, error) + chunk
        if sent is not None:
            self._received_bytes += len(chunk)
            self._last_byte_ns = at_ns
        return sent

    def feed(self, chunk: bytes, at_ns: int) -> MeterOutput:
        """Return what may be sent at once now that a chunk has come; see `CallMeter.feed`."""
        if not chunk:
            return NOTHING
        if (sent := self.pass_known(chunk, at_ns)) is not None:
            return MeterOutput(sent, terminal=False)
        self._received_bytes += len(chunk)
        self._last_byte_ns = at_ns
        if self._ended:
            return MeterOutput(self._pass_late(chunk, at_ns), terminal=False)
        output = self._filtered(chunk, at_ns)
        if output.terminal:
            return self._end(output.data, self._rest())
        length = self._head.content_length
        if length is None or self._received_bytes < length:
            return output
        # The last chunk of a body of known length: no later byte would tell the client.
        last = output.data + self._close(at_ns, clean=True) + self._rest()
        return self._end(last, b"") if self._released else self._end(b"", last)

    def finish(self, at_ns: int) -> MeterOutput:
        """Return what may still be sent now that the upstream has closed; see `CallMeter.finish`."""
        data = self._close(at_ns, clean=True)
        return MeterOutput(data, terminal=False) if self._ended else self._end(data, self._rest())

    def cut(self) -> bytes:
        """Return the bytes that came and were not given out, now that the upstream broke off."""
        data = self._close(self._last_byte_ns or 0, clean=False)
        self._ended = True
        self._stream = None
        return data + self._rest() + self.release()

    def release(self) -> bytes:
        """Return the bytes that were kept inside; after the answer's end all others pass."""
        held = bytes(self._held)
        self._held.clear()
        self._released = self._released or self._ended
        return held

    def outcome(self, notes: list[str], request_body: bytes) -> Outcome:
        """Return what is known; see `CallMeter.outcome`.

        Args:
            notes: What could not be done with the request.
            request_body: The request.
        """
        answer = self.answer
        event_stream = self._head.content_type.startswith("text/event-stream")
        head_only = event_stream and not self._received_bytes
        transfer = Transfer(
            self._head.status,
            self._last_byte_ns,
            self._received_bytes,
            not self._clean and (head_only or isinstance(self._filter, StreamFilter)),
            notes + self._faults,
        )
        return outcome_of(answer, transfer, request_body)

    def _filtered(self, chunk: bytes, at_ns: int) -> MeterOutput:
        if self._filter is None:
            self._filter = self._filter_for(chunk)
        if self._filter is None:
            return MeterOutput(chunk, terminal=False)
        try:
            return self._filter.pass_on(chunk, at_ns)
        except Exception as error:  # noqa: BLE001 - metering never breaks a call
            return MeterOutput(self._stop_metering(self._filter, error), terminal=False)

    def _pass_late(self, chunk: bytes, at_ns: int) -> bytes:
        """Take a chunk that comes after the answer's end."""
        if self._filter is not None and not self._closed:
            try:
                self._filter.observe(chunk, at_ns)
            except Exception as error:  # noqa: BLE001 - as above
                self._stop_metering(self._filter, error)
        if self._released:
            return chunk
        self._held += chunk
        return b""

    def _close(self, at_ns: int, *, clean: bool) -> bytes:
        """Take the end of the body, once; return what need not be kept inside."""
        if self._closed:
            return b""
        self._closed, self._clean = True, clean
        if self._filter is None:
            self._filter = self._pass_through()
        try:
            last = self._filter.finish(at_ns, clean=clean)
        except Exception as error:  # noqa: BLE001 - as above
            last = self._stop_metering(self._filter, error)
        if self._settings.dialect is None:
            self._answer.complete = clean
            self._answer.recognized = True
        return last

    def _end(self, data: bytes, held: bytes) -> MeterOutput:
        self._ended = True
        self._stream = None
        self._held += held
        return MeterOutput(data, terminal=True)

    def _rest(self) -> bytes:
        return b"" if self._filter is None else self._filter.rest()

    def _stop_metering(self, broken: ResponseFilter, error: Exception) -> bytes:
        """Pass all bytes unread from now on; return those that the broken filter kept inside."""
        self._faults.append(f"fault in the meter: {type(error).__name__}")
        self._observed = self._stream = None
        self._filter = self._pass_through()
        return broken.rest()

    def _filter_for(self, chunk: bytes) -> ResponseFilter | None:
        """Return the filter of a body that begins with `chunk`, `None` while it has no content."""
        if self._observed is None or not self._decoder.is_identity:
            return self._pass_through()
        first = _SIGNIFICANT.search(chunk)
        if first is None:
            return None
        named_only = self._answer.takes_any_body
        if not is_event_stream(self._head.content_type, first[0], named_only=named_only):
            return self._pass_through()
        stream = StreamFilter(
            self._answer,
            self._observed.terminal_names,
            hold=self._settings.hold_terminal,
            filter_usage=self._settings.filter_usage,
            limit_bytes=self._settings.capture_limit_bytes,
        )
        if self._head.content_length is None:  # else the end has to be looked for with each chunk
            self._stream = stream
        return stream

    def _pass_through(self) -> PassThrough:
        observer = partial(
            observer_for,
            content_type=self._head.content_type,
            answer=self._answer,
            limit_bytes=self._settings.capture_limit_bytes,
        )
        chosen = None if self._observed is None else observer
        return PassThrough(self._answer, self._decoder, chosen, hold=self._settings.hold_terminal)
