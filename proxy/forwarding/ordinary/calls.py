"""Which requests on our own wire become calls there, and which ones are aiohttp's."""

from functools import partial
from typing import Protocol

from cab.proxy.auth.attribution import Caller, Identifier, Target, split_target
from cab.proxy.auth.request_secrets import sent_secrets
from cab.proxy.errors import BadKey
from cab.proxy.forwarding.body_budget import BodyBudget, BodyShare
from cab.proxy.forwarding.new_calls import admission_request, new_context, new_exchange
from cab.proxy.forwarding.ordinary.call import OrdinaryExchange
from cab.proxy.forwarding.ordinary.client import DirectCall, DirectClient
from cab.proxy.forwarding.ordinary.handover import CallParts
from cab.proxy.forwarding.ordinary.head import Forward, KnownHead, ShapeFacts
from cab.proxy.forwarding.permission import refused_call
from cab.proxy.forwarding.running_calls import RunningCalls
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.http.error_responses import RequestFailed
from cab.proxy.http.headers import TRACEPARENT
from cab.proxy.http.request import HttpRequest
from cab.proxy.http.request_checks import CONTROL_PREFIX, checked_target
from cab.proxy.http.wire.client_connection import OrdinaryCall, OrdinaryConnection
from cab.proxy.http.wire.request_head import RequestHead
from cab.proxy.ledger.call_records import CallContext
from cab.proxy.logs import RedactingLogger
from cab.proxy.meter import CallMeter, dialect_for, path_fault
from cab.proxy.redaction import Redactor

_REDACTORS_REMEMBERED = 256

log = RedactingLogger()


class Door(Protocol):
    """Who may call now."""

    def identify(self, request: HttpRequest, target: Target, now_s: int) -> Caller:
        """Return who makes a call.

        Raises:
            RequestFailed: Nobody who may.
        """
        ...

    def require_open(self) -> None:
        """Return if a call can be taken now.

        Raises:
            RequestFailed: It cannot.
        """
        ...


