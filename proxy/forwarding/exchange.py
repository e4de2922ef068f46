"""One call on its way: request up, answer down, START and END into the ledger.

The bytes go first: each upstream chunk is fed to the meter and sent on before the next is read, so
a slow client slows the endpoint down and nothing piles up here. What would tell the client that its
answer is complete is held until the END record is on disk.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal

import aiohttp
from aiohttp import web

from cab.proxy.accounting.admission import REGISTRY_LOST, AdmissionRequest, CellRegistry
from cab.proxy.clock import Clock
from cab.proxy.config import ProxySettings
from cab.proxy.errors import LedgerFailed, Rejected
from cab.proxy.forwarding.call_lifecycle import CallLifecycle
from cab.proxy.forwarding.response import CALL_ID_HEADER, checked, passed_on
from cab.proxy.forwarding.upstream import Upstream, UpstreamFailed, Upstreams
from cab.proxy.http.error_responses import ErrorResponse, body_for, error_response_for, headers_for
from cab.proxy.http.headers import Headers, as_sent, response_headers
from cab.proxy.ledger.call_records import CallContext, CallEnding, end_record, start_record
from cab.proxy.ledger.ledger import Ledger
from cab.proxy.logs import RedactingLogger
from cab.proxy.meter import CallMeter
from cab.proxy.tokens.usage import Counter

_REJECTION_BYTES = 1 << 20
"""How much of a 400 is read to see whether `stream_options` was its cause."""
_LINGER_S = 2.0
"""How long the endpoint may take to close a finished answer before its connection is dropped."""

TimeoutKind = Literal["headers", "body", "gone", "stop"]
"""Which limit runs out next."""


@dataclass(frozen=True, slots=True)
class ProxyServices:
    """What every call uses."""

    settings: ProxySettings
    clock: Clock
    ledger: Ledger
    upstreams: Upstreams
    counter: Counter
    book: CellRegistry


class Exchange:
    """A call from its accepted request to its END record.

    Args:
        parts: What every call uses.
        facts: What is known of this call so far; filled as it goes.
        meter: Fed with the answer's bytes.
        ask: What its cell's book is asked.
        endpoint: Where it goes.
        request: The client's request, body already read.
        path_qs: Target for the endpoint.
        headers: End-to-end headers for the endpoint, with its credentials.
    """

    def __init__(  # noqa: PLR0913 - a call is put together in one place
        self,
        parts: ProxyServices,
        facts: CallContext,
        meter: CallMeter,
        ask: AdmissionRequest,
        endpoint: Upstream,
        request: web.BaseRequest,
        path_qs: str,
        headers: Headers,
    ) -> None:
        self._parts = parts
        self._facts = facts
        self.redactor = facts.redactor
        self._log = RedactingLogger(facts.redactor)
        self._meter = meter
        self._flight = CallLifecycle(
            parts.book, parts.ledger, ask, waits=parts.settings.ack == "end"
        )
        self._endpoint = endpoint
        self._request = request
        self._path_qs = path_qs
        self._headers = headers
        self._response: web.StreamResponse | None = None
        self._upstream: aiohttp.ClientResponse | None = None
        self._client_gone = False
        self._is_stream = False
        self._ended = False
        self._scope: asyncio.Timeout | None = None
        self._limit: TimeoutKind = "headers"
        self._read_after_gone = 0
        self._rejection = b""

    async def run(self) -> web.StreamResponse:
        """Serve the call, if its cell may make it, and return the client's response."""
        try:
            refusal = await self._admit()
            return await self._serve() if refusal is None else refusal
        except LedgerFailed as error:
            self._log.error("ledger_failed", error=str(error))
            if self._facts.upstream_attempts == 0:
                message = "the audit log cannot be written; call refused"
                return self._refuse(ErrorResponse(503, "ledger_failed", message))
            # The client must not take an answer for complete whose record is not on disk.
            self._abort_client()
            return self._response or web.Response(status=503)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call ends and is logged
            self._log.exception("call_failed", method=self._request.method)
            return await self._crashed(error)
        finally:
            if self._upstream is not None:
                self._upstream.close()
            self._flight.leave()

    async def _admit(self) -> web.StreamResponse | None:
        """Return None if the call may be made, with its number; else the refusal."""
        facts = self._facts
        try:
            facts.seq, facts.attempt, facts.retry_of = await self._flight.admit()
        except Rejected as error:
            return await self._rejected(error)
        return None

    async def _rejected(self, error: Rejected) -> web.StreamResponse:
        refusal = error_response_for(self._facts.endpoint, error)
        self._facts.status = refusal.status
        if error.code != REGISTRY_LOST:
            await self._end(CallEnding("rejected", self._now(), (error.code, str(error))))
        return self._refuse(refusal)

    def client_left(self) -> None:
        """Take note that the client's connection is gone: drain within limits, or stop."""
        if self._client_gone:
            return
        self._client_gone = True
        self._flight.give_up()
        self._limit_after_client()

    def stop(self) -> None:
        """End the call now: the proxy stops and its grace time is over."""
        self._flight.give_up()
        self._expire_in("stop", 0)

    def _limit_after_client(self) -> None:
        settings = self._parts.settings
        if self._ended:
            self._expire_in("gone", _LINGER_S)
        elif settings.on_disconnect == "drain":
            self._expire_in("gone", settings.drain_max_s)
        else:
            self._expire_in("gone", 0)

    async def _serve(self) -> web.StreamResponse:
        await self._flight.start(start_record(self._facts))
        try:
            await self._relay_within_limits()
        except UpstreamFailed as error:
            await self._fail(error)
        except TimeoutError:
            await self._timed_out()
        except (aiohttp.ClientError, OSError) as error:
            await self._broke_off(error)
        return self._response or web.Response(status=499)

    async def _relay_within_limits(self) -> None:
        async with asyncio.timeout(None) as scope:
            self._scope = scope
            try:
                if self._client_gone:  # it left while START was written
                    self._limit_after_client()
                await self._relay()
            finally:
                self._scope = None

    async def _relay(self) -> None:
        self._upstream = upstream = checked(await self._open())
        self._facts.status = upstream.status
        self._is_stream = upstream.content_type == "text/event-stream"
        self._meter.start(
            upstream.status,
            upstream.headers.get("Content-Type", ""),
            upstream.headers.get("Content-Encoding", ""),
            upstream.content_length,
        )
        await self._start_response(upstream)
        self._expect_bytes()
        if self._rejection:
            await self._pass_on(self._rejection)
        # Not iter_chunks: on a response without a body it may never end (aiohttp 3.14).
        while not upstream.content.at_eof():
            chunk, _ = await upstream.content.readchunk()
            if chunk:
                await self._pass_on(chunk)
        feed = self._meter.finish(self._now())
        await self._send(feed.data)
        await self._conclude()
        if self._response is not None and not self._client_gone:
            await self._write_eof(self._response)

    async def _pass_on(self, chunk: bytes) -> None:
        feed = self._meter.feed(chunk, self._now())
        await self._send(feed.data)
        if feed.terminal:
            await self._conclude()
        if self._client_gone:
            self._read_after_gone += len(chunk)
            if self._read_after_gone > self._parts.settings.drain_max_bytes:
                raise TimeoutError
        else:
            self._expect_bytes()

    async def _open(self) -> aiohttp.ClientResponse:
        """Return the endpoint's answer; one without `stream_options` if it refuses that."""
        upstream = await self._send_upstream(self._meter.upstream_body)
        if not (self._meter.request.injected and upstream.status in {400, 422}):
            return upstream
        self._rejection = await upstream.content.read(_REJECTION_BYTES)
        if b"stream_options" not in self._rejection and b"include_usage" not in self._rejection:
            return upstream
        upstream.close()
        self._rejection = b""
        self._endpoint.refuses_stream_options = True
        self._log.info("stream_options_refused", upstream=self._endpoint.base.authority)
        return await self._send_upstream(self._meter.without_injection())

    async def _send_upstream(self, body: bytes) -> aiohttp.ClientResponse:
        self._facts.upstream_attempts += 1
        if self._facts.forwarded_ns is None:
            self._facts.forwarded_ns = self._now()
        limit_s = self._parts.settings.headers_timeout_s
        if limit_s is not None and not self._client_gone:
            self._expire_in("headers", limit_s)
        return await self._endpoint.send(
            self._request.method,
            self._path_qs,
            self._headers,
            body,
            self._facts.request.model,
        )

    async def _start_response(self, upstream: aiohttp.ClientResponse) -> None:
        if self._client_gone:
            return
        headers = response_headers(as_sent(upstream.raw_headers))
        headers[CALL_ID_HEADER] = self._facts.call_id
        length = upstream.content_length
        bodiless = self._request.method == "HEAD" or upstream.status in {204, 304}
        self._response = passed_on(
            upstream.status,
            upstream.reason,
            headers,
            sized=bodiless or (length is not None and not self._meter.may_alter),
            chunked=self._request.version >= (1, 1),
        )
        if "Upgrade" in self._request.headers:
            # aiohttp loses what a client sends right behind an upgrade that is not taken up: the
            # client must know that nothing more is read here.
            self._response.force_close()
        try:
            await self._response.prepare(self._request)
        except ConnectionError:
            self.client_left()

    async def _send(self, data: bytes) -> None:
        if not data or self._client_gone or self._response is None:
            return
        try:
            await self._response.write(data)
        except ConnectionError:
            self.client_left()

    async def _conclude(self) -> None:
        """Write the END of an answer that came whole, then let go of what tells the client so."""
        if not self._ended:
            await self._end(self._verdict())
        await self._send(self._meter.release())
        if self._client_gone:
            self._expire_in("gone", _LINGER_S)

    def _verdict(self) -> CallEnding:
        outcome, now = self._meter.outcome(), self._now()
        status = self._facts.status or 0
        if status >= 400 or outcome.error is not None:
            return CallEnding(
                "upstream_error", now, outcome.error or ("http_error", f"HTTP {status}")
            )
        if self._client_gone:
            return CallEnding("client_gone", now)
        if outcome.complete:
            return CallEnding("completed", now)
        if self._is_stream:
            message = "the stream ended before its last event"
            return CallEnding("upstream_cut", now, ("incomplete_stream", message))
        message = outcome.unmetered or "the body is no answer of its dialect"
        return CallEnding("upstream_error", now, ("not_understood", message))

    async def _fail(self, error: UpstreamFailed) -> None:
        """End a call that the endpoint gave no answer to."""
        self._facts.status = error.status
        await self._end(CallEnding(error.end_reason, self._now(), (error.code, str(error))))
        self._refuse(ErrorResponse(error.status, error.code, str(error), retry=True))

    async def _timed_out(self) -> None:
        if self._ended:
            return
        if self._client_gone:
            ending = CallEnding("client_gone", self._now(), ("stopped", "reading on was stopped"))
        elif self._limit == "stop":
            message = "the proxy stopped before the answer was complete"
            ending = CallEnding("timeout", self._now(), ("proxy_stopped", message))
        else:
            what = "sent no answer in time" if self._limit == "headers" else "fell silent"
            message = f"{self._endpoint.base.authority}: the endpoint {what}"
            ending = CallEnding(
                "timeout", self._now(), (f"upstream_{self._limit}_timeout", message)
            )
        await self._give_up(ending)

    async def _broke_off(self, error: Exception) -> None:
        if self._ended:
            self._abort_client()
            return
        message = f"{self._endpoint.base.authority}: the answer broke off: {error}"
        gone = self._client_gone
        reason = CallEnding(
            "client_gone" if gone else "upstream_cut", self._now(), ("cut", message)
        )
        await self._give_up(reason)

    async def _give_up(self, ending: CallEnding) -> None:
        """End a call whose answer will not come whole; the client sees it end where it ended."""
        await self._send(self._meter.cut())
        headless = self._response is None and not self._client_gone
        if headless:
            self._facts.status = 504
        await self._end(ending)
        if headless and ending.error:
            self._refuse(ErrorResponse(504, *ending.error, retry=True))
        else:
            self._abort_client()

    async def _crashed(self, error: Exception) -> web.StreamResponse:
        """End a call that met a fault of ours; what was sent of its answer stays as it is."""
        if not self._ended:
            self._facts.status = 500 if self._response is None else self._facts.status
            await self._end(
                CallEnding("crash", self._now(), ("internal_error", type(error).__name__))
            )
        if self._response is None:
            message = "the proxy failed; see its log"
            return self._refuse(ErrorResponse(500, "internal_error", message))
        self._abort_client()
        return self._response

    async def _end(self, ending: CallEnding) -> None:
        """Write the END record, once."""
        self._ended = True
        outcome = self._meter.outcome()
        counted = await self._parts.counter.count(self._facts, outcome)
        record = end_record(self._facts, outcome, counted, ending)
        await self._flight.end(record)
        self._log.info(
            "call",
            cell=record["cell_id"],
            endpoint=record["endpoint"],
            model=record["model_requested"],
            status=record["status"],
            end_reason=record["end_reason"],
            prompt_tokens=record["prompt_tokens"],
            completion_tokens=record["completion_tokens"],
            latency_ms=record["latency_ms"],
        )

    def _refuse(self, refusal: ErrorResponse) -> web.StreamResponse:
        self._facts.status = refusal.status
        headers = {**headers_for(refusal), CALL_ID_HEADER: self._facts.call_id}
        body = body_for(self._facts.endpoint, refusal)
        self._response = web.Response(status=refusal.status, headers=headers, body=body)
        return self._response

    async def _write_eof(self, response: web.StreamResponse) -> None:
        try:
            await response.write_eof()
        except ConnectionError:
            self.client_left()

    def _abort_client(self) -> None:
        """Close the connection without the bytes that would make the answer look complete."""
        transport = self._request.transport
        if transport is not None:
            transport.close()

    def _expect_bytes(self) -> None:
        limit_s = self._parts.settings.body_timeout_s
        if limit_s is not None and not self._client_gone:
            self._expire_in("body", limit_s)
        elif self._limit == "headers" and not self._client_gone and self._scope is not None:
            self._scope.reschedule(None)

    def _expire_in(self, limit: TimeoutKind, seconds: float) -> None:
        self._limit = limit
        if self._scope is not None:
            self._scope.reschedule(asyncio.get_running_loop().time() + seconds)

    def _now(self) -> int:
        return self._parts.clock.mono_ns()
