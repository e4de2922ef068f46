"""A call put together from its request: what is known of it, what its cell is asked, and how it runs."""

from collections.abc import Callable

from cab.proxy.accounting.admission import AdmissionRequest
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.attribution import Caller, Target
from cab.proxy.errors import Rejected
from cab.proxy.forwarding.exchange import Exchange
from cab.proxy.forwarding.response import Client
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.upstream import Upstream
from cab.proxy.http.error_responses import OVERLOAD
from cab.proxy.http.headers import as_sent, request_headers
from cab.proxy.http.query_key import without_query_key
from cab.proxy.http.replay.endpoint import MARK
from cab.proxy.http.replay.recorded import AskedCall
from cab.proxy.http.request import HttpRequest
from cab.proxy.ledger.call_records import CallContext
from cab.proxy.ledger.uuid7 import uuid7
from cab.proxy.meter import CallMeter, Dialect, may_cost_unmetered
from cab.proxy.redaction import Redactor
from cab.scoring.ledger.records import METERED_ENDPOINTS

_FREE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def new_context(  # noqa: PLR0913 - all that is known of a call
    services: ProxyServices,
    request: HttpRequest,
    target: Target,
    dialect: Dialect | None,
    redactor: Redactor,
    caller: Caller,
    body: bytes,
    meter: CallMeter,
    began_ns: tuple[int, int],
    traceparent: str | None,
) -> CallContext:
    """Return what is known of a call whose request is here as a whole.

    Args:
        services: What every call uses.
        request: Its head.
        target: Its target, without a cell's key.
        dialect: None for a call that is not metered.
        redactor: Redacts the secrets of its head too.
        caller: Who makes it.
        body: Its body.
        meter: Has read the body.
        began_ns: When its first byte came, by the wall clock and by the monotonic one.
        traceparent: That header of it.
    """
    wall_ns, mono_ns = began_ns
    return CallContext(
        call_id=uuid7(wall_ns),
        cell_id=caller.cell_id,
        endpoint=dialect.name if dialect else "other",
        assumed_output_cap=services.settings.assumed_output_cap,
        may_cost=None
        if dialect
        else may_cost_unmetered(request.method, target.path_qs, has_body=bool(body)),
        request=meter.request,
        request_bytes=len(body),
        user_agent=request.headers.get("User-Agent"),
        key_id=None if caller.key is None else caller.key.key_id,
        started_wall_ns=wall_ns,
        started_ns=mono_ns,
        received_ns=services.clock.mono_ns(),
        traceparent=traceparent,
        redactor=redactor,
    )


def new_exchange(  # noqa: PLR0913 - a call is put together in one place
    services: ProxyServices,
    request: HttpRequest,
    target: Target,
    caller: Caller,
    context: CallContext,
    meter: CallMeter,
    upstream: Upstream,
    client: Callable[[Callable[[], None]], Client],
    refusal: Rejected | None,
) -> Exchange:
    """Return a call that has not begun; see `Exchange`."""
    asked, model = meter.request.injected, context.request.model
    if asked and upstream.usage_requests.accepted(model, context.started_ns) is False:
        meter.without_injection()
    headers = request_headers(as_sent(request.raw_headers))
    keep = caller.foreign_key is not None
    path_qs = upstream.prepare(headers, target.path_qs, context.endpoint, keep_credentials=keep)
    if context.endpoint != "other":
        headers["Accept-Encoding"] = "identity"
    if services.replay is not None:
        headers[MARK] = services.replay.mark(_asked(request, target, context, meter))
    admission = admission_request(request, caller, context)
    tap = None
    if services.capture is not None:
        is_unread = refusal is not None and refusal.code == OVERLOAD
        text = meter.request_text
        body = "its content encoding was not undone" if text is None else text
        body = "it was not read" if is_unread else body
        kind = request.headers.get("Content-Type", "")
        what = request.method, without_query_key(target.path_qs)
        tap = services.capture.tap(context, *what, body, kind)
    way = path_qs, headers
    return Exchange(services, context, meter, admission, upstream, client, *way, refusal, tap=tap)


def _asked(
    request: HttpRequest, target: Target, context: CallContext, meter: CallMeter
) -> AskedCall:
    return AskedCall(
        context.call_id,
        context.cell_id,
        context.endpoint,
        request.method,
        target.path_qs,
        context.request.request_hash,
        meter.request.injected,
    )


def admission_request(
    request: HttpRequest, caller: Caller, context: CallContext
) -> AdmissionRequest:
    """Return what the cell registry is asked for a call."""
    counts = context.endpoint in METERED_ENDPOINTS
    # Looking something up costs nothing. Everything else may, whether it is metered or not.
    limited = caller.key is not None and (counts or request.method not in _FREE_METHODS)
    return AdmissionRequest(
        caller.cell_id,
        context.call_id,
        context.request.request_hash,
        counts=counts,
        limits=caller.key.limits if caller.key is not None and limited else KeyLimits(),
        expires_s=None if caller.key is None else caller.key.expires_s,
    )
