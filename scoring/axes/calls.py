"""Axis `calls`: how many requests the agent made, how they ended, how fast answers came."""

from cab.scoring.files import FileModel
from cab.scoring.ledger.call_stats import median, p95, quantile
from cab.scoring.ledger.call_sums import CallSums
from cab.scoring.ledger.records import Count, Milliseconds


class Calls(FileModel):
    """All null if the cell was not metered."""

    model_calls: Count | None = None
    """Calls; attempts of one call count once."""
    attempts: Count | None = None
    """HTTP requests, repetitions included."""
    succeeded: Count | None = None
    """Ledger entries whose answer reached the agent."""
    failed: Count | None = None
    """Ledger entries whose answer did not."""
    rejected: Count | None = None
    """Requests that the proxy rejected; they are not attempts."""
    by_end_reason: dict[str, Count] | None = None
    """End reason -> ledger entries; `unfinished` where only the beginning was recorded."""
    failures: dict[str, Count] | None = None
    """Class of failure -> ledger entries."""
    ttft_known: Count | None = None
    """Answers whose time to first token is known."""
    ttft_ms_median: Milliseconds | None = None
    """Median time to first token of these; None if there are none."""
    ttft_ms_p95: Milliseconds | None = None
    """95th percentile of these, by nearest rank."""
    output_tokens_per_s: float | None = None
    """Completion tokens over the time from first token to last byte, of streams with both."""


def score_calls(calls: CallSums | None) -> Calls:
    """Return the axis from the sums over a cell's ledger slice; all null if it was not metered."""
    if calls is None:
        return Calls()
    facts = calls.facts
    return Calls(
        model_calls=calls.model_calls,
        attempts=calls.attempts,
        succeeded=facts.succeeded,
        failed=sum(facts.failures.values()),
        rejected=calls.rejected,
        by_end_reason=dict(sorted(facts.by_end_reason.items())),
        failures=dict(sorted(facts.failures.items())),
        ttft_known=len(facts.ttft_ms),
        ttft_ms_median=quantile(facts.ttft_ms, median),
        ttft_ms_p95=quantile(facts.ttft_ms, p95),
        output_tokens_per_s=_rate_per_s(facts.streamed_tokens, facts.streaming_ms),
    )


def _rate_per_s(tokens: int, streaming_ms: float) -> float | None:
    return tokens * 1000 / streaming_ms if streaming_ms else None
