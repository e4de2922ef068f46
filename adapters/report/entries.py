"""One cell of a site as the pages of many cells see it: small, so that 10,000 of them fit into memory."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

import orjson

from cab.adapters.report.cell.facts import ReportCell
from cab.adapters.report.cell.scores import composite_figure
from cab.adapters.report.cell.summary import ShortVerdict, short_verdict
from cab.adapters.report.cell.tokens import total_cost
from cab.adapters.report.render.marks import Mark, MarkedText
from cab.adapters.report.render.numbers import duration, integer
from cab.scoring.analysis.observation import Observation
from cab.scoring.analysis.observe import observe
from cab.scoring.errors import BadCellId
from cab.scoring.ids import CellId, parse_cell_id
from cab.scoring.ledger.money import dollars
from cab.scoring.profiles.builtin import DEFAULT_PROFILE

_MOST_CHARS = 200
"""Longer texts of a result are no figures."""


@dataclass(slots=True)
class SiteEntry:
    """One cell of a site."""

    stem: str
    """Name of its page, badge and badge data, without suffix."""
    cell_id: str
    run_key: str
    """What tells two runs of one id apart."""
    result: bytes
    """`ScoredCell.as_dict` as JSON, without long texts and lists; see `observation`."""
    token_mark: Mark
    known_tokens: int | None
    cost: str | None
    cost_mark: Mark
    clock_mark: Mark
    composite: float | None
    """Under the default profile."""
    composite_mark: Mark
    started_at: str | None
    siblings_digest: str = ""
    """Of the siblings that its page shows."""

    @property
    def href(self) -> str:
        """Its page, from the site's folder."""
        return f"cells/{self.stem}.html"

    @property
    def parts(self) -> CellId | None:
        """Its id in parts; None if it cannot be split."""
        try:
            return parse_cell_id(self.cell_id)
        except BadCellId:
            return None

    @property
    def fields(self) -> dict[str, Any]:
        """The result, parsed anew each time."""
        return cast("dict[str, Any]", orjson.loads(self.result))

    def digest(self) -> bytes:
        """Return the digest of all that pages of other cells show of it."""
        marks = self.token_mark, self.cost_mark, self.clock_mark, self.composite_mark
        shown = self.stem, self.known_tokens, self.cost, *marks, self.started_at
        return sha256(repr(shown).encode() + self.result).digest()

    def observation(self) -> Observation:
        """Return the cell as `cab.scoring.aggregate` and `compare` take it.

        Raises:
            BadCellId: Its id cannot be split.
        """
        return observe(self.fields)

    def figures(self) -> "EntryFigures":
        """Return what lists of cells show of it."""
        fields = self.fields
        latency: dict[str, Any] = fields.get("latency") or {}
        tokens: dict[str, Any] = fields["tokens"]
        wall_ms: float | None = latency.get("wall_clock_ms")
        metered = tokens.get("attempts") is not None
        calls = tokens.get("model_calls") if metered else None
        cost_usd = None if self.cost is None else float(self.cost)
        return EntryFigures(
            verdict=short_verdict(fields["pass_rate"]["pass"]),
            tokens=MarkedText(integer(self.known_tokens), self.token_mark),
            calls=MarkedText(integer(calls)),
            calls_value=calls,
            cost=MarkedText(dollars(self.cost), self.cost_mark),
            cost_value=cost_usd,
            wall=MarkedText(duration(wall_ms), self.clock_mark),
            wall_ms=wall_ms,
        )


@dataclass(frozen=True, slots=True)
class EntryFigures:
    """What lists of cells show of one: texts with marks, and values to sort by."""

    verdict: ShortVerdict
    tokens: MarkedText
    calls: MarkedText
    calls_value: int | None
    cost: MarkedText
    cost_value: float | None
    wall: MarkedText
    wall_ms: float | None


def entry_of(cell: ReportCell, stem: str) -> SiteEntry:
    """Return a cell as an entry of a site."""
    tokens, cost = cell.axes.tokens, total_cost(cell)
    known = cell.total_tokens
    if known is None and cell.token_mark == "at least":
        known = tokens.known_total_tokens
    usd, found = cell.axes.cost, cell.scored.profiles[DEFAULT_PROFILE]
    return SiteEntry(
        stem=stem,
        cell_id=cell.cell_id,
        run_key=run_key(cell),
        result=_result(cell),
        token_mark=cell.token_mark,
        known_tokens=known,
        cost=None if cost.text is None or usd is None else usd.cost_usd or usd.known_cost_usd,
        cost_mark=cost.mark,
        clock_mark=cell.clock_mark,
        composite=found.composite,
        composite_mark=composite_figure(cell, found).mark,
        started_at=cell.scored.cell.timing.started_at if cell.scored.cell else None,
    )


def run_key(cell: ReportCell) -> str:
    """Return what tells two runs of one cell apart.

    That is when it ran, to the microsecond; of another harness's run the id that this gave it, or all its
    figures: files of different runs have the same name there.
    """
    found, run_id = cell.scored.cell, cell.scored.run_id
    if found is not None:
        return found.timing.started_at
    return repr(run_id) if run_id is not None else sha256(_result(cell)).hexdigest()


def _result(cell: ReportCell) -> bytes:
    # The id stays whole: without it the cell would be missing in every statistic of the site.
    return orjson.dumps({**_small(cell.scored.as_dict()), "cell_id": cell.cell_id})


def _small(value: object) -> Any:  # noqa: ANN401 - as JSON is
    """Return a result without long texts, lists and paths: figures, words and names are left."""
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {name: _small(each) for name, each in items if not _is_long(each) and name != "path"}
    return value


def _is_long(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and len(value) > _MOST_CHARS)
