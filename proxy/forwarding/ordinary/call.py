"""An ordinary call: what most calls are, from their accepted request to their END record, without a task.

    starting    START is being written
    connecting  a connection to the endpoint is being made, if none is free
    waiting     the request is out, and no answer here
    relaying    the answer comes, and goes on to the client
    ending      END is on its way to the disk
    lingering   the end of the answer has left; the endpoint has not closed it yet
    over        the next request may come
    taken over  something was not ordinary: an `Exchange` does the rest

It does what an `Exchange` does, in the same order, with the same meter and the same records; but each
step is called by what it waits for. Whatever needs a decision, or time, is the exchange's: an error, a
redirect, a count of tokens, a client that has gone, a stop.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from cab.proxy.errors import LedgerFailed
from cab.proxy.forwarding.answers import DirectBody
from cab.proxy.forwarding.exchange import Exchange
from cab.proxy.forwarding.ordinary.client import DirectClient
from cab.proxy.forwarding.ordinary.handover import CallParts, Handover, start_on_disk
from cab.proxy.forwarding.ordinary.head import answer_bytes
from cab.proxy.forwarding.ordinary.steps import State, bare_step, step, step_with
from cab.proxy.forwarding.recording import end_now, log_call
from cab.proxy.http.wire.answer_head import AnswerHead
from cab.proxy.http.wire.endpoint_connection import EndpointConnection
from cab.proxy.http.wire.request_bytes import with_body
from cab.proxy.ledger.call_records import start_record
from cab.proxy.ledger.lines import encoded, record_of
from cab.proxy.ledger.ordinary_records import is_within_bounds
from cab.proxy.logs import RedactingLogger
from cab.proxy.redaction import Redactor
from cab.scoring.ledger.clipping import bounded

_LINGER_S = 2.0
"""How long the endpoint may take to close an answer whose client has gone."""
_EARLY_PARTS = 3
"""With so many parts of an answer before its START is on disk, the rest must wait; most have but two."""
_LATE_BYTES = 1 << 16
"""So much of what comes behind the end of an answer is kept while its END is on its way to the disk."""


class OrdinaryExchange:
    """A call whose steps are called by what they wait for.

    Args:
        parts: What it is put together from.
        on_over: Called once the call is over, or taken over: with the task and the exchange then.
    """

    __slots__ = (
        *("_body", "_connecting", "_connection", "_context", "_early", "_exchange", "_fault"),
        *("_gone", "_has_sent", "_head", "_is_chunked", "_is_ended", "_is_held", "_is_stopped"),
        *("_is_terminal", "_late_bytes", "_meter", "_on_disk", "_on_over", "_out", "_parts"),
        *("_record", "_services", "_start_error", "_start_known", "_up", "state"),
        "_mono_ns",
    )

    def __init__(
        self,
        parts: CallParts,
        on_over: "Callable[[OrdinaryExchange, Exchange | None], asyncio.Task[None] | None]",
    ) -> None:
        self.state = State.STARTING
        self._parts = parts
        self._services = parts.services
        self._mono_ns = parts.services.clock.mono_ns
        self._connection = parts.connection
        self._context = parts.context
        self._meter = parts.meter
        self._on_over = on_over
        self._up: EndpointConnection | None = None
        self._connecting: asyncio.Task[EndpointConnection] | None = None
        self._early: list[_Event] | None = []
        """What came of the answer before START was on disk; None once it is."""
        self._on_disk: asyncio.Future[None] | None = None
        self._start_error: LedgerFailed | None = None
        self._start_known = False
        self._body: DirectBody | None = None
        self._head: AnswerHead | None = None
        self._out: list[bytes] = []
        self._is_chunked = False
        self._is_ended = False
        """Whether the endpoint's answer has come to its end."""
        self._gone = False
        self._is_stopped = False
        """Whether the proxy stops, and its grace time is over."""
        self._late_bytes = 0
        """What came while END was on its way to the disk."""
        self._record: dict[str, Any] | None = None
        self._fault: Exception | None = None
        self._has_sent = False
        """Whether anything was sent to the client."""
        self._is_terminal = False
        """Whether the meter has seen the end of the answer."""
        self._is_held = False
        """Whether the client does not keep up."""
        self._exchange: Exchange | None = None

    @property
    def redactor(self) -> Redactor:
        """Redacts the secrets of the call."""
        return self._context.redactor

    @property
    def client_gone(self) -> bool:
        """Whether the client has gone."""
        return self._gone

    @property
    def is_unanswered(self) -> bool:
        """Whether no byte of the answer is out."""
        if self._exchange is not None:
            return not self._exchange.client.begun
        return not self._has_sent

    @bare_step
    def begin(self) -> None:
        """Write START, and go on."""
        record = start_record(self._context)
        entry = encoded(record) if is_within_bounds(record) else bounded(record)
        before = self._services.settings.start_sync == "before_forward"
        self._services.ledger.put(entry, None if before else self._send, self._start_is_on_disk)

    # What the client does.

    @bare_step
    def client_left(self) -> None:
        """Take note that the client's connection is gone."""
        self._gone = True
        if self._exchange is not None:
            self._exchange.client_left()
        elif self.state in (State.CONNECTING, State.WAITING, State.RELAYING):
            self._take_over()
        elif self.state is State.ENDING:  # it has not seen the end, and may ask again
            self._services.registry.client_left(self._context.cell_id, self._context.call_id)
        elif self.state is State.LINGERING:
            asyncio.get_running_loop().call_later(_LINGER_S, self._give_up)

    def hold(self) -> None:
        """Read nothing more from the endpoint: the client does not keep up."""
        self._is_held = True
        if self._exchange is not None and isinstance(self._exchange.client, DirectClient):
            self._exchange.client.hold()
        elif self._up is not None:
            self._up.pause_reading()

    def resume(self) -> None:
        """Go on: the client has kept up."""
        self._is_held = False
        if self._exchange is not None and isinstance(self._exchange.client, DirectClient):
            self._exchange.client.resume()
        elif self._up is not None and not self._early:
            self._up.resume_reading()

    def stop(self) -> None:
        """End the call now: the proxy stops and its grace time is over."""
        self._is_stopped = True  # what is on its way to the disk comes first
        if self.state in (State.CONNECTING, State.WAITING, State.RELAYING):
            self._take_over()
        elif self.state is State.LINGERING:
            self._give_up()
        if self._exchange is not None:
            self._exchange.stop()

    # What the ledger does.

    @step_with
    def _start_is_on_disk(self, error: LedgerFailed | None) -> None:
        self._start_error, self._start_known = error, True
        if self._on_disk is not None:  # taken over, and waited for
            self._on_disk.set_result(None) if error is None else self._on_disk.set_exception(error)
            return
        if error is not None:
            self._take_over()
            return
        early, self._early = self._early or [], None
        if self.state is State.STARTING:
            self._send()
        for number, (handle, values) in enumerate(early):
            handle(self, *values)
            if self.state is State.TAKEN_OVER:
                self._pass_on(early[number + 1 :])
                return
        self.flush()
        if early and self._up is not None and not self._is_held:
            self._up.resume_reading()

    @step_with
    def _end_is_on_disk(self, error: LedgerFailed | None) -> None:
        services, context = self._services, self._context
        services.registry.finish_soon(context.cell_id, context.call_id, self._record)
        if self.state is State.OVER:  # a fault was faster
            return
        if error is not None:
            RedactingLogger(context.redactor).error("ledger_failed", error=str(error))
            # The client must not take an answer for complete whose record is not on disk.
            self._connection.transport.close()
            self._give_up()
            return
        self.state = State.LINGERING
        self._put(self._meter.release())
        if self._is_ended:
            self._finish()
        elif self._up is None or self._is_stopped:  # it broke off behind its end
            self.flush()
            self._give_up()
        else:
            self.flush()
            if self._late_bytes > _LATE_BYTES and not self._is_held:
                self._up.resume_reading()
            if self._gone:
                asyncio.get_running_loop().call_later(_LINGER_S, self._give_up)

    # What the endpoint does: an `AnswerSink`.

    @step_with
    def head(self, head: AnswerHead) -> None:
        """Take the head of the answer."""
        if self._early is not None:
            self._early.append((OrdinaryExchange.head, (head,)))
            return
        if head.status != 200 or not head.has_body:
            self._take_over((OrdinaryExchange.head, (head,)))
            return
        encoding = head.content_encoding.decode("latin-1")
        content_type = head.content_type.decode("utf-8", "surrogateescape")
        self._meter.start(head.status, content_type, encoding, head.content_length)
        is_sized = head.content_length is not None and not self._meter.may_alter
        where, call_id = self._parts.forward.authority, self._context.call_id
        plain = answer_bytes(head, where, call_id, is_sized=is_sized)
        if plain is None:
            self._take_over((OrdinaryExchange.head, (head,)))
            return
        self._context.status = head.status
        self._is_chunked = not is_sized
        self._head = head
        self.state = State.RELAYING
        self._out.append(plain)

    @step_with
    def body(self, data: bytes) -> None:
        """Take the next bytes of the answer."""
        if self._early is not None:
            self._early.append((OrdinaryExchange.body, (data,)))
            if len(self._early) == _EARLY_PARTS and self._up is not None:
                self._up.pause_reading()
            return
        now_ns = self._mono_ns()
        sent = self._meter.pass_known(data, now_ns)
        if sent is not None:
            self._put(sent)
            return
        output = self._meter.feed(data, now_ns)
        self._put(output.data)
        if self.state is State.ENDING:
            self._late_bytes += len(data)
            if self._late_bytes > _LATE_BYTES and self._up is not None:
                self._up.pause_reading()
        if output.terminal:
            self._conclude()

    @bare_step
    def ended(self) -> None:
        """Take the end of the answer."""
        if self._early is not None:
            self._early.append((OrdinaryExchange.ended, ()))
            return
        self._is_ended = True
        self._up = None
        if self.state is State.RELAYING:
            self._put(self._meter.finish(self._mono_ns()).data)
            self.flush()
            self._conclude()
        elif self.state is State.LINGERING:
            self._finish()

    def flush(self) -> None:
        """Send what was put together; a head alone may wait for the END that is on its way."""
        out = self._out
        if out and (self._has_sent or len(out) > 1 or self.state is not State.ENDING):
            self._has_sent = True
            self._connection.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    @step
    def odd(self, connection: EndpointConnection, begun: bytes) -> None:
        """Take the beginning of an answer that is not an ordinary one."""
        if self._early is not None:
            self._early.append((OrdinaryExchange.odd, (connection, begun)))
        else:
            self._take_over((OrdinaryExchange.odd, (connection, begun)))

    @step_with
    def failed(self, error: Exception) -> None:
        """Take the end of the connection before that of the answer."""
        if self._early is not None:
            self._early.append((OrdinaryExchange.failed, (error,)))
            return
        if self.state is State.ENDING:
            self._up = None  # END is made; what is missing the client sees at its end
        elif self.state is State.LINGERING:
            self._give_up()
        else:
            self._take_over((OrdinaryExchange.failed, (error,)))

    # The steps.

    @bare_step
    def _send(self) -> None:
        """Forward the request: START is written."""
        context, pool = self._context, self._parts.forward.pool
        self.state = State.CONNECTING
        context.upstream_attempts = 1
        context.forwarded_ns = self._mono_ns()
        connection = pool.take()
        if connection is not None:
            self._send_on(connection)
        else:
            self._connecting = asyncio.get_running_loop().create_task(pool.connect())
            self._connecting.add_done_callback(self._connected)
        if self._gone or self._is_stopped:
            self._take_over()

    @step_with
    def _connected(self, task: "asyncio.Task[EndpointConnection]") -> None:
        if self.state is not State.CONNECTING:
            return
        if task.cancelled() or task.exception() is not None:
            self._take_over()
        else:
            self._connecting = None
            self._send_on(task.result())

    def _send_on(self, connection: EndpointConnection) -> None:
        self._up = connection
        self.state = State.WAITING
        connection.send(with_body(self._parts.forward.head, self._meter.upstream_body), self)

    def _put(self, data: bytes) -> None:
        """Have bytes of the body sent."""
        if data and not self._gone:
            self._out.append(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def _conclude(self) -> None:
        """Write the END of an answer that came whole."""
        self._is_terminal = True
        kind = b"" if self._head is None else self._head.content_type
        entry = end_now(self._context, self._meter, self._services.counter, kind, self._mono_ns())
        if entry is None:
            self._take_over()
            return
        self._record = record_of(entry)
        self.state = State.ENDING
        self._services.ledger.put(entry, None, self._end_is_on_disk)
        log_call(self._context, self._record)

    def _finish(self) -> None:
        """Let the next request come."""
        self.state = State.OVER
        if self._is_chunked and not self._gone:
            self._out.append(b"0\r\n\r\n")
        if self._out:
            self._connection.write(b"".join(self._out))
        self._on_over(self, None)
        if not self._gone:
            self._connection.finished()

    def _give_up(self) -> None:
        """Close what is open: the answer has its END."""
        if self.state is State.OVER:
            return
        self.state = State.OVER
        if self._up is not None:
            self._up.drop()
            self._up = None
        self._out.clear()
        self._on_over(self, None)
        if not self._gone:
            self._connection.transport.close()

    # What is not ordinary.

    def crash(self, error: Exception) -> None:
        """End a call that met a fault of the proxy."""
        if self.state is not State.OVER and self._exchange is None:
            if self.state not in (State.ENDING, State.LINGERING):
                self._fault = error
                self._take_over()
                return
            self._give_up()
        RedactingLogger(self.redactor).exception("call_failed", method="POST")

    def _take_over(self, *events: "_Event") -> None:
        """Leave the rest to an `Exchange`; the events are what it gets first of the answer."""
        if self._exchange is not None:
            return
        self.flush()
        was_starting, self.state = self.state is State.STARTING, State.TAKEN_OVER
        early, self._early = self._early or [], None
        body = self._body = DirectBody(self._up)
        if self._is_ended:
            body.ended()
        if self._up is not None and self._up.sink is self:
            self._up.sink = body
        self._pass_on([*early, *events])
        if self._up is not None and self._up.sink is body and body.wants_more:
            self._up.resume_reading()
        exchange = self._exchange = Handover(
            parts=self._parts,
            body=body,
            start_on_disk=self._start(),
            up=self._up,
            connecting=self._connecting,
            head=self._head,
            is_chunked=self._is_chunked,
            is_held=self._is_held,
            is_terminal=self._is_terminal,
            is_unsent=was_starting,
            fault=self._fault,
            start_error=self._start_error,
        ).exchange()
        task = self._on_over(self, exchange)
        if task is not None and isinstance(exchange.client, DirectClient):
            finish = exchange.client.finish
            task.add_done_callback(lambda _: finish())
        if self._gone:
            exchange.client_left()
        if self._is_stopped:
            exchange.stop()

    def _pass_on(self, events: "list[_Event]") -> None:
        if self._body is not None:
            for handle, values in events:
                getattr(self._body, handle.__name__)(*values)

    def _start(self) -> asyncio.Future[None]:
        """Return the future of START, as far as it is."""
        if self._start_known:
            return start_on_disk(self._start_error)
        self._on_disk = asyncio.get_running_loop().create_future()
        return self._on_disk


_Event = tuple[Callable[..., None], tuple[Any, ...]]
