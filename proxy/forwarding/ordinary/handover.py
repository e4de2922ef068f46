"""How an ordinary call that is not ordinary any more goes on: as an `Exchange`, from where it stands."""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from cab.proxy.accounting.admission import AdmissionRequest
from cab.proxy.errors import LedgerFailed
from cab.proxy.forwarding.answers import DirectBody, EndpointAnswer, from_direct
from cab.proxy.forwarding.call_lifecycle import CallLifecycle
from cab.proxy.forwarding.exchange import Begun, Exchange
from cab.proxy.forwarding.failures import not_connected
from cab.proxy.forwarding.ordinary.client import DirectClient
from cab.proxy.forwarding.ordinary.head import Forward, KnownHead
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.http.wire.answer_head import AnswerHead
from cab.proxy.http.wire.client_connection import OrdinaryConnection
from cab.proxy.http.wire.endpoint_connection import EndpointConnection
from cab.proxy.http.wire.endpoint_pool import NotConnected
from cab.proxy.http.wire.request_bytes import with_body
from cab.proxy.ledger.call_records import CallContext
from cab.proxy.ledger.ledger import Started
from cab.proxy.meter import CallMeter


class CallParts(NamedTuple):
    """What an ordinary call is put together from."""

    services: ProxyServices
    connection: OrdinaryConnection
    """The client's."""
    known: KnownHead
    """What follows from the head of its request."""
    forward: Forward
    """How it goes on to the endpoint."""
    context: CallContext
    """What is known of it; its cell has admitted it."""
    meter: CallMeter
    """Has read the request."""
    admission: AdmissionRequest
    """What its cell was asked."""


@dataclass(slots=True)
class Handover:
    """An ordinary call as it stands when an `Exchange` takes it over."""

    parts: CallParts
    body: DirectBody
    """Has got what came of the answer and was not read."""
    start_on_disk: asyncio.Future[None]
    up: EndpointConnection | None
    connecting: asyncio.Task[EndpointConnection] | None
    head: AnswerHead | None
    """Of the answer, if it was passed on."""
    is_chunked: bool
    """Whether the answer to the client is."""
    is_held: bool
    """Whether the client does not keep up."""
    is_terminal: bool
    """Whether the meter has seen the end of the answer."""
    is_unsent: bool
    """Whether START was not written, so that nothing is to be forwarded."""
    fault: Exception | None
    """A fault of ours that ends the call."""
    start_error: LedgerFailed | None
    """Why START is not on disk."""

    def exchange(self) -> Exchange:
        """Return the exchange, which has not begun."""
        services, connection, known, forward, context, meter, admission = self.parts
        answer = None
        if self.head is not None and self.fault is None:
            answer = from_direct(known.head.method, forward.url, self.head, self.body)
        first = self._refused if self.is_unsent else self._first
        begun = Begun(self._lifecycle(), first, answer, is_over=self.is_terminal)
        client = partial(
            DirectClient,
            connection,
            known.head,
            context.call_id,
            is_chunked=None if self.head is None else self.is_chunked,
            is_held=self.is_held,
        )
        return forward.exchange(services, context, meter, admission, client, begun)

    def _lifecycle(self) -> CallLifecycle:
        """Return the call's lifecycle, with a START as far as it is."""
        services, admission = self.parts.services, self.parts.admission
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        written.set_result(None)
        started = Started(written, self.start_on_disk)
        return CallLifecycle.begun(services.registry, services.ledger, admission, started)

    async def _refused(self) -> EndpointAnswer:
        raise self.fault or self.start_error or LedgerFailed("the ledger cannot be written")

    async def _first(self) -> EndpointAnswer:
        """Return the endpoint's answer to the request that was sent; see `Upstream.send`."""
        if self.fault is not None:
            self.body.close()
            if self.connecting is not None:
                self.connecting.cancel()
            raise self.fault
        forward, method = self.parts.forward, self.parts.known.head.method
        connection, body = self.up, self.body
        if connection is None:
            if self.connecting is None:
                raise RuntimeError("the request was not sent")
            try:
                connection = await self.connecting
            except NotConnected as error:
                raise not_connected(error.code, forward.upstream.base.authority) from error
            body = DirectBody(connection)
            connection.send(with_body(forward.head, self.parts.meter.upstream_body), body)
        return await forward.upstream.answer_on(forward.pool, method, forward.url, connection, body)


def start_on_disk(error: LedgerFailed | None) -> asyncio.Future[None]:
    """Return the future of a START that is on disk, or is not for this reason."""
    on_disk: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    if error is None:
        on_disk.set_result(None)
    else:
        on_disk.set_exception(error)
        on_disk.exception()  # looked at: asyncio does not warn that nobody did
    return on_disk
