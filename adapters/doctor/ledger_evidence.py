"""What ledger and endpoint say of the requests of one run."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from cab.adapters.doctor.accounts import differences
from cab.adapters.doctor.evidence import ObservedAttempt
from cab.proxy.demo.account import fingerprint
from cab.scoring.ledger.call_sums import sum_calls
from cab.scoring.ledger.reading import iter_calls
from cab.scoring.ledger.records import CallEnd
from cab.scoring.ledger.totals import is_model_call


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
    tokens, mine = sum_calls(every).tokens, fingerprint(real_key)
    return LedgerEvidence(
        attempts=tuple(_attempts(ends)),
        prompt_tokens=tokens.prompt.value,
        completion_tokens=tokens.completion.value,
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
