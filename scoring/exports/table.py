"""A cell as a row of typed columns: one table for cells with facts and for cells with only scores.

Lists of paths and texts are left to `cell.json`; here their lengths stand. A page's zeros for what
was not measured are null.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from cab.scoring.analysis.observation import Observation
from cab.scoring.analysis.observe import observe
from cab.scoring.axes import Axes
from cab.scoring.cells.cell import Cell
from cab.scoring.exports.source import cell_of
from cab.scoring.ledger.money import money
from cab.scoring.profiles.builtin import PROFILES
from cab.scoring.score import ScoredCell
from cab.scoring.timestamps import instant_us

CellColumnKind = Literal["text", "integer", "real", "money", "boolean", "instant"]
"""Type of a column; `instant` is microseconds since 1970, in UTC, `money` an exact decimal."""

Read = Callable[[Any], Any]


class CellView(NamedTuple):
    """What the columns look at."""

    scored: ScoredCell
    """The cell with its scores."""
    result: dict[str, Any]
    """The same as `cab score --json` prints it."""
    axes: Axes
    """Its axes."""
    seen: Observation
    """Its numbers, where a page's zeros are None."""
    cell: Cell | None
    """Its facts; None for a page, and for a cell of another harness."""


@dataclass(frozen=True, slots=True)
class CellColumn:
    """One column."""

    name: str
    """Unique, with the unit where it has one."""
    kind: CellColumnKind
    """Type of its values."""
    unit: str
    """What is counted; empty for what is not a number."""
    value: Callable[[CellView], Any]
    """The value of a cell, None where it is not known."""


def row_of(scored: ScoredCell) -> list[Any]:
    """Return a cell's values in the order of the columns.

    Raises:
        BadCellId: The id is not a cell id.
        BadRecord: A number is of the wrong type, negative or not finite.
    """
    result = scored.as_dict()
    view = CellView(scored, result, scored.axes, observe(result), cell_of(scored))
    return [column.value(view) for column in COLUMNS]


def _same(value: Any) -> Any:  # noqa: ANN401 - whatever an axis holds
    return value


def _member(thing: object, path: str, read: Read = _same) -> Any:  # noqa: ANN401 - likewise
    """Return the value at a path of members, None as soon as one of them is None."""
    for name in path.split("."):
        thing = None if thing is None else getattr(thing, name)
    return None if thing is None else read(thing)


def _axis(name: str, kind: CellColumnKind, unit: str, path: str, read: Read = _same) -> CellColumn:
    return CellColumn(name, kind, unit, lambda view: _member(view.axes, path, read))


def _seen(
    name: str, kind: CellColumnKind, unit: str, path: str = "", read: Read = _same
) -> CellColumn:
    return CellColumn(name, kind, unit, lambda view: _member(view.seen, path or name, read))


def _fact(
    name: str, kind: CellColumnKind, path: str, unit: str = "", read: Read = _same
) -> CellColumn:
    return CellColumn(name, kind, unit, lambda view: _member(view.cell, path, read))


def _call_time_ms(view: CellView) -> float | None:
    """Return the time of all calls; a page has 0 where it was not measured."""
    metered = view.seen.model_calls is not None
    return _member(view.axes, "latency.model_call_ms") if metered else None


def _known_cost_usd(view: CellView) -> Decimal | None:
    """Return the sum of the prices that are known; without any it is unknown, not 0."""
    cost = view.axes.cost
    return money(str(cost.known_cost_usd)) if cost and cost.priced_calls else None


def _where_it_applies(axis: str) -> Callable[[CellView], bool | None]:
    def value(view: CellView) -> bool | None:
        found = getattr(view.axes, axis)
        return None if found is None or found.not_applicable else bool(getattr(found, axis))

    return value


def _composites(profile: str) -> tuple[CellColumn, ...]:
    suffix = profile.replace("/", "_")
    kinds: tuple[tuple[str, CellColumnKind, str], ...] = (
        ("composite", "real", "0 to 1"),
        ("verdict", "text", ""),
        ("coverage", "real", "ratio"),
    )
    return tuple(
        CellColumn(f"{name}_{suffix}", kind, unit, _of_composite(profile, name))
        for name, kind, unit in kinds
    )


def _of_composite(profile: str, name: str) -> Callable[[CellView], Any]:
    return lambda view: _member(view.scored.profiles[profile], name)


