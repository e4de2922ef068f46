"""The meter of one response on a WebSocket connection: a frame in, events in, and in the end an outcome."""

from dataclasses import replace

from cab.proxy.meter.dialects.answer import Answer
from cab.proxy.meter.dialects.routes import Dialect
from cab.proxy.meter.json_values import JsonObject
from cab.proxy.meter.outcome import Outcome, Transfer, outcome_of
from cab.proxy.meter.request.body import read_body
from cab.proxy.meter.request.request import RequestFacts, read_request


class EventMeter:
    """Meters one response whose events come as messages. Past the constructor nothing raises.

    Args:
        dialect: The dialect of the connection.
        path: Path as the upstream sees it.
        frame: The client's message that asks for the response, empty if there is none.
        limit_chars: How much of the answer's text is kept.
    """

    def __init__(self, dialect: Dialect, path: str, frame: bytes, limit_chars: int) -> None:
        body = read_body(dialect, frame, "")
        facts, _ = read_request(dialect, path, frame, body, inject_usage=False)
        self.request: RequestFacts = replace(facts, stream=True)
        """What the frame says; a response here always is a stream."""
        self._answer = dialect.answer(limit_chars)
        self._frame = frame
        self._received_bytes = 0
        self._last_event_ns: int | None = None
        self._fault: str | None = None

    @property
    def has_usage(self) -> bool:
        """Whether the endpoint has reported usage."""
        return self._answer.usage_raw is not None

    @property
    def has_error(self) -> bool:
        """Whether the endpoint has stated an error."""
        return self._answer.error is not None

    def feed(self, event: JsonObject, size_bytes: int, at_ns: int, *, whole: bool = True) -> None:
        """Take an event of the response.

        Args:
            event: The message.
            size_bytes: Its size.
            at_ns: When it came.
            whole: Whether it has all members; else it was too large to be read.
        """
        self._received_bytes += size_bytes
        self._last_event_ns = at_ns
        if self._fault is not None:
            return
        if not whole:
            self._answer.texts.truncated = self._answer.delivered = True
        try:
            self._answer.add_event(b"", event, at_ns)
        except Exception as error:  # noqa: BLE001 - metering never breaks a call
            self._fault = f"fault in the meter: {type(error).__name__}"

    def forget(self) -> None:
        """Let go of the frame and of the answer: what is known of the response is on record."""
        self._frame, self._answer = b"", Answer(0)

    def outcome(self, status: int) -> Outcome:
        """Return what is known of the response; it may be asked for at any time.

        Args:
            status: HTTP status that an error stated, 0 if none did.
        """
        notes = [note for note in (self._fault,) if note is not None]
        received = self._last_event_ns, self._received_bytes
        transfer = Transfer(status, *received, is_cut_stream=False, warnings=notes)
        return outcome_of(self._answer, transfer, self._frame)
