"""What ledger and endpoint have of the requests of one run, and where they differ."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from cab.adapters.doctor.evidence import LedgerEvidence, ObservedAttempt
from cab.proxy.demo.account import fingerprint
from cab.scoring.ledger.call_sums import sum_calls
from cab.scoring.ledger.reading import iter_calls
from cab.scoring.ledger.records import CallEnd
from cab.scoring.ledger.totals import is_model_call


def read_ledger_evidence(
    ledger: Path, cell_id: str, account: Mapping[str, Any], real_key: str
) -> LedgerEvidence:
    """Return what ledger and endpoint have of a run.

    Args:
        ledger: Folder of the proxy's audit log.
        cell_id: The cell of the agent's key.
        account: The fake endpoint's account.
        real_key: The key with which the proxy calls it.
    """
    every = list(iter_calls(ledger))
    ends = [end for end in every if is_model_call(end) or end.end_reason == "rejected"]
    sums, mine = sum_calls(every), fingerprint(real_key)
    return LedgerEvidence(
        attempts=tuple(_attempts(ends)),
        prompt_tokens=None if sums is None else sums.tokens.prompt.value,
        completion_tokens=None if sums is None else sums.tokens.completion.value,
        differences=tuple(differences(account, ends)),
        past_the_proxy=sum(row["key_fingerprint"] != mine for row in account["by_call"]),
        other_keys=sum(end.cell_id != cell_id for end in every),
        other_requests=len(every) - len(ends),
    )


def _attempts(ends: Sequence[CallEnd]) -> Iterator[ObservedAttempt]:
    starts = [datetime.fromisoformat(end.started_at) for end in ends]
    for end, started in sorted(zip(ends, starts, strict=True), key=lambda pair: pair[1]):
        since = (started - min(starts)).total_seconds() * 1000
        yield ObservedAttempt(
            endpoint=end.endpoint,
            model=end.model_requested,
            status=end.status,
            end_reason=end.end_reason,
            started_ms=since,
            ended_ms=None
            if end.latency_ms is None
            else since + (end.queued_ms or 0.0) + end.latency_ms,
        )


class _Counts(NamedTuple):
    id: str | None
    model: str | None
    prompt: int | None
    completion: int | None


def differences(account: Mapping[str, Any], ends: Iterable[CallEnd]) -> Iterator[str]:
    """Yield where an endpoint's account and a ledger do not agree, a sentence each.

    Served requests are matched by the answer's id and must agree in model and tokens. Of those that
    were refused or cut off each side must have as many with the same status.

    Args:
        account: The demo's account: one row per request in `by_call`.
        ends: The ledger's ENDs of metered endpoints; those that the proxy itself refused reached no
            endpoint and are ignored.
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


def _unequal(served: Counter[_Counts], known: Counter[_Counts]) -> Iterator[str]:
    # The number of times must agree too: a call that is in the ledger twice would be paid twice.
    for call in sorted({each.id for each in (*served, *known)}, key=str):
        at_endpoint = [each for each in served.elements() if each.id == call]
        in_ledger = [each for each in known.elements() if each.id == call]
        if not in_ledger:
            yield f"{call} was served and is not in the ledger as answered"
        elif not at_endpoint:
            yield f"{call} is in the ledger as answered and was not served"
        elif len(at_endpoint) != len(in_ledger):
            yield f"{call} was served {_times(at_endpoint)} and is in the ledger {_times(in_ledger)}"
        elif Counter(at_endpoint) != Counter(in_ledger):
            yield f"{call} was served as {_texts(at_endpoint)}, the ledger has {_texts(in_ledger)}"


def _times(calls: list[_Counts]) -> str:
    return "once" if len(calls) == 1 else f"{len(calls)} times"


def _texts(calls: list[_Counts]) -> str:
    return " and ".join(f"{each.model} with {each.prompt} + {each.completion}" for each in calls)


def _is_served(end: CallEnd) -> bool:
    # An agent that hangs up was served all the same: the proxy reads on.
    return end.end_reason in ("completed", "client_gone") and (end.status or 0) < 400


def _of_row(row: Mapping[str, Any]) -> _Counts:
    return _Counts(row["id"], row["model"], row["prompt_tokens"], row["completion_tokens"])


def _of_end(end: CallEnd) -> _Counts:
    return _Counts(end.upstream_id, end.model_requested, end.prompt_tokens, end.completion_tokens)


def _kind_of_row(row: Mapping[str, Any]) -> str:
    return "cut off" if row["outcome"] == "cut" else f"status {row['status']}"


def _kind_of_end(end: CallEnd) -> str:
    return "cut off" if end.end_reason == "upstream_cut" else f"status {end.status}"
