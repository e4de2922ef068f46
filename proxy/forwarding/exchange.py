"""One call on its way, from its accepted request to its END record.

    admit       the cell lets the call through, or END says that it was rejected
    START       is written before anything is forwarded
    forward     the request goes up; once START is on disk, the head of the answer goes down
    relay       each chunk is fed to the meter and sent on before the next is read, so that a slow
                client slows the endpoint down and nothing piles up here
    conclude    END is on disk
    linger      only now the bytes leave that tell the client that its answer is complete, and what
                the endpoint still sends until it closes

A client that leaves changes one thing: the answer is read on without it, within limits, for the exact
usage. Limits apply while the endpoint is read, never while END is made and written.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import aiohttp
from yarl import URL

from cab.proxy.accounting.admission import AdmissionRequest
from cab.proxy.errors import LedgerFailed, Rejected
from cab.proxy.forwarding.addresses import Addresses, own_address
from cab.proxy.forwarding.answers import EndpointAnswer
from cab.proxy.forwarding.call_lifecycle import CallLifecycle
from cab.proxy.forwarding.deadline import Deadline
from cab.proxy.forwarding.endings import ending_of, failure_of, rejection_of
from cab.proxy.forwarding.failures import StaleConnection, UpstreamFailed, cause_of, drop_tracebacks
from cab.proxy.forwarding.recording import record_end
from cab.proxy.forwarding.redirects import MAX_HOPS, not_followed, onward
from cab.proxy.forwarding.response import Client, checked
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.upstream import Upstream, join
from cab.proxy.http.error_responses import ErrorResponse, error_response_for
from cab.proxy.http.headers import Headers
from cab.proxy.ledger.call_records import CallContext, CallEnding, start_record
from cab.proxy.ledger.capture.call_tap import CallTap
from cab.proxy.logs import RedactingLogger
from cab.proxy.meter import CallMeter
from cab.proxy.meter.content_decoding import BadEncoding, Decoder
from cab.proxy.meter.refused_usage import (
    REFUSING_STATUSES,
    refuses_usage,
    stated_error,
)
from cab.proxy.meter.response.sse import SseReader

_REJECTION_BYTES = 1 << 20
"""How much of an error is read to see whether `stream_options` was its cause."""
_PEEK_S = 1.0
"""How long the beginning of an answer may take in which such an error can stand."""
_LINGER_S = 2.0
"""How long the endpoint may take to close a finished answer before its connection is dropped."""


class Begun(NamedTuple):
    """A call that was begun as an ordinary one, and turned out not to be."""

    lifecycle: CallLifecycle
    """It is admitted, and its START is written."""
    first: Callable[[], Awaitable[EndpointAnswer]]
    """Returns the answer to the request that was sent; raises as `Upstream.send` does."""
    answer: EndpointAnswer | None = None
    """That answer, if its head was passed on; what of its body was not comes from it."""
    is_over: bool = False
    """Whether the meter has seen its end."""


class Exchange:
    """A call from its accepted request to its END record.

    Args:
        services: What every call uses.
        context: What is known of this call so far; filled as it goes.
        meter: Fed with the answer's bytes.
        admission: What its cell is asked.
        upstream: Where it goes.
        client: Makes the client, given what is called when it has gone.
        path_qs: Target for the endpoint.
        headers: End-to-end headers for the endpoint, with its credentials.
        refusal: Why it may not be made, whatever its cell says; None if it may.
        begun: How far it has come already; None if it begins here.
        tap: Keeps its bodies; None if they are not kept.
    """

    def __init__(  # noqa: PLR0913 - a call is put together in one place
        self,
        services: ProxyServices,
        context: CallContext,
        meter: CallMeter,
        admission: AdmissionRequest,
        upstream: Upstream,
        client: Callable[[Callable[[], None]], Client],
        path_qs: str,
        headers: Headers,
        refusal: Rejected | None = None,
        begun: Begun | None = None,
        tap: CallTap | None = None,
    ) -> None:
        self._refusal = refusal
        self._begun = begun
        self._first = None if begun is None else begun.first
        self._is_over = begun is not None and begun.is_over
        self._services = services
        self._settings = services.settings
        self._context = context
        self.redactor = context.redactor
        self._log = RedactingLogger(context.redactor)
        self._meter = meter
        self._lifecycle = (
            CallLifecycle(
                services.registry, services.ledger, admission, waits=services.settings.ack == "end"
            )
            if begun is None
            else begun.lifecycle
        )
        self._upstream = upstream
        self._path_qs = path_qs
        self._headers = headers
        self.client = client(self._on_client_gone)
        self._tap = self.client.tap = tap
        own = own_address(self.client.request)
        self._addresses = Addresses(upstream.base, own, upstream.route.query)
        self._deadline = Deadline()
        self._answer = None if begun is None else begun.answer
        self._read_ahead: deque[bytes] = deque()
        self._drained_bytes = 0
        self._answered = False
        """The end of the answer was sent to a client that was still there."""
        self._cut_off = False
        """The client's connection was closed because the disk refused the START."""

    @property
    def client_gone(self) -> bool:
        """Whether the client has gone."""
        return self.client.gone

    def client_left(self) -> None:
        """Take note that the client's connection is gone: drain within limits, or stop."""
        self.client.left()

    def stop(self) -> None:
        """End the call now: the proxy stops and its grace time is over."""
        self._lifecycle.withdraw()
        self._deadline.set("stop", 0)

    async def run(self) -> None:
        """Serve the call, if its cell may make it."""
        try:
            if self._begun is not None:
                await self._serve()
            elif await self._admit():
                before = self._settings.start_sync == "before_forward"
                await self._lifecycle.start(start_record(self._context), on_disk_first=before)
                await self._serve()
        except LedgerFailed as error:
            self._log.error("ledger_failed", error=str(error))
            if self._context.upstream_attempts == 0:
                message = "the audit log cannot be written; call refused"
                await self._respond(ErrorResponse(503, "ledger_failed", message))
            else:
                # The client must not take an answer for complete whose record is not on disk.
                self.client.abort()
            drop_tracebacks(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call ends and is logged
            self._log.exception("call_failed", method=self.client.request.method)
            await self._crash(error)
            drop_tracebacks(error)
        finally:
            if self._answer is not None:
                self._answer.close()
            self._lifecycle.release()
            self.client.forget_call()
            if self._tap is not None:
                self._tap.finish()

    async def _admit(self) -> bool:
        """Return whether the call may be made, with its number; else answer with an error."""
        context = self._context
        try:
            if self._refusal is not None:
                raise self._refusal
            context.take(await self._lifecycle.admit())
        except Rejected as error:
            context.slot_queued_ms = error.queued_ms
            response = error_response_for(context.endpoint, error)
            await self._respond(response, rejection_of(error, self._now()))
            return False
        return True

    async def _serve(self) -> None:
        try:
            async with self._deadline.applied():
                if self._answer is None and not self._is_over:
                    await self._forward()
                if not self._is_over:
                    await self._relay()
        except UpstreamFailed as error:
            self._context.cause = cause_of(error)
            ending = CallEnding(error.end_reason, self._now(), (error.code, str(error)))
            response = ErrorResponse(error.status, error.code, str(error), retry=error.retry)
            await self._respond(response, ending)
            drop_tracebacks(error)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            await self._break_off(error)
            drop_tracebacks(error)
        else:
            await self._conclude()
            await self._linger()

    async def _forward(self) -> None:
        """Send the request to the endpoint, and the head of its answer to the client."""
        answer = checked(await self._request())
        self._context.status = answer.status
        content_type, encoding = (
            answer.headers.get(name, "") for name in ("Content-Type", "Content-Encoding")
        )
        self._meter.start(answer.status, content_type, encoding, answer.content_length)
        await self._require_start()
        if answer.status >= 400:
            self._lifecycle.failing()
        await self.client.send_head(answer, self._addresses, may_alter=self._meter.may_alter)

    async def _require_start(self) -> None:
        """Wait until the START is on disk; if the disk refuses it, the client gets no answer.

        The endpoint works for the call all the same: its answer is read on, for the record that is
        written once the disk takes it.
        """
        try:
            await self._lifecycle.start_on_disk()
        except LedgerFailed as error:
            self._log.error("ledger_failed", error=str(error))
            drop_tracebacks(error)
            self._cut_off = True
            self.client.abort()
            self.client.left()

    async def _request(self) -> EndpointAnswer:
        """Return the endpoint's answer; if it refuses `stream_options`, that to a request without."""
        answer = await self._request_once(self._meter.upstream_body)
        model, shown = self._context.request.model, self._upstream.usage_requests
        known = shown.accepted(model, self._now()) is not None
        if not self._meter.request.injected or (known and answer.status < 400):
            return answer
        error = await self._stated_error(answer)
        if error is None or not refuses_usage(error):
            if error is None:
                shown.note(model, self._now(), accepted=True)
            return answer
        answer.close()
        answer = await self._request_once(self._meter.without_injection())
        if await self._stated_error(answer) is None:
            shown.note(model, self._now(), accepted=False)
            self._log.info("stream_options_refused", upstream=self._upstream.base.authority)
        return answer

    async def _stated_error(self, answer: EndpointAnswer) -> bytes | None:
        """Return the error that an answer begins with, `None` if it does not."""
        self._read_ahead.clear()
        if answer.status >= 400 and answer.status not in REFUSING_STATUSES:
            return b""
        decoded = bytearray()
        decoder = Decoder(answer.headers.get("Content-Encoding", ""), _REJECTION_BYTES)
        reader, begun = SseReader(_REJECTION_BYTES), answer.status >= 400
        # What breaks off while it is read here does so again when it is relayed.
        with suppress(TimeoutError, aiohttp.ClientError, OSError, BadEncoding):
            async with asyncio.timeout(_PEEK_S):
                while chunk := await answer.read():
                    self._read_ahead.append(chunk)
                    for piece in decoder.decode(chunk):
                        decoded += piece
                        begun = begun or bool(reader.feed(piece))
                    if len(decoded) > _REJECTION_BYTES or (begun and answer.status < 400):
                        break
        return stated_error(answer.status, bytes(decoded))

    async def _request_once(self, body: bytes) -> EndpointAnswer:
        """Return the endpoint's answer, its redirects within the call's dialect followed."""
        endpoint = self._context.endpoint
        answer = await self._attempt(self._path_qs, body)
        for _ in range(MAX_HOPS):
            target = onward(answer, self._addresses, endpoint, has_body=bool(body))
            if target is None:
                return answer
            answer.close()
            answer = await self._attempt(join(self._upstream.base, target), body)
        if onward(answer, self._addresses, endpoint, has_body=bool(body)) is None:
            return answer
        raise not_followed(answer, "again and again")

    async def _attempt(self, target: str | URL, body: bytes) -> EndpointAnswer:
        first, self._first = self._first, None
        if first is None:
            return await self._send(target, body)
        try:
            self._answer = await first()
        except StaleConnection:
            self._context.stale_connections += 1
            self._answer = await self._upstream.send(*self._sent(target, body), fresh=True)
        return self._answer

    def _sent(
        self, target: str | URL, body: bytes
    ) -> tuple[str, str | URL, Headers, bytes, str | None]:
        model = self._context.request.model
        return self.client.request.method, target, self._headers, body, model

    async def _send(self, target: str | URL, body: bytes) -> EndpointAnswer:
        context = self._context
        context.upstream_attempts += 1
        if context.forwarded_ns is None:
            context.forwarded_ns = self._now()
        if not self.client.gone:
            self._deadline.set("headers", self._settings.headers_timeout_s)
        sent = self._sent(target, body)
        try:
            self._answer = await self._upstream.send(*sent)
        except StaleConnection:
            context.stale_connections += 1
            self._answer = await self._upstream.send(*sent, fresh=True)
        return self._answer

    async def _relay(self) -> None:
        """Pass the answer on, until all has come that tells the client that it is complete."""
        while chunk := await self._next_chunk():
            output = self._meter.feed(chunk, self._now())
            await self.client.send(output.data)
            if output.terminal:
                return
            if self.client.gone:
                self._drained_bytes += len(chunk)
                if self._drained_bytes > self._settings.drain_max_bytes:
                    raise TimeoutError
        output = self._meter.finish(self._now())
        await self.client.send(output.data)

    async def _next_chunk(self) -> bytes:
        """Return the answer's next bytes, none at its end."""
        if self._read_ahead:
            return self._read_ahead.popleft()
        if not self.client.gone:
            self._deadline.set("body", self._settings.body_timeout_s)
        return b"" if self._answer is None else await self._answer.read()

    async def _conclude(self) -> None:
        """Write the END of an answer that came whole."""
        is_stream = self._answer is not None and self._answer.is_event_stream
        outcome, gone = self._meter.outcome(), self.client.gone and not self._cut_off
        await self._end(ending_of(outcome, self._now(), client_gone=gone, is_stream=is_stream))

    async def _linger(self) -> None:
        """Let go of what tells the client that its answer is complete, and of what still comes."""
        if self.client.gone:
            self._deadline.set("gone", _LINGER_S)
        else:
            self._deadline.set("body", self._settings.body_timeout_s)
        try:
            with suppress(TimeoutError):
                async with self._deadline.applied():
                    await self.client.send(self._meter.release())
                    self._answered = not self.client.gone
                    await self._relay()
                    await self.client.send_end()
        except (aiohttp.ClientError, OSError):
            self.client.abort()

    async def _break_off(self, error: Exception) -> None:
        """End a call whose answer will not come whole; the client sees it end where it ended."""
        host, gone = self._upstream.base.authority, self.client.gone
        reason, code, message = failure_of(error, self._deadline.limit, host, client_gone=gone)
        ending = CallEnding(reason, self._now(), (code, message))
        await self.client.send(self._meter.cut())
        if not self.client.begun and not self.client.gone:
            await self._respond(ErrorResponse(504, code, message, retry=True), ending)
        else:
            await self._end(ending)
            self.client.abort()

    async def _crash(self, error: Exception) -> None:
        """End a call that met a fault of the proxy; what was sent of its answer stays as it is."""
        ending = None
        if not self._lifecycle.ended:
            ending = CallEnding("crash", self._now(), ("internal_error", type(error).__name__))
        if not self.client.begun:
            message = "the proxy failed; see its log"
            await self._respond(ErrorResponse(500, "internal_error", message), ending)
        else:
            if ending is not None:
                await self._end(ending)
            self.client.abort()

    async def _respond(self, response: ErrorResponse, ending: CallEnding | None = None) -> None:
        """EndpointAnswer with an error of the proxy; END, if there is one, is written before."""
        self._context.status = response.status
        if ending is not None:
            await self._end(ending)
        self.client.respond(self._context.endpoint, response)

    async def _end(self, ending: CallEnding) -> None:
        """Write the END record."""
        if self._tap is not None:
            self._tap.end_reason = ending.reason
        outcome = self._meter.outcome()
        await record_end(self._lifecycle, self._services, self._context, outcome, ending)

    def _on_client_gone(self) -> None:
        """Stop waiting for the call's cell, and drain the answer within limits."""
        if not self._answered:
            self._lifecycle.client_left()
        if self._lifecycle.ended:
            self._deadline.set("gone", _LINGER_S)
        elif self._settings.on_disconnect == "drain":
            self._deadline.set("gone", self._settings.drain_max_s)
        else:
            self._deadline.set("gone", 0)

    def _now(self) -> int:
        return self._services.clock.mono_ns()
