"""Both composites with the sum behind them, and every key and value of the scorers."""

from collections.abc import Iterator
from typing import NamedTuple

import orjson

from cab.adapters.output.places import evidence
from cab.adapters.report.cell.facts import ReportCell, page_part
from cab.adapters.report.cell.scores import composite_figure
from cab.adapters.report.render.marks import MarkedText, words
from cab.adapters.report.render.numbers import ratio
from cab.adapters.report.render.visible import cut
from cab.scoring.axes import Axes
from cab.scoring.files import is_object
from cab.scoring.profiles.builtin import DEFAULT_PROFILE, PUBLISHED
from cab.scoring.profiles.composite import Composite, TermValue

_MOST_CHARS = 1200
"""Of one value; the whole is in `cell.json`."""
_MOST_KEYS = 60
"""Of one axis: a file from elsewhere may hold any number of them."""
_TAIL_CHARS = 300
"""Of what the check printed: it has a part of the page of its own."""


class SumRow(NamedTuple):
    """One line of a sum."""

    name: str
    weight: str
    value: str | MarkedText
    adds: str | MarkedText
    made_from: str
    is_granted: bool
    """Whether the profile gives credit for what was not measured."""


class CompositeSum(NamedTuple):
    """A composite, and the sum that makes it."""

    profile: str
    title: str
    rows: list[SumRow]
    divisor: str
    result: MarkedText
    remark: str
    note: str


class ScorerRow(NamedTuple):
    """One key of an axis."""

    axis: str
    axis_keys: int
    """Keys of the axis, with its first one; 0 with the others."""
    key: str
    value: str


def composite_sums(cell: ReportCell) -> list[CompositeSum]:
    """Return the composite of each profile, the default one first."""
    found = dict(cell.scored.profiles)
    found[cell.scored.composite.profile] = cell.scored.composite
    names = sorted(found, key=lambda name: (name != DEFAULT_PROFILE, name))
    return [_sum(cell, found[name]) for name in names]


_TITLES = {
    DEFAULT_PROFILE: "the default",
    PUBLISHED: "the published site's formula, defects included",
}


def _sum(cell: ReportCell, found: Composite) -> CompositeSum:
    remark = found.reason or found.verdict.replace("_", " ")
    return CompositeSum(
        profile=found.profile,
        title=_TITLES.get(found.profile, ""),
        rows=[*(_term(term, found) for term in found.terms), *_factors(found)],
        divisor=f"{found.divisor:.2f}",
        result=composite_figure(cell, found),
        remark=f"{remark}; coverage {found.coverage:.2f}",
        note=found.note,
    )


def _term(term: TermValue, found: Composite) -> SumRow:
    name, weight = term.name.replace("_", " "), f"{term.weight:.2f}"
    if term.value is None:
        left_out = term.state == "not_applicable"
        value = words("does not apply" if left_out else "unknown")
        adds = words("left out" if left_out else "adds nothing")
        return SumRow(name, weight, value, adds, term.made_from, is_granted=False)
    share = ratio(term.weight * term.value / found.divisor if found.divisor else None) or "–"
    value_text = ratio(term.value) or ""
    return SumRow(name, weight, value_text, share, term.made_from, is_granted=term.granted)


def _factors(found: Composite) -> Iterator[SumRow]:
    for factor in found.factors:
        name = factor.name.replace("_", " ")
        yield SumRow(name, "", f"× {factor.value:g}", "", "the sum is multiplied by it", False)


def scorer_rows(cell: ReportCell) -> list[ScorerRow]:
    """Return every key and value, by axis, under the published names."""
    axes = cell.axes.model_dump(mode="json", by_alias=True, exclude_unset=cell.is_published)
    shown = {axis: values for axis, values in axes.items() if axis in Axes.model_fields}
    return [
        ScorerRow(axis, min(len(values), _MOST_KEYS) * (not number), key, _value(key, value))
        for axis, values in (shown | {"composite": _published_composite(cell)}).items()
        if values
        for number, (key, value) in enumerate(list(values.items())[:_MOST_KEYS])
    ]


def _published_composite(cell: ReportCell) -> dict[str, object]:
    """Return the composite under the keys of the published page; of such a page its own one."""
    stated = page_part(cell, "scorers").get("composite")
    if is_object(stated):
        return stated
    found = cell.scored.profiles.get(PUBLISHED)
    return {} if found is None else found.model_dump(mode="json", include=_COMPOSITE_KEYS)


_COMPOSITE_KEYS = {"composite", "weights", "components", "note"}


def _value(key: str, value: object) -> str:
    text = orjson.dumps(evidence(value), default=str).decode()
    most = _TAIL_CHARS if key.endswith("_tail") else _MOST_CHARS
    return cut(text, most)
