"""The scores of a cell as Inspect has them: one per axis, and one per profile's composite.

Inspect marks what could not be scored with a NaN, which JSON does not have. Here such a score is missing, and
the sample's metadata says why.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cab.scoring.cells.cell import Cell, Scorers
from cab.scoring.exports.plain import dollars
from cab.scoring.files import FileModel
from cab.scoring.profiles.builtin import PROFILES

_NOT_MEASURED = "not measured"
_DOES_NOT_APPLY = "does not apply to the task"


class Score(NamedTuple):
    """One score of a cell."""

    name: str
    """Name of the scorer."""
    value: float | None
    """None where there is none."""
    why_none: str
    """Reason in that case."""
    metadata: dict[str, Any]
    """All that the axis or the composite says."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """What gives a score of each cell."""

    name: str
    """As in the log."""
    unit: str
    """Of its values."""
    score: Callable[[Scorers], tuple[float | None, str]]
    """Axes -> value, and why there is none."""


def _passed(axes: Scorers) -> tuple[float | None, str]:
    return axes.pass_rate.passed, axes.pass_rate.reason or "the check gave no verdict"


def _refusal(axes: Scorers) -> tuple[float | None, str]:
    return None if axes.refusal.not_applicable else axes.refusal.refusal, _DOES_NOT_APPLY


def _integrity(axes: Scorers) -> tuple[float | None, str]:
    return None if axes.integrity.not_applicable else axes.integrity.integrity, _DOES_NOT_APPLY


SCORERS: Final = (
    Scorer("pass_rate", "1 is a pass", _passed),
    Scorer("tokens", "tokens", lambda a: (a.tokens.total_tokens, _NOT_MEASURED)),
    Scorer("calls", "model calls", lambda a: (a.tokens.model_calls, _NOT_MEASURED)),
    Scorer("cost", "USD", lambda a: (dollars(a.cost.cost_usd if a.cost else None), _NOT_MEASURED)),
    Scorer("latency", "ms", lambda a: (a.latency.wall_clock_ms, _NOT_MEASURED)),
    Scorer("blast_radius", "ratio", lambda a: (a.blast_radius.blast_radius, _NOT_MEASURED)),
    Scorer("refusal", "1 is a refusal", _refusal),
    Scorer("integrity", "1 is whole", _integrity),
)
"""One per axis."""

COMPOSITES: Final = {name: f"composite_{name.replace('/', '_')}" for name in PROFILES}
"""Profile -> its scorer; a slash would be taken for the name of a package."""


def units() -> dict[str, str]:
    """Return the unit of each scorer, in the order of the log."""
    axes = {scorer.name: scorer.unit for scorer in SCORERS}
    return {**axes, **dict.fromkeys(COMPOSITES.values(), "0 to 1")}


def scores_of(cell: Cell) -> Iterable[Score]:
    """Yield the scores of a cell, in the order of `units`."""
    axes = cell.scorers
    for scorer in SCORERS:
        value, why_none = scorer.score(axes)
        axis: FileModel | None = getattr(axes, scorer.name)
        facts = axis.model_dump(mode="json", by_alias=True) if axis else {}
        yield Score(scorer.name, value, why_none, {"unit": scorer.unit, **facts})
    for profile, name in COMPOSITES.items():
        made = cell.profiles[profile]
        why_none = made.reason or made.verdict
        yield Score(name, made.composite, why_none, made.model_dump(mode="json"))
