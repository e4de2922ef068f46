"""What aggregates see of a cell: one flat result of `cab score --json`, checked and reduced."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import inf
from typing import Any, Literal, cast

from cab.scoring.errors import BadRecord
from cab.scoring.ids import CellId, parse_cell_id

NO_VERDICT = "no_verdict"
Failure = Literal["check_did_not_run", "no_model_call", "no_verdict"]
"""Why a cell says nothing about the agent: its check gave no verdict, it was metered and no model
call succeeded, or it is of a kind of file that holds no verdicts, which is not a failure."""


@dataclass(frozen=True, slots=True)
class SelfCount:
    """The agent's own count of a cell's tokens."""

    source: str
    """Where it says so, such as `tui_stdout`."""
    exact: bool
    """False where it prints rounded figures."""
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None


@dataclass(frozen=True, slots=True)
class Observation:
    """One cell, as far as aggregates need it; None is what was not measured."""

    cell: CellId
    """Which cell."""
    passed: bool | None
    """The check's verdict; None if it did not run."""
    failure: Failure | None
    """Set where the cell says nothing about the agent."""
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    model_calls: int | None
    """Model calls; attempts of one call count once."""
    cost_usd: Decimal | None
    """None unless the price of every call is known."""
    wall_clock_ms: float | None
    """Duration of the cell."""
    stopped: bool
    """Whether the agent was stopped at its time limit, so that it would have taken longer."""
    blast_radius: float | None
    """Unexpected changes over all changes."""
    composite: float | None
    """Under the profile that the result was made with."""
    self_count: SelfCount | None
    """The agent's own count, if it gives one."""

    @property
    def decided(self) -> bool:
        """Whether the cell says something about the agent."""
        return self.failure is None


def observe(result: Mapping[str, Any]) -> Observation:
    """Return what aggregates need of one result of `score_path`, or of `ScoredCell.as_dict`.

    A published cell holds zeros where nothing was measured; they come out as None. A result that
    does not say whether the agent was stopped is taken to have ended by itself.

    Raises:
        BadCellId: The id is not a cell id.
        BadRecord: A number is of the wrong type, negative or not finite.
    """
    read = _Reader(result)
    # Only a published cell has calls and no attempts: its zeros mean that nothing was measured.
    attempts = read.count("tokens", "attempts")
    metered = attempts is not None or bool(read.count("tokens", "model_calls"))
    passed = read.passed()
    return Observation(
        cell=parse_cell_id(read.text("cell_id")),
        passed=passed,
        failure=_failure(passed, read),
        prompt_tokens=read.count("tokens", "prompt_tokens") if metered else None,
        completion_tokens=read.count("tokens", "completion_tokens") if metered else None,
        total_tokens=read.count("tokens", "total_tokens") if metered else None,
        model_calls=read.count("tokens", "model_calls") if metered else None,
        cost_usd=read.money("cost", "cost_usd"),
        wall_clock_ms=read.number("latency", "wall_clock_ms"),
        stopped=result.get("stopped") is True,
        blast_radius=read.number("blast_radius", "blast_radius"),
        composite=read.number("composite"),
        self_count=_self_count(result, read),
    )


def _failure(passed: bool | None, read: "_Reader") -> Failure | None:
    if passed is None:
        # What is not said to be without verdicts is a check that failed.
        silent = read.get("imported", "verdicts") is False
        return "no_verdict" if silent else "check_did_not_run"
    return "no_model_call" if read.count("calls", "succeeded") == 0 else None


def _self_count(result: Mapping[str, Any], read: "_Reader") -> SelfCount | None:
    if result.get("self_reported") is None:
        return None
    return SelfCount(
        source=read.text("self_reported", "source"),
        exact=read.get("self_reported", "exact") is True,
        prompt_tokens=read.count("self_reported", "prompt_tokens"),
        completion_tokens=read.count("self_reported", "completion_tokens"),
        total_tokens=read.count("self_reported", "total_tokens"),
    )


class _Reader:
    """Reads the members of a result, and names those that are wrong."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        self._result = result

    def get(self, *keys: str) -> object:
        found: object = self._result
        for key in keys:
            if found is None:
                return None
            if not isinstance(found, Mapping):
                raise self._wrong(keys, "is not in an object")
            found = cast("Mapping[str, object]", found).get(key)
        return found

    def text(self, *keys: str) -> str:
        found = self.get(*keys)
        if not isinstance(found, str):
            raise self._wrong(keys, "is not a text")
        return found

    def number(self, *keys: str) -> float | None:
        found = self.get(*keys)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found < inf:
            raise self._wrong(keys, f"is {found!r}, which is not a measurement")
        return found

    def count(self, *keys: str) -> int | None:
        found = self.number(*keys)
        if isinstance(found, float):
            raise self._wrong(keys, f"is {found!r}, which is not a count")
        return found

    def money(self, *keys: str) -> Decimal | None:
        found = self.get(*keys)
        if found is None:
            return None
        try:
            amount = Decimal(str(found))
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or amount < 0:
            raise self._wrong(keys, f"is {found!r}, which is not an amount of money")
        return amount

    def passed(self) -> bool | None:
        found = self.get("pass_rate", "pass")
        if found not in (None, 0, 1):
            raise self._wrong(("pass_rate", "pass"), f"is {found!r}, which is not a verdict")
        return None if found is None else bool(found)

    def _wrong(self, keys: tuple[str, ...], reason: str) -> BadRecord:
        where = self._result.get("path") or self._result.get("cell_id")
        return BadRecord(str(where), None, reason, field=".".join(keys))
