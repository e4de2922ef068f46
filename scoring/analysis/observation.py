"""One cell, as far as aggregates need it: checked when it is made, whoever makes it."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

from cab.scoring.analysis.values import amount, count, flag, measure, verdict
from cab.scoring.errors import BadObservation
from cab.scoring.ids import CellId, parse_cell_id
from cab.scoring.introspection.field_texts import with_field_texts
from cab.scoring.prices.sources import PriceKind

NO_VERDICT = "no_verdict"
Failure = Literal["check_did_not_run", "no_model_call", "no_verdict"]
"""Why a cell says nothing about the agent: its check gave no verdict, it was metered and no model
call succeeded, or nothing holds a verdict, which is not a failure."""
_FAILURES: tuple[str, ...] = get_args(Failure)


@with_field_texts
@dataclass(frozen=True, slots=True)
class SelfCount:
    """The agent's own count of a cell's tokens. It may be wrong; that is what `reconcile` shows.

    Raises:
        BadObservation: A value is not of the kind that its field takes.
    """

    source: str
    """Where it says so, such as `tui_stdout`."""
    exact: bool = True
    """False where it prints rounded figures, or leaves calls out."""
    prompt_tokens: int | None = None
    """Tokens sent."""
    completion_tokens: int | None = None
    """Tokens received."""
    total_tokens: int | None = None
    """Both, if it says so."""

    def __post_init__(self) -> None:
        if not isinstance(self.source, str) or not self.source:  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            raise BadObservation(None, "self_count.source", "is not a text")
        _set(self, None, "self_count.exact", flag)
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            _set(self, None, f"self_count.{name}", count)


@with_field_texts
@dataclass(frozen=True, slots=True)
class Observation:
    """One cell, as far as aggregates need it; None is what was not measured.

    Scalars of numpy count as what they hold. Texts are no numbers and no verdicts.

    Raises:
        BadCellId: The cell is a text and no cell id.
        BadObservation: A value is not of the kind that its field takes, or two contradict each other:
            a total that is not the sum of its parts, a verdict beside a check that did not run.
    """

    cell: CellId
    """Which cell; may be given as text."""
    passed: bool | None = None
    """The verdict; may be given as 1 or 0. None if there is none."""
    failure: Failure | None = None
    """Set where the cell says nothing about the agent; `no_verdict` where there is no verdict and nothing
    else is given. A time-out is the agent's own: `stopped`."""
    prompt_tokens: int | None = None
    """Tokens read, cached ones included."""
    completion_tokens: int | None = None
    """Tokens written, reasoning included."""
    total_tokens: int | None = None
    """Sum of both; made from them where it is not given."""
    model_calls: int | None = None
    """Model calls; attempts of one call count once."""
    cost_usd: Decimal | None = None
    """US dollars, of a number or decimal text; None unless the price of every call is known."""
    price_kind: PriceKind | None = None
    """Whose prices these are: those of the weakest source among them; None if nobody says."""
    wall_clock_ms: float | None = None
    """Duration of the cell in milliseconds."""
    stopped: bool = False
    """Whether the agent was stopped at its time limit, so that it would have taken longer."""
    blast_radius: float | None = None
    """Unexpected changes over all changes, from 0 to 1."""
    composite: float | None = None
    """From 0 to 1, under the profile that the result was made with."""
    self_count: SelfCount | None = None
    """The agent's own count, if it gives one."""

    @property
    def decided(self) -> bool:
        """Whether the cell says something about the agent."""
        return self.failure is None

    def __post_init__(self) -> None:
        if isinstance(self.cell, str):
            object.__setattr__(self, "cell", parse_cell_id(self.cell))
        elif not isinstance(self.cell, CellId):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            raise BadObservation(None, "cell", "is neither a CellId nor a text")
        for field, check in _CHECKS.items():
            _set(self, self.cell, field, check)
        if self.self_count is not None and not isinstance(self.self_count, SelfCount):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            raise BadObservation(str(self.cell), "self_count", "is not a SelfCount")
        self._check_failure()
        self._check_sum()

    def _check_failure(self) -> None:
        if self.failure is None:
            if self.passed is None:
                object.__setattr__(self, "failure", NO_VERDICT)
            return
        if self.failure not in _FAILURES:
            known = ", ".join(_FAILURES)
            reason = f"is not one of {known}; a time-out is the agent's own: stopped=True"
            raise BadObservation(str(self.cell), "failure", reason)
        if self.passed is not None and self.failure != "no_model_call":
            reason = f"is {self.failure!r} beside a verdict: passed={self.passed}"
            raise BadObservation(str(self.cell), "failure", reason)

    def _check_sum(self) -> None:
        prompt, completion, total = self.prompt_tokens, self.completion_tokens, self.total_tokens
        known = sum(part for part in (prompt, completion) if part is not None)
        whole = prompt is not None and completion is not None
        if total is None:
            if whole:
                object.__setattr__(self, "total_tokens", known)
        elif total < known or (whole and total != known):
            parts = f"{known} in prompt_tokens and completion_tokens"
            raise BadObservation(str(self.cell), "total_tokens", f"is {total} with {parts}")


def _share(value: object) -> float | None:
    return measure(value, 1)


_CHECKS: dict[str, Callable[[Any], object]] = {
    "passed": verdict,
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens", "model_calls"), count),
    "cost_usd": amount,
    "wall_clock_ms": measure,
    "stopped": flag,
    "blast_radius": _share,
    "composite": _share,
}


def _set(owner: object, cell: CellId | None, field: str, check: Callable[[Any], object]) -> None:
    """Replace a field by what its check makes of it."""
    name = field.rpartition(".")[2]
    try:
        object.__setattr__(owner, name, check(getattr(owner, name)))
    except ValueError as error:
        where = None if cell is None else str(cell)
        raise BadObservation(where, field, str(error)) from None