class OrdinaryCalls:
    """Begins the calls of ordinary requests.

    Args:
        services: What every call uses.
        door: Says who may call.
        identifier: Checks keys that were valid before.
        held: Redacts what this proxy must not write.
        bodies: The budget of bodies.
        running: The calls in flight.
    """

    def __init__(  # noqa: PLR0913 - what all calls share
        self,
        services: ProxyServices,
        door: Door,
        identifier: Identifier,
        held: Redactor,
        bodies: BodyBudget,
        running: RunningCalls,
    ) -> None:
        self._services = services
        self._door = door
        self._identifier = identifier
        self._bodies = bodies
        self._running = running
        self.renew(held)

    def renew(self, held: Redactor) -> None:
        """Go by the settings as they are now.

        Args:
            held: Redacts what this proxy must not write.
        """
        self._held, settings = held, self._services.settings
        self._generation = object()
        """What was found out of heads before does not hold any more."""
        limits_s = settings.headers_timeout_s, settings.body_timeout_s
        kept = self._services.capture, self._services.replay
        is_quiet = limits_s == (None, None) and kept == (None, None)
        self._need_no_task = settings.ack == "end" and is_quiet
        """Nothing of a call is limited in time, kept, or replayed."""
        self._redactors: dict[frozenset[str], Redactor] = {}
        """By the secrets of a head: making one, and filling what it remembers, takes long."""

    def serve(
        self, connection: OrdinaryConnection, head: RequestHead, body: bytes
    ) -> OrdinaryCall | None:
        """Begin a call; None if it is none, or must wait or be refused: aiohttp serves these."""
        share = BodyShare(self._bodies)
        try:
            call = self._call(connection, head, body, share)
        except (RequestFailed, BadKey):
            call = None
        except Exception:
            # Whatever it is: nothing has begun, and it is answered as any other fault.
            log.exception("request_not_read")
            call = None
        if call is None:
            share.release()
        return call

    def _call(
        self, connection: OrdinaryConnection, head: RequestHead, body: bytes, share: BodyShare
    ) -> OrdinaryCall | None:
        services, settings = self._services, self._services.settings
        wall_ns, waited_ns = services.clock.wall_ns(), round(connection.waited_s * 1e9)
        began_ns = wall_ns - waited_ns, services.clock.mono_ns() - waited_ns
        facts = head.shape.derived
        if not isinstance(facts, ShapeFacts) or facts.generation is not self._generation:
            facts = head.shape.derived = self._facts(head.shape.bare)
        if facts.dialect is None or len(body) > settings.max_request_bytes:
            return None
        caller = self._caller(facts, wall_ns // 1_000_000_000)
        self._door.require_open()
        share.cell_id = caller.payer
        if not share.hold_now(len(body)):
            return None
        target = facts.target
        meter = CallMeter(
            facts.dialect,
            target.path_qs,
            body,
            content_type=facts.content_type,
            hold_terminal=settings.ack == "end",
            text_limit_chars=settings.count_max_bytes,
        )
        trace = facts.traceparent(head)
        parts = facts.dialect, facts.redactor, caller, body, meter, began_ns, trace
        context = new_context(services, facts.bare, target, *parts)
        upstream = services.upstreams.for_model(context.request.model)
        context.upstream, context.route = upstream.base.authority, upstream.number
        context.client = connection.client
        context.prices = upstream.prices
        if refused_call(head.method, target.path_qs, caller, upstream, context):
            return None
        asks = meter.request.injected
        model, now_ns = context.request.model, context.started_ns
        shown = upstream.usage_requests.accepted(model, now_ns) if asks else True
        known = facts.known(head)
        forward = known.forward(upstream, keep_credentials=caller.foreign_key is not None)
        if forward is not None and shown and self._need_no_task:
            whole = known, forward, context, meter, caller, share
            if (call := self._without_task(connection, *whole)) is not None:
                return call
        client = partial(DirectClient, connection, head, context.call_id)
        how = caller, context, meter, upstream, client, None
        exchange = new_exchange(services, head, target, *how)
        return DirectCall(exchange, self._running.run(exchange, share))

    def _caller(self, facts: ShapeFacts, now_s: int) -> Caller:
        caller = facts.caller
        if caller is None:
            caller = facts.caller = self._door.identify(facts.bare, facts.target, now_s)
        elif caller.key is not None:
            self._identifier.check(caller.key, now_s)
        return caller

    def _without_task(  # noqa: PLR0913 - a call is put together in one place
        self,
        connection: OrdinaryConnection,
        known: KnownHead,
        forward: Forward,
        context: CallContext,
        meter: CallMeter,
        caller: Caller,
        share: BodyShare,
    ) -> OrdinaryCall | None:
        services, running = self._services, self._running
        admission = admission_request(known.head, caller, context)
        admitted = services.registry.try_admit(admission)
        if admitted is None:
            return None
        context.take(admitted)
        parts = CallParts(services, connection, known, forward, context, meter, admission)
        call = OrdinaryExchange(parts, running.over)
        running.begin(call, share)
        return call

    def _facts(self, bare: RequestHead) -> ShapeFacts:
        """Return what follows from the shape of a head, whoever sends it and when."""
        path_qs = checked_target(bare)
        target = split_target(path_qs)
        sent = frozenset(sent_secrets(bare.headers, target))
        redactor = self._redactors.get(sent)
        if redactor is None:
            if len(self._redactors) >= _REDACTORS_REMEMBERED:
                self._redactors.clear()
            redactor = self._redactors[sent] = self._held.with_secrets(sent)
        dialect = dialect_for(bare.method, target.path_qs, has_body=True)
        ours = path_qs.startswith(CONTROL_PREFIX) or target.path_qs.startswith(CONTROL_PREFIX)
        if ours or path_fault(target.path_qs):
            dialect = None
        content_type = ", ".join(bare.headers.getall("Content-Type", []))
        parts = bare, target, dialect, redactor, content_type
        trace_at = bare.shape.place_of(TRACEPARENT.encode())
        return ShapeFacts(*parts, generation=self._generation, trace_at=trace_at)
