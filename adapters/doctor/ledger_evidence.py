"""What ledger and endpoint say of the requests of one run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from cab.adapters.doctor.accounts import differences
from cab.adapters.doctor.evidence import ObservedAttempt
from cab.proxy.demo.account import fingerprint
from cab.scoring.ledger.call_sums import is_model_call
from cab.scoring.ledger.reading import iter_calls
from cab.scoring.ledger.records import CallEnd


class LedgerEvidence(NamedTuple):
    """The requests of one run; named as in the evidence."""

    attempts: tuple[ObservedAttempt, ...]
    prompt_tokens: int | None
    completion_tokens: int | None
    differences: tuple[str, ...]
    past_the_proxy: int
    other_keys: int
    other_requests: int


def read_wire(
    ledger: Path, cell_id: str, account: Mapping[str, Any], real_key: str
) -> LedgerEvidence:
    """Return what both sides have of a run.

    Args:
        ledger: Folder of the proxy's audit log.
        cell_id: Whose key the agent was given.
        account: The fake endpoint's account.
        real_key: What the proxy calls it with.
    """
    every = list(iter_calls(ledger))
    ends = [end for end in every if is_model_call(end) or end.end_reason == "rejected"]
    mine = fingerprint(real_key)
    return LedgerEvidence(
        attempts=tuple(_attempts(ends)),
        prompt_tokens=_sum(end.prompt_tokens for end in ends),
        completion_tokens=_sum(end.completion_tokens for end in ends),
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
            ended_ms=None if end.latency_ms is None else since + end.latency_ms,
        )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)
