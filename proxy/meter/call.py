"""The meter of one call: request in, response bytes in and out, and in the end an outcome."""

import dataclasses

from cab.proxy.meter.dialects.routes import Dialect
from cab.proxy.meter.outcome import Outcome, Transfer, outcome_of
from cab.proxy.meter.request.request import RequestFacts, read_request
from cab.proxy.meter.response.pass_through import Feed
from cab.proxy.meter.response.reply import Reply, ResponseHead, Terms

CAPTURE_LIMIT_BYTES = 64 << 20
"""How much of a body, or of one event, is kept for understanding it."""


class CallMeter:
    """Meters one call. Past the constructor nothing raises, whatever the bytes.

    Args:
        dialect: The dialect of the call, `None` for one that is passed on without metering.
        path: Path as the upstream sees it.
        body: The request's body as the client sent it.
        inject_usage: Whether usage may be asked for on the client's behalf.
        hold_terminal: Whether the bytes that tell the client that its answer is complete are kept
            inside until `release`.
        capture_limit_bytes: How much of a body, or of one event, is kept for understanding it.
    """

    def __init__(  # noqa: PLR0913 - three facts of the call and three settings
        self,
        dialect: Dialect | None,
        path: str,
        body: bytes,
        *,
        inject_usage: bool = True,
        hold_terminal: bool = True,
        capture_limit_bytes: int = CAPTURE_LIMIT_BYTES,
    ) -> None:
        self._dialect = dialect
        self._body = body
        self._hold = hold_terminal
        self._limit_bytes = capture_limit_bytes
        facts, upstream_body = read_request(dialect, path, body, inject_usage=inject_usage)
        self.request: RequestFacts = facts
        """What the request says."""
        self.upstream_body = upstream_body
        """The body to send; the very same object as `body` unless usage is asked for."""
        self.start(0, "", "", None)

    def without_injection(self) -> bytes:
        """Return the client's own body, to be sent again after the upstream refused the other."""
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
        self._status = status
        self._reply = Reply(
            ResponseHead(status, content_type.strip().lower(), content_encoding, content_length),
            Terms(self._dialect, self._hold, self.request.injected, self._limit_bytes),
        )

    @property
    def may_alter(self) -> bool:
        """Whether the client may get fewer bytes than came, so that no length can be promised."""
        return self._reply.may_alter

    def feed(self, chunk: bytes, at_ns: int) -> Feed:
        """Return what of the response may be sent at once now that `chunk` has come.

        Args:
            chunk: The next bytes of the body, encoded as they came.
            at_ns: When they came.

        Returns:
            The bytes; and, once per response, `terminal`: the bytes that tell the client that its
            answer is complete have come and are kept inside.
        """
        return self._reply.feed(chunk, at_ns)

    def finish(self, at_ns: int) -> Feed:
        """Return what may still be sent now that the upstream has closed the response cleanly.

        Args:
            at_ns: When it did.

        Returns:
            The bytes; and `terminal` if it is this end that tells the client.
        """
        return self._reply.finish(at_ns)

    def cut(self) -> bytes:
        """Return the bytes that came and were not given out, now that the upstream broke off."""
        return self._reply.cut()

    def release(self) -> bytes:
        """Return the bytes that were kept inside; from now on all others pass."""
        return self._reply.release()

    def outcome(self) -> Outcome:
        """Return what is known of the call; it may be asked for at any time."""
        reply, answer = self._reply, self._reply.ear.answer
        notes = (self.request.body_error, self.request.not_injected, *reply.faults)
        wire = Transfer(
            status=self._status,
            first_delta_ns=reply.ear.first_delta_ns,
            last_byte_ns=reply.last_byte_ns,
            response_bytes=reply.received_bytes,
            complete=reply.ear.complete,
            notes=tuple(note for note in notes if note is not None),
        )
        return outcome_of(answer, wire, self._body)
