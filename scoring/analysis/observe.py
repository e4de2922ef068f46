"""Where observations come from: results of this library, axes, and rows of other people's tables."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, TypeVar, cast

from cab.scoring.analysis.observation import Failure, Observation, SelfCount
from cab.scoring.analysis.values import amount, count, is_missing, measure, plain, verdict
from cab.scoring.axes import Axes
from cab.scoring.cells.cell import SelfReport
from cab.scoring.errors import BadObservation, BadRecord
from cab.scoring.ids import CellId, parse_cell_id
from cab.scoring.prices.sources import PriceKind, weakest_kind
from cab.scoring.profiles.composite import Composite
from cab.scoring.timestamps import LONGEST_MS

_Value = TypeVar("_Value")

UNKNOWN = "unknown"
"""Part of a cell id that a row does not name."""

_PARTS = ("sweep", "tui", "model", "family", "task", "run")
_ALIASES = {"agent": "tui", "tokens": "total_tokens", "cell_id": "cell"}
"""Column -> the field or part that it is."""
_FIELDS = (*_PARTS, *Observation.__slots__)


def observe_row(row: Mapping[str, Any] | object) -> Observation:
    """Return one row of somebody's table as an observation; a task, a verdict and tokens are enough.

    Columns are the fields of `Observation`, `tokens` for `total_tokens`, `cell_id` for `cell`, or the
    parts of an id: `task` (also `family/task`), `agent` or `tui`, `model`, `sweep`, `family`, `run`. A
    part that is not there is `unknown`. None, NaN and pandas' NA are what was not measured. A column
    of another name is an error, so that a slip of the pen is not taken for unknown data.

    Args:
        row: A dict, a row of pandas (`df.to_dict("records")`, `df.iterrows()`), or a named tuple
            (`df.itertuples(index=False)`).

    Raises:
        BadObservation: It is not a row, it names no task, a column is not known or there twice, or a
            value cannot be used.
        BadCellId: A part cannot be part of a cell id.

    >>> observe_row({"task": "django-11099", "passed": True, "tokens": 120}).total_tokens
    120
    """
    values: dict[str, Any] = {}
    for column, value in _members(row).items():
        name = _ALIASES.get(column, column)
        if name not in _FIELDS:
            near = get_close_matches(column, (*_FIELDS, *_ALIASES), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BadObservation(None, column, f"is not a column of an observation{hint}")
        if name in values:
            raise BadObservation(None, column, "is there under another name too")
        values[name] = None if is_missing(value) else plain(value)
    parts = {part: values.pop(part) for part in _PARTS if part in values}
    cell = values.pop("cell", None)
    if cell is None:
        cell = _cell_of(parts)
    elif parts:
        raise BadObservation(str(cell), next(iter(parts)), "is there beside the id of the cell")
    return Observation(cell, **values)


def observe_axes(
    cell: str | CellId,
    axes: Axes,
    composite: Composite | float | None = None,
    *,
    stopped: bool = False,
    self_reported: SelfReport | None = None,
) -> Observation:
    """Return the axes of one cell, and its composite, as an observation.

    Args:
        cell: Its id.
        axes: Its axes; what they do not know is None.
        composite: Its composite, under one profile.
        stopped: Whether the agent was stopped at its time limit.
        self_reported: The agent's own count.

    Raises:
        BadCellId: The id is not a cell id.
        BadRecord: As for `observe`.
    """
    value = composite.composite if isinstance(composite, Composite) else composite
    own = None if self_reported is None else self_reported.model_dump(mode="json")
    result = {"cell_id": str(cell), **axes.model_dump(mode="json", by_alias=True)}
    return observe({**result, "composite": value, "stopped": stopped, "self_reported": own})


def observe(result: Mapping[str, Any]) -> Observation:
    """Return what aggregates need of one result of `score_path`, or of `ScoredCell.as_dict`.

    A published cell holds zeros where nothing was measured; they come out as None. A result that
    does not say whether the agent was stopped is taken to have ended by itself.

    Raises:
        BadCellId: The id is not a cell id.
        BadRecord: It is not an object, or a number is of the wrong type, negative or not finite.
    """
    if not isinstance(result, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
        raise BadRecord("result", None, f"is of type {type(result).__name__}, not an object")
    read = _Reader(result)
    # Only a published cell has calls and no attempts: its zeros mean that nothing was measured.
    attempts = read.count("tokens", "attempts")
    metered = attempts is not None or bool(read.count("tokens", "model_calls"))
    passed = read.passed()
    prompt, completion, total = read.tokens() if metered else (None, None, None)
    return Observation(
        cell=parse_cell_id(read.text("cell_id")),
        passed=passed,
        failure=_failure(passed, read),
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total,
        model_calls=read.count("tokens", "model_calls") if metered else None,
        cost_usd=read.money("cost", "cost_usd"),
        price_kind=read.price_kind(),
        wall_clock_ms=read.number("latency", "wall_clock_ms"),
        stopped=result.get("stopped") is True,
        blast_radius=read.number("blast_radius", "blast_radius", most=1),
        composite=read.number("composite", most=1),
        self_count=_self_count(result, read),
    )


def _members(row: object) -> dict[str, Any]:
    """Return the columns of a row and their values."""
    found: object = row
    for method in ("_asdict", "to_dict"):
        if not isinstance(found, Mapping) and callable(make := getattr(found, method, None)):
            found = make()
    if not isinstance(found, Mapping):
        raise BadObservation(None, None, f"a row of type {type(row).__name__} has no columns")
    columns = cast("Mapping[object, Any]", found)
    for column in columns:
        if not isinstance(column, str):
            raise BadObservation(None, str(column), "is not the name of a column")
    return {str(column): value for column, value in columns.items()}


def _cell_of(parts: Mapping[str, Any]) -> CellId:
    """Return the id of a row that names its parts."""
    texts: dict[str, str] = {}
    for part in _PARTS[:-1]:
        value = parts.get(part)
        if value is not None and not isinstance(value, str):
            raise BadObservation(None, part, "is not a text")
        texts[part] = value or UNKNOWN
    if not parts.get("task"):
        raise BadObservation(None, "task", "is missing: which task was it?")
    if parts.get("family") is None and "/" in texts["task"]:
        texts["family"], _, texts["task"] = texts["task"].partition("/")
    try:
        run = count(parts.get("run"))
    except ValueError as error:
        raise BadObservation(None, "run", str(error)) from None
    return CellId(**texts, run=run)


def _failure(passed: bool | None, read: "_Reader") -> Failure | None:
    if passed is None:
        # What is not said to be without verdicts is a check that failed.
        silent = read.get("imported", "verdicts") is False
        return "no_verdict" if silent else "check_did_not_run"
    succeeded = read.count("calls", "succeeded")
    if succeeded is None:  # the axis may be left out; without any attempt none succeeded
        succeeded = read.count("tokens", "attempts")
    return "no_model_call" if succeeded == 0 else None


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

    def number(self, *keys: str, most: float = LONGEST_MS) -> float | None:
        return self._checked(lambda found: measure(found, most), keys)

    def count(self, *keys: str) -> int | None:
        return self._checked(count, keys)

    def money(self, *keys: str) -> Decimal | None:
        return self._checked(amount, keys)

    def price_kind(self) -> PriceKind | None:
        """Return whose prices a cost is made of; None if the result does not say."""
        sources = self.get("cost", "price_sources")
        if not isinstance(sources, list):
            return None
        named = [each if isinstance(each, str) else None for each in cast("list[object]", sources)]
        return weakest_kind(named, int(bool(self.get("cost", "unpriced_calls"))))

    def passed(self) -> bool | None:
        return self._checked(verdict, ("pass_rate", "pass"))

    def tokens(self) -> tuple[int | None, int | None, int | None]:
        """Return prompt, completion and total; parts that contradict the total are not known."""
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        prompt, completion, total = (self.count("tokens", name) for name in names)
        known = sum(part for part in (prompt, completion) if part is not None)
        whole = prompt is not None and completion is not None
        if total is not None and (total < known or (whole and total != known)):
            return (
                None,
                None,
                total,
            )  # an endpoint may contradict itself; its total is what is scored
        return prompt, completion, total

    def _checked(self, check: Callable[[object], _Value], keys: tuple[str, ...]) -> _Value:
        try:
            return check(self.get(*keys))
        except ValueError as error:
            raise self._wrong(keys, str(error)) from None

    def _wrong(self, keys: tuple[str, ...], reason: str) -> BadRecord:
        where = self._result.get("path") or self._result.get("cell_id")
        return BadRecord(str(where), None, reason, field=".".join(keys))
