"""The meter of one call: request in, response bytes in and out, and in the end an outcome."""

import dataclasses
import re
from functools import partial

from cab.proxy.meter.content_decoding import Decoder
from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.dialects.routes import Dialect
from cab.proxy.meter.outcome import Outcome, Transfer, outcome_of
from cab.proxy.meter.request.body import read_body
from cab.proxy.meter.request.request import RequestFacts, read_request
from cab.proxy.meter.response.large_body import MAX_PARSED_BYTES
from cab.proxy.meter.response.observer import is_event_stream, may_be_event_stream, observer_for
from cab.proxy.meter.response.pass_through import MeterOutput, PassThrough, ResponseFilter
from cab.proxy.meter.response.stream_filter import StreamFilter

CAPTURE_LIMIT_BYTES = MAX_PARSED_BYTES
"""How much of a body, or of one event, is kept for understanding it; of a larger one, its ends."""
TEXT_LIMIT_CHARS = 8 << 20
"""How much of an answer's text is kept for counting it."""

_DECODED_CHUNK_BYTES = 8 << 20
"""What one chunk of an answer may decompress to: it is read in one step, on the event loop."""

_NOTHING = MeterOutput(b"", terminal=False)
_SIGNIFICANT = re.compile(rb"[^ \t\r\n]")


