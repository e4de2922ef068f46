"""Which calls may be made with the keys that are at stake: the endpoint's, and the cell's with its limits."""

from collections.abc import Iterable

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.attribution import Caller
from cab.proxy.config import Route
from cab.proxy.errors import Rejected
from cab.proxy.forwarding.upstream import Upstream
from cab.proxy.http.error_responses import (
    MODEL_NOT_ALLOWED,
    PATH_NOT_ALLOWED,
    UNCLEAR_BODY,
    UNCLEAR_MODEL,
    UNMETERED_PATH,
)
from cab.proxy.ledger.call_records import CallContext
from cab.proxy.meter import dialect_for, is_lookup, model_fault, plain_path
from cab.scoring.evidence.globs import matches

_NO_LIMITS = KeyLimits()


def refused_call(
    method: str, path: str, caller: Caller, upstream: Upstream, context: CallContext
) -> Rejected | None:
    """Return why a call may not go on as it is; None if it may.

    Args:
        method: HTTP method.
        path: Its path, without a cell's key.
        caller: Who makes it.
        upstream: The endpoint that it would go to.
        context: What is known of it.
    """
    facts, limits = context.request, _NO_LIMITS if caller.key is None else caller.key.limits
    if facts.body_fault is not None and (caller.key is not None or upstream.holds_key):
        return Rejected(UNCLEAR_BODY, f"{facts.body_fault}; endpoints read that in different ways")
    if context.may_cost and limits.bound_spending:
        message = "calls to this path are not metered, and the cell's key has a limit"
        return Rejected(UNMETERED_PATH, f"{message}; use a metered path")
    metered, has_body = context.endpoint != "other", context.request_bytes > 0
    if upstream.holds_key and not (
        metered or _may_use_key(method, path, upstream.route.paths, has_body=has_body)
    ):
        message = "the endpoint's key is not used for this path"
        return Rejected(
            PATH_NOT_ALLOWED, f"{message}; if it should be, add it to the setting `paths`"
        )
    if refusal := _refused_model(facts.models, limits, needed=metered or bool(context.may_cost)):
        return refusal
    return _unclear_model(facts.model, upstream.route)


def _may_use_key(method: str, path: str, patterns: Iterable[str], *, has_body: bool) -> bool:
    """Return whether the endpoint's key may be used for a request that is not metered."""
    if method == "OPTIONS":  # asks what another method may do
        metered = dialect_for("POST", path) is not None
        if metered or any(is_lookup(m, path) for m in ("GET", "POST")):
            return True
    elif is_lookup(method, path, has_body=has_body):
        return True
    return matches(plain_path(path).strip("/"), patterns)


def _refused_model(models: tuple[str, ...], limits: KeyLimits, *, needed: bool) -> Rejected | None:
    """Return why none of these models may be called with a key, or one of them may not."""
    if limits.models is None or (limits.allow(models) and (models or not needed)):
        return None
    named = "a model that this cell's key does not allow" if models else "no model"
    allowed = ", ".join(limits.models)
    return Rejected(MODEL_NOT_ALLOWED, f"the request names {named}; it allows {allowed}")


def _unclear_model(model: str | None, route: Route) -> Rejected | None:
    """Return why a model's name cannot be put into a route's path."""
    if model is None or route.path is None or (fault := model_fault(model)) is None:
        return None
    return Rejected(UNCLEAR_MODEL, f"{fault} in the name of a model; endpoints read it as a path")
