"""The endpoint's account against the ledger, request by request."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from cab.scoring.ledger.records import CallEnd


class _Figures(NamedTuple):
    id: str | None
    model: str | None
    prompt: int | None
    completion: int | None


def differences(account: Mapping[str, Any], ends: Iterable[CallEnd]) -> Iterator[str]:
    """Yield where an endpoint's account and a ledger do not agree, a sentence each.

    Served requests are told apart by the answer's id and must agree in model and tokens. Of those that
    were refused or cut off each side must have as many with the same status.

    Args:
        account: The demo's account: one row per request in `by_call`.
        ends: The ledger's ENDs of metered endpoints; those that the proxy itself refused reached no
            endpoint and are passed over.
    """
    rows: list[dict[str, Any]] = account["by_call"]
    seen = [end for end in ends if end.end_reason != "rejected"]
    served = Counter(_of_row(row) for row in rows if row["outcome"] == "served")
    known = Counter(_of_end(end) for end in seen if _is_served(end))
    yield from _unequal(served, known)
    refused = Counter(_kind_of_row(row) for row in rows if row["outcome"] != "served")
    recorded = Counter(_kind_of_end(end) for end in seen if not _is_served(end))
    for kind in sorted(refused.keys() | recorded.keys()):
        if refused[kind] != recorded[kind]:
            yield f"{kind}: {refused[kind]} by the endpoint, {recorded[kind]} in the ledger"


def _unequal(served: Counter[_Figures], known: Counter[_Figures]) -> Iterator[str]:
    # As often on both sides: a call that is in the ledger twice would be paid twice.
    for call in sorted({each.id for each in (*served, *known)}, key=str):
        there = [each for each in served.elements() if each.id == call]
        here = [each for each in known.elements() if each.id == call]
        if not here:
            yield f"{call} was served and is not in the ledger as answered"
        elif not there:
            yield f"{call} is in the ledger as answered and was not served"
        elif len(there) != len(here):
            yield f"{call} was served {_times(there)} and is in the ledger {_times(here)}"
        elif Counter(there) != Counter(here):
            yield f"{call} was served as {_texts(there)}, the ledger has {_texts(here)}"


def _times(calls: list[_Figures]) -> str:
    return "once" if len(calls) == 1 else f"{len(calls)} times"


def _texts(calls: list[_Figures]) -> str:
    return " and ".join(f"{each.model} with {each.prompt} + {each.completion}" for each in calls)


def _is_served(end: CallEnd) -> bool:
    # An agent that hangs up was served all the same: the proxy reads on.
    return end.end_reason in ("completed", "client_gone") and (end.status or 0) < 400


def _of_row(row: Mapping[str, Any]) -> _Figures:
    return _Figures(row["id"], row["model"], row["prompt_tokens"], row["completion_tokens"])


def _of_end(end: CallEnd) -> _Figures:
    return _Figures(end.upstream_id, end.model_requested, end.prompt_tokens, end.completion_tokens)


def _kind_of_row(row: Mapping[str, Any]) -> str:
    return "cut off" if row["outcome"] == "cut" else f"status {row['status']}"


def _kind_of_end(end: CallEnd) -> str:
    return "cut off" if end.end_reason == "upstream_cut" else f"status {end.status}"
