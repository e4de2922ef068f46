"""The meter of one call: request in, response bytes in and out, and in the end an outcome."""

import dataclasses

from cab.proxy.meter.dialects.routes import Dialect
from cab.proxy.meter.ordinary import OrdinaryAnswer, OrdinaryReader, ordinary_stream
from cab.proxy.meter.outcome import Outcome
from cab.proxy.meter.request.body import read_body
from cab.proxy.meter.request.request import RequestFacts, read_request
from cab.proxy.meter.response.large_body import MAX_PARSED_BYTES
from cab.proxy.meter.response.observer import may_be_event_stream
from cab.proxy.meter.response.pass_through import MeterOutput
from cab.proxy.meter.response_meter import NOTHING, MeterSettings, ResponseHead, ResponseMeter

CAPTURE_LIMIT_BYTES = MAX_PARSED_BYTES
"""How much of a body, or of one event, is kept for understanding it; of a larger one, its ends."""
TEXT_LIMIT_CHARS = 8 << 20
"""How much of an answer's text is kept for counting it."""

_NO_HEAD = ResponseHead(0, "", "", None)


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
        self._is_decoded = read.is_decoded
        facts, upstream_body = read_request(dialect, path, body, read, inject_usage=inject_usage)
        self.request: RequestFacts = facts
        """What the request says."""
        self.upstream_body = upstream_body
        """The body to send; the very same object as `body` unless usage is asked for."""
        self._head = _NO_HEAD
        self._short: OrdinaryReader | None = None
        """Reads the answer as long as it may be an ordinary one in one piece."""
        self._full: ResponseMeter | None = None
        """Reads every other answer."""

    @property
    def request_text(self) -> bytes | None:
        """The request's body without its content encoding; None if that cannot be undone."""
        return self._text if self._is_decoded else None

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
        kind = content_type.strip().lower()
        self._head = ResponseHead(status, kind, content_encoding, content_length)
        self._full = None
        self._short = None
        read = None if self._dialect is None else self._dialect.ordinary_body
        is_stream = kind.startswith("text/event-stream")
        if read is not None and status == 200 and not content_encoding and not is_stream:
            self._short = OrdinaryReader(read, content_length, self._limit_bytes, hold=self._hold)

    @property
    def may_alter(self) -> bool:
        """Whether the client may get fewer bytes than came, so that no length can be promised."""
        if not self.request.injected or not may_be_event_stream(self._head.content_type):
            return False
        return self._short is not None or self._reader().is_identity

    def pass_known(self, chunk: bytes, at_ns: int) -> bytes | None:
        """Return what may be sent of a chunk that is an event like the one before; None if it was not taken.

        That is how `feed` begins; it says no more about such a chunk.
        """
        return None if self._full is None else self._full.pass_known(chunk, at_ns)

    def feed(self, chunk: bytes, at_ns: int) -> MeterOutput:
        """Return what of the response may be sent at once now that `chunk` has come.

        Args:
            chunk: The next bytes of the body, encoded as they came.
            at_ns: When they came.

        Returns:
            The bytes; and, once per response, `terminal`: the bytes that tell the client that its
            answer is complete have come and are kept inside.
        """
        if self._full is not None:
            return self._full.feed(chunk, at_ns)
        if not chunk:
            return NOTHING
        short = self._short
        if short is None or (output := short.feed(chunk, at_ns)) is None:
            return self._reader().feed(chunk, at_ns)
        return output

    def finish(self, at_ns: int) -> MeterOutput:
        """Return what may still be sent now that the upstream has closed the response cleanly.

        Args:
            at_ns: When it did.

        Returns:
            The bytes; and `terminal` if it is this end that tells the client.
        """
        if self._short is not None and (output := self._short.finish(at_ns)) is not None:
            return output
        return self._reader().finish(at_ns)

    def cut(self) -> bytes:
        """Return the bytes that came and were not given out, now that the upstream broke off."""
        return self._reader().cut()

    def release(self) -> bytes:
        """Return the bytes that were kept inside; after the answer's end all others pass."""
        return self._reader().release() if self._short is None else self._short.release()

    def ordinary(self) -> OrdinaryAnswer | None:
        """Return what is known of a call that ended as most do; None if its `outcome` has to be looked at.

        The two say the same of such a call; see `OrdinaryAnswer`.
        """
        if self._short is not None:
            return self._short.answer()
        if self._full is None or self._head.status != 200:
            return None
        full = self._full
        return ordinary_stream(full.answer, full.last_byte_ns, full.received_bytes)

    def outcome(self) -> Outcome:
        """Return what is known of the call; it may be asked for at any time."""
        request = self.request
        notes = [note for note in (request.body_fault, request.not_injected) if note is not None]
        return self._reader().outcome(notes, self._text)

    def _reader(self) -> ResponseMeter:
        """Return what reads answers of every kind, and has read this one as far as it came."""
        full = self._full
        if full is None:
            settings = MeterSettings(
                self._dialect,
                self._hold,
                self.request.injected,
                self._limit_bytes,
                self._text_limit_chars,
            )
            full = self._full = ResponseMeter(settings, self._head)
            if self._short is not None:
                self._short.replay(full)
                self._short = None
        return full