class CallMeter:
    """Meters one call. Past the constructor nothing raises, whatever the bytes.

    Args:
        dialect: The dialect of the call, `None` for one that is passed on without metering.
        path: Path as the upstream sees it.
        body: The request's body as the client sent it.
        content_encoding: The request's header, empty if there is none.
        content_type: The request's header, empty if there is none.
        inject_usage: Whether usage may be asked for on the client's behalf.
        hold_terminal: Whether the bytes that tell the client that its answer is complete are kept
            inside until `release`.
        capture_limit_bytes: How much of a body, or of one event, is kept for understanding it.
        text_limit_chars: How much of the answer's text is kept for counting it.
    """

    def __init__(  # noqa: PLR0913 - three facts of the call and three settings
        self,
        dialect: Dialect | None,
        path: str,
        body: bytes,
        *,
        content_encoding: str = "",
        content_type: str = "",
        inject_usage: bool = True,
        hold_terminal: bool = True,
        capture_limit_bytes: int = CAPTURE_LIMIT_BYTES,
        text_limit_chars: int = TEXT_LIMIT_CHARS,
    ) -> None:
        self._dialect = dialect
        self._body = body
        self._hold = hold_terminal
        self._limit_bytes = capture_limit_bytes
        self._text_limit_chars = text_limit_chars
        read = read_body(dialect, body, content_encoding, content_type)
        self._text = read.text
        facts, upstream_body = read_request(dialect, path, body, read, inject_usage=inject_usage)
        self.request: RequestFacts = facts
        """What the request says."""
        self.upstream_body = upstream_body
        """The body to send; the very same object as `body` unless usage is asked for."""
        self._is_started = False

    def without_injection(self) -> bytes:
        """Return the client's own body, to be sent again after the upstream rejected the other."""
        self.request = dataclasses.replace(
            self.request, injected=False, not_injected="the endpoint refused to be asked for usage"
        )
        self.upstream_body = self._body
        return self._body

    def start(
        self, status: int, content_type: str, content_encoding: str, content_length: int | None
    ) -> None:
        """Take the head of the response; a later one, after a resend, begins all over.

        Args:
            status: HTTP status.
            content_type: The header's value, empty if there is none.
            content_encoding: The header's value, empty if there is none.
            content_length: The header's value, `None` if there is none.
        """
        self._is_started = True
        self._status = status
        self._content_type = content_type.strip().lower()
        self._content_length = content_length
        self._received_bytes = 0
        self._last_byte_ns: int | None = None
        self._faults: list[str] = []
        self._observed = self._dialect
        """The dialect as which the bytes are read, `None` to pass them unread."""
        self._answer = (
            Answer(0) if self._dialect is None else self._dialect.answer(self._text_limit_chars)
        )
        self._decoder = Decoder(content_encoding, min(self._limit_bytes, _DECODED_CHUNK_BYTES))
        self._faults += [f"content-encoding {n} is not known" for n in self._decoder.unknown]
        self._filter: ResponseFilter | None = None
        self._held = bytearray()
        self._ended = False  # the terminal bytes came, or the end did
        self._released = not self._hold
        self._closed = self._clean = False

    def _require_start(self) -> None:
        """Begin with nothing where no answer came."""
        if not self._is_started:
            self.start(0, "", "", None)

    @property
    def may_alter(self) -> bool:
        """Whether the client may get fewer bytes than came, so that no length can be promised."""
        self._require_start()
        plain = self._decoder.is_identity
        return self.request.injected and plain and may_be_event_stream(self._content_type)

    def feed(self, chunk: bytes, at_ns: int) -> MeterOutput:
        """Return what of the response may be sent at once now that `chunk` has come.

        Args:
            chunk: The next bytes of the body, encoded as they came.
            at_ns: When they came.

        Returns:
            The bytes; and, once per response, `terminal`: the bytes that tell the client that its
            answer is complete have come and are kept inside.
        """
        self._require_start()
        if not chunk:
            return _NOTHING
        self._received_bytes += len(chunk)
        self._last_byte_ns = at_ns
        if self._ended:
            return MeterOutput(self._pass_late(chunk, at_ns), terminal=False)
        output = self._filtered(chunk, at_ns)
        if output.terminal:
            return self._end(output.data, self._rest())
        length = self._content_length
        if length is None or self._received_bytes < length:
            return output
        # The last chunk of a body of known length: no later byte would tell the client.
        last = output.data + self._close(at_ns, clean=True) + self._rest()
        return self._end(last, b"") if self._released else self._end(b"", last)

    def finish(self, at_ns: int) -> MeterOutput:
        """Return what may still be sent now that the upstream has closed the response cleanly.

        Args:
            at_ns: When it did.

        Returns:
            The bytes; and `terminal` if it is this end that tells the client.
        """
        self._require_start()
        data = self._close(at_ns, clean=True)
        return MeterOutput(data, terminal=False) if self._ended else self._end(data, self._rest())

    def cut(self) -> bytes:
        """Return the bytes that came and were not given out, now that the upstream broke off."""
        self._require_start()
        data = self._close(self._last_byte_ns or 0, clean=False)
        self._ended = True
        return data + self._rest() + self.release()

    def release(self) -> bytes:
        """Return the bytes that were kept inside; after the answer's end all others pass."""
        self._require_start()
        held = bytes(self._held)
        self._held.clear()
        self._released = self._released or self._ended
        return held

    def outcome(self) -> Outcome:
        """Return what is known of the call; it may be asked for at any time."""
        self._require_start()
        request = self.request
        notes = [note for note in (request.body_fault, request.not_injected) if note is not None]
        head_only = self._content_type.startswith("text/event-stream") and not self._received_bytes
        transfer = Transfer(
            self._status,
            self._last_byte_ns,
            self._received_bytes,
            not self._clean and (head_only or isinstance(self._filter, StreamFilter)),
            notes + self._faults,
        )
        return outcome_of(self._answer, transfer, self._text)

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
        if self._dialect is None:
            self._answer.complete = clean
            self._answer.recognized = True
        return last

    def _end(self, data: bytes, held: bytes) -> MeterOutput:
        self._ended = True
        self._held += held
        return MeterOutput(data, terminal=True)

    def _rest(self) -> bytes:
        return b"" if self._filter is None else self._filter.rest()

    def _stop_metering(self, broken: ResponseFilter, error: Exception) -> bytes:
        """Pass all bytes unread from now on; return those that the broken filter kept inside."""
        self._faults.append(f"fault in the meter: {type(error).__name__}")
        self._observed = None
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
        if not is_event_stream(self._content_type, first[0], named_only=named_only):
            return self._pass_through()
        return StreamFilter(
            self._answer,
            self._observed.terminal_names,
            hold=self._hold,
            filter_usage=self.request.injected,
            limit_bytes=self._limit_bytes,
        )

    def _pass_through(self) -> PassThrough:
        observer = partial(
            observer_for,
            content_type=self._content_type,
            answer=self._answer,
            limit_bytes=self._limit_bytes,
        )
        chosen = None if self._observed is None else observer
        return PassThrough(self._answer, self._decoder, chosen, hold=self._hold)
