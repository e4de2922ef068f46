"""Entries of a site as a first pass leaves them: small results, without bundles behind them."""

from decimal import Decimal
from typing import Any

import orjson

from cab.adapters.report.entries import SiteEntry
from cab.adapters.report.render.marks import Mark


def entry(
    cell_id: str,
    *,
    passed: bool | None = True,
    tokens: int | None = 1000,
    cost: str | None = "0.01",
    mark: Mark = "measured",
    known_tokens: int | None = None,
    own: int | None = None,
    changes: int = 1,
    clock: Mark = "measured",
) -> SiteEntry:
    """Return an entry.

    Args:
        cell_id: Its id; the page has its name.
        passed: None if no check ran.
        tokens: None if not all are known.
        cost: In US dollars.
        mark: Of the tokens.
        known_tokens: Those that are known; None for all.
        own: The agent's own count.
        changes: Files that it changed.
        clock: Mark of its times.
    """
    result: dict[str, Any] = {
        "cell_id": cell_id,
        "pass_rate": {"pass": None if passed is None else int(passed)},
        "tokens": {"total_tokens": tokens, "model_calls": 3, "attempts": 3},
        "calls": {"succeeded": 3},
        "cost": {"cost_usd": cost},
        "latency": {"wall_clock_ms": 2500.0},
        "blast_radius": {"blast_radius": 0.0, "total_changes": changes},
        "composite": 0.5,
        "self_reported": None if own is None else {"source": "tui_stdout", "total_tokens": own},
        "rescored_from": "bundle",
    }
    return SiteEntry(
        stem=cell_id.replace("/", "-").replace("#", "-"),
        cell_id=cell_id,
        run_key="x",
        result=orjson.dumps(result),
        token_mark=mark,
        known_tokens=tokens if known_tokens is None else known_tokens,
        cost=None if cost is None else str(Decimal(cost)),
        cost_mark="not recorded" if cost is None else "measured",
        clock_mark=clock,
        composite=0.5,
        composite_mark="estimated" if mark == "estimated" and passed else clock,
        started_at="2026-11-20T12:00:00.000000Z",
    )