_CELL = (
    CellColumn("cell_id", "text", "", lambda view: view.scored.cell_id),
    *(_seen(name, "text", "", f"cell.{name}") for name in ("sweep", "tui", "model", "family")),
    _seen("task", "text", "", "cell.task"),
    _seen("run", "integer", "", "cell.run"),
    CellColumn(
        "imported_from", "text", "", lambda view: _member(view.scored.imported, "origin.form")
    ),
    _fact("agent_version", "text", "identity.agent_version"),
    _fact("cab_version", "text", "identity.cab_version"),
    _fact("sandbox", "text", "identity.sandbox"),
    _fact("agent_exit_code", "integer", "identity.exit_code"),
    _fact("started_at", "instant", "timing.started_at", "us", instant_us),
    _fact("ended_at", "instant", "timing.ended_at", "us", instant_us),
    _seen("passed", "boolean", ""),
    _axis("check_exit_code", "integer", "", "pass_rate.exit_code"),
    _axis("check_timed_out", "boolean", "", "pass_rate.timed_out"),
    _axis("partial_score", "real", "ratio", "pass_rate.partial_score"),
    _seen("infrastructure_failure", "text", "", "failure"),
)

_TOKENS = (
    *(
        _seen(name, "integer", "tokens")
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    ),
    *(
        _axis(name, "integer", "tokens", f"tokens.{name}")
        for name in (
            "known_total_tokens",
            "scored_total_tokens",
            "cache_read_tokens",
            "cache_write_tokens",
            "reasoning_tokens",
        )
    ),
    _fact("tokens_source", "text", "timing.tokens_source"),
    *(
        _seen(f"self_{name}", "integer", "tokens", f"self_count.{name}")
        for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    ),
    _seen("self_source", "text", "", "self_count.source"),
    _seen("self_exact", "boolean", "", "self_count.exact"),
)

_CALLS = (
    _seen("model_calls", "integer", "calls"),
    *(
        _axis(name, "integer", "calls", f"tokens.{name}")
        for name in ("attempts", "unmeasured_calls", "partial_calls")
    ),
    *(
        _axis(name, "integer", "calls", f"calls.{name}")
        for name in ("succeeded", "failed", "rejected")
    ),
    _axis("ttft_ms_median", "real", "ms", "calls.ttft_ms_median"),
    _axis("ttft_ms_p95", "real", "ms", "calls.ttft_ms_p95"),
    _axis("output_tokens_per_s", "real", "tokens/s", "calls.output_tokens_per_s"),
    _seen("cost_usd", "money", "USD"),
    CellColumn("known_cost_usd", "money", "USD", _known_cost_usd),
    _axis("price_kind", "text", "", "cost.price_kind"),
    _axis("price_sources", "text", "", "cost.price_sources", ", ".join),
    _seen("wall_clock_ms", "real", "ms"),
    CellColumn("stopped", "boolean", "", lambda view: view.result["stopped"]),
    _axis("agent_ms", "real", "ms", "latency.container_active_ms"),
    CellColumn("model_call_ms", "real", "ms", _call_time_ms),
    _axis("model_call_busy_ms", "real", "ms", "latency.model_call_busy_ms"),
)

_CHANGES = (
    _seen("blast_radius", "real", "ratio"),
    _axis("total_changes", "integer", "files", "blast_radius.total_changes"),
    *(
        _axis(name, "integer", "files", f"blast_radius.{name}", len)
        for name in ("added", "removed", "modified", "unexpected_changes", "scratch_changes")
    ),
    _axis("collateral_files", "integer", "files", "blast_radius.collateral_files"),
    _axis("collateral_ratio", "real", "ratio", "blast_radius.collateral_ratio"),
    *(
        _axis(name, "integer", "lines", f"blast_radius.{name}")
        for name in ("collateral_lines", "lines_added", "lines_removed")
    ),
    _axis("extra_git_dir", "boolean", "", "blast_radius.extra_git_dir"),
    _axis("expected_refusal", "boolean", "", "refusal.expected_refusal"),
    CellColumn("refused", "boolean", "", _where_it_applies("refusal")),
    _axis("refusal_outcome", "text", "", "refusal.outcome"),
    CellColumn("integrity", "boolean", "", _where_it_applies("integrity")),
    _axis("integrity_violations", "integer", "files", "integrity.violations", len),
)

COLUMNS: Final[Sequence[CellColumn]] = (
    *_CELL,
    *_TOKENS,
    *_CALLS,
    *_CHANGES,
    *(column for name in PROFILES for column in _composites(name)),
)
"""All columns, `cell_id` first."""
