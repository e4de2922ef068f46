"""How a call ended, as its END record has it: what counts as complete, cut, failed or given up."""

from cab.proxy.accounting.admission import REGISTRY_LOST
from cab.proxy.errors import Rejected
from cab.proxy.forwarding.deadline import Limit
from cab.proxy.ledger.call_records import CallEnding
from cab.proxy.meter import Outcome
from cab.scoring.ledger.records import EndReason


def ending_of(outcome: Outcome, ended_ns: int, *, client_gone: bool, is_stream: bool) -> CallEnding:
    """Return the ending of a call whose answer came to its end."""
    if outcome.error is not None:
        return CallEnding("upstream_error", ended_ns, outcome.error)
    if client_gone:
        return CallEnding("client_gone", ended_ns)
    if outcome.complete or outcome.deferred:
        return CallEnding("completed", ended_ns)
    if is_stream:
        message = "the stream ended before its last event"
        return CallEnding("upstream_cut", ended_ns, ("incomplete_stream", message))
    message = outcome.unmetered or "the body is not an answer of its dialect"
    return CallEnding("upstream_error", ended_ns, ("not_understood", message))


def failure_of(
    error: Exception, limit: Limit, host: str, *, client_gone: bool
) -> tuple[EndReason, str, str]:
    """Return why an answer broke off: end reason, error type and message.

    Args:
        error: What reading it raised: `TimeoutError` if a limit ran out.
        limit: The limit that applied.
        host: The endpoint.
        client_gone: Whether the client has gone.
    """
    if not isinstance(error, TimeoutError):
        reason: EndReason = "client_gone" if client_gone else "upstream_cut"
        return reason, "cut", f"{host}: the answer broke off: {error}"
    if client_gone:
        return "client_gone", "stopped", "reading on was stopped"
    if limit == "stop":
        return "timeout", "proxy_stopped", "the proxy stopped before the answer was complete"
    silent = "sent no answer in time" if limit == "headers" else "fell silent"
    return "timeout", f"upstream_{limit}_timeout", f"{host}: the endpoint {silent}"


def rejection_of(error: Rejected, ended_ns: int) -> CallEnding | None:
    """Return the ending of a call that its cell may not make; None if it leaves no record."""
    if error.code == REGISTRY_LOST:
        return None
    return CallEnding("rejected", ended_ns, (error.code, str(error)))
