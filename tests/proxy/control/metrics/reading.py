"""What a scraper reads, compared with the ledger number for number."""

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from cab.scoring.ledger.records import METERED_ENDPOINTS
from cab.scoring.ledger.totals import CallTotals

Scraped = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(text: str) -> Scraped:
    """Return the samples of a text, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Scraped, name: str, **labels: str) -> float | None:
    """Return the sum of the samples that have these labels and maybe others; None if there is none."""
    wanted = {(label.rstrip("_"), text) for label, text in labels.items()}
    found = [number for (n, has), number in samples.items() if n == name and wanted <= has]
    return sum(found) if found else None


def from_ledger(ends: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return what the counters must be, added up from the END records alone."""
    all_ends = list(ends)
    metered = [end for end in all_ends if end["endpoint"] in METERED_ENDPOINTS]
    ended = [end for end in metered if end["end_reason"] != "rejected"]
    totals = CallTotals()
    for end in metered:
        totals.add(end)
    tokens = {
        f"cab_tokens_total {kind}": float(sum(end[f"{kind}_tokens"] or 0 for end in counted(ended)))
        for kind in ("prompt", "completion", "cache_read", "cache_write", "reasoning")
    }
    cost = sum((Decimal(str(end["cost_usd"])) for end in ended if end["cost_usd"]), Decimal(0))
    durations = [end["latency_ms"] for end in ended if end["latency_ms"] is not None]
    firsts = [end["ttft_ms"] for end in ended if end["ttft_ms"] is not None]
    outcomes = Counter(f"cab_calls_total {end['end_reason']}" for end in metered)
    return {
        **{name: float(count) for name, count in outcomes.items()},
        **tokens,
        "cab_calls_total": float(len(metered)),
        "cab_call_errors_total": float(sum(e["end_reason"] != "completed" for e in metered)),
        "cab_attempts_total": float(totals.attempts),
        "cab_uncounted_calls_total": float(totals.interval.unknown_calls),
        "cab_unpriced_calls_total": float(totals.cost.missing),
        "cab_cost_usd_total": float(cost),
        "cab_call_duration_seconds_count": float(len(durations)),
        "cab_call_duration_seconds_sum": sum(round(ms * 1000) for ms in durations) / 1e6,
        "cab_time_to_first_token_seconds_count": float(len(firsts)),
        "cab_time_to_first_token_seconds_sum": sum(round(ms * 1000) for ms in firsts) / 1e6,
        "cab_overhead_seconds_count": float(sum(end["proxy_ms"] is not None for end in metered)),
        "cab_other_requests_total": float(len(all_ends) - len(metered)),
    }


def counted(ends: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [end for end in ends if end["usage_source"] not in (None, "none")]


def compared(samples: Scraped, ends: Iterable[Mapping[str, Any]]) -> None:
    """Assert that the counters are what the ledger says, number for number."""
    expected = from_ledger(ends)
    labels = {"cab_tokens_total": "kind", "cab_calls_total": "outcome"}
    found = {}
    for name in expected:
        metric, _, label = name.partition(" ")
        chosen = {labels[metric]: label} if label else {}
        found[name] = value(samples, metric, **chosen) or 0.0
    assert {n: round(v, 9) for n, v in found.items()} == {
        n: round(v, 9) for n, v in expected.items()
    }
