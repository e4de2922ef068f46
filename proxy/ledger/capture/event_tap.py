"""What is kept of a call on a WebSocket: the frame that asked for it, and its events."""

from cab.proxy.ledger.capture.call_tap import CallTap
from cab.proxy.ledger.capture.kept_body import EVENT_LINES
from cab.scoring.ledger.records import EndReason

_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


class EventTap:
    """Takes the events of a response.

    Args:
        tap: Has the frame.
    """

    def __init__(self, tap: CallTap) -> None:
        self._tap = tap
        self._has_events = False

    def feed(self, message: bytes) -> None:
        """Take an event as it came."""
        self._has_events = True
        # In JSON a bare line end is white space, so the event stays what it is.
        self._tap.feed(message.translate(_LINE_ENDS) + b"\n")

    def finish(self, reason: EndReason) -> None:
        """Have all of it written: the call has its END."""
        if self._has_events:
            status = self._tap.context.status or 200
            self._tap.head(status, {"content-type": EVENT_LINES})
        if reason == "completed":
            self._tap.ended()
        self._tap.end_reason = reason
        self._tap.finish()
