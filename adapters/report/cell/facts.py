"""All that a page shows of one cell, whatever form it came in: a bundle, a published page, an import."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cab.adapters.report.cell.calls import PageCall, read_calls
from cab.adapters.report.cell.messages import PageMessages, read_messages
from cab.adapters.report.render.marks import Mark, mark_of
from cab.adapters.ui.cell_table import has_zeros_for_gaps
from cab.scoring.axes import Axes
from cab.scoring.cells.bundle import CALLS_FILE
from cab.scoring.cells.cell import CELL_SCHEMA, SelfReport
from cab.scoring.errors import BadCellId, BadRecord
from cab.scoring.files import is_list, is_object, read_object
from cab.scoring.ids import CellId, parse_cell_id
from cab.scoring.score import ScoredCell

MOST_SPANS = 1000
"""A run of ours has some ten; whoever writes a million does not make a page of a gigabyte."""


@dataclass(frozen=True, slots=True)
class PageSpan:
    """A span, of a bundle or of a published page."""

    span_id: str
    parent_id: str | None
    kind: str
    name: str
    start_ms: float | None
    """Offset from the cell's start; published pages have none."""
    duration_ms: float
    attrs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReportCell:
    """A scored cell with the evidence that its page shows."""

    scored: ScoredCell
    parts: CellId | None
    """Its id in parts; None of another harness's id that cannot be split."""
    page: dict[str, Any]
    """A published page, or a `cell.json` without its bundle, as parsed; empty for other cells."""
    spans: list[PageSpan]
    calls: list[PageCall]
    """In the order of their numbers."""
    messages: PageMessages | None = None
    """What was said in them; None if nobody kept it, or nobody asked for it."""

    @property
    def cell_id(self) -> str:
        """Which cell."""
        return self.scored.cell_id

    @property
    def axes(self) -> Axes:
        """Its axes."""
        return self.scored.axes

    @property
    def folder(self) -> Path | None:
        """The bundle; None if the cell is a file."""
        return None if self.scored.cell is None else self.scored.path

    @property
    def is_published(self) -> bool:
        """Whether it is a page of the published site, not a `cell.json` without its bundle."""
        return bool(self.page) and self.page.get("schema") != CELL_SCHEMA

    @property
    def agent(self) -> str:
        """The agent CLI."""
        return self.parts.tui if self.parts else self._split(1)

    @property
    def model(self) -> str:
        """Model as the endpoint names it."""
        return self.parts.model if self.parts else self._split(2)

    @property
    def task_id(self) -> str:
        """`family/task`."""
        return self.parts.task_id if self.parts else self.cell_id

    def _split(self, part: int) -> str:
        parts = self.cell_id.split("/")
        return parts[part] if part < len(parts) else "unknown"

    @property
    def zeros_for_gaps(self) -> bool:
        """Whether its token counts are a published page's zeros, which mean "not recorded"."""
        return has_zeros_for_gaps(self.axes.tokens)

    @property
    def total_tokens(self) -> int | None:
        """Tokens by the meter; None if they are not all known."""
        return None if self.zeros_for_gaps else self.axes.tokens.total_tokens

    @property
    def has_no_calls(self) -> bool:
        """Whether a meter was in between, and saw no call: then its zeros are measured."""
        return self.axes.tokens.attempts == 0

    @property
    def token_source(self) -> str | None:
        """Who counted them: `upstream`, `tokenizer`, or `mixed`."""
        sources = list(self.axes.tokens.by_source)
        return sources[0] if len(sources) == 1 else ("mixed" if sources else None)

    @property
    def token_mark(self) -> Mark:
        """The mark of their sum."""
        if self.total_tokens is not None:
            return "measured" if self.has_no_calls else mark_of(self.token_source)
        return "at least" if self.axes.tokens.known_total_tokens else "not recorded"

    @property
    def clock_mark(self) -> Mark:
        """The mark of what another harness's file says, and of what our own runner measured."""
        return "measured" if self.scored.imported is None else "self-reported"

    @property
    def self_reported(self) -> SelfReport | None:
        """The agent's own count."""
        return self.scored.self_reported

    @property
    def prompt(self) -> str | None:
        """What the agent was asked; None if nobody wrote it down.

        A published page has it only as an argument of the agent.
        """
        if self.scored.cell is not None:
            return self.scored.cell.task.prompt
        said = page_part(self, "task").get("prompt")
        if isinstance(said, str):
            return said
        words = [word for span in self.spans for word in _arguments(span)]
        pairs = pairwise(words)
        return next((after for flag, after in pairs if flag in _PROMPT_FLAGS), None)


def read_report_cell(scored: ScoredCell, *, with_messages: bool = False) -> ReportCell:
    """Return a scored cell with its evidence.

    Args:
        scored: The cell.
        with_messages: Whether what was said in its calls may be shown, where it was kept.

    Raises:
        BadRecord: A file of it cannot be read.
    """
    cell, page = scored.cell, _page(scored)
    started_at = None if cell is None else cell.timing.started_at
    file = scored.path / CALLS_FILE
    calls = read_calls(file, started_at) if started_at and file.is_file() else []
    shows = with_messages and bool(calls)
    return ReportCell(
        scored=scored,
        parts=_parts(scored.cell_id),
        page=page,
        spans=_spans(scored, page)[:MOST_SPANS],
        calls=calls,
        messages=read_messages(scored.path, scored.cell_id, calls) if shows else None,
    )


def _parts(cell_id: str) -> CellId | None:
    try:
        return parse_cell_id(cell_id)
    except BadCellId:
        return None


def _page(scored: ScoredCell) -> dict[str, Any]:
    if scored.cell is not None or scored.imported is not None:
        return {}
    try:
        return read_object(scored.path)
    except BadRecord:
        return {"identity": {"cell_id": scored.cell_id}}  # a page as text: its scores are read


def _spans(scored: ScoredCell, page: dict[str, Any]) -> list[PageSpan]:
    if scored.cell is not None:
        return [
            PageSpan(s.span_id, s.parent_id, s.kind, s.name, s.start_ms, s.duration_ms, s.attrs)
            for s in scored.cell.spans
        ]
    found = page.get("spans")
    return [_page_span(span) for span in found if is_object(span)] if is_list(found) else []


def _page_span(span: dict[str, Any]) -> PageSpan:
    start, length, attrs = (span.get(name) for name in ("start_ms", "duration_ms", "attrs"))
    return PageSpan(
        span_id=_text(span.get("span_id")),
        parent_id=_text(span.get("parent_id")) or None,
        kind=_text(span.get("kind")),
        name=_text(span.get("name")),
        start_ms=_time(start),
        duration_ms=_time(length) or 0.0,
        attrs=attrs if is_object(attrs) else {},
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _time(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < 10**12 else None


_PROMPT_FLAGS = frozenset({"--message", "-m", "--prompt", "-p", "--task", "-t"})


def _arguments(span: PageSpan) -> list[str]:
    """Return the arguments that an agent was started with."""
    found = span.attrs.get("argv", span.attrs.get("command"))
    return [word for word in found if isinstance(word, str)] if is_list(found) else []


def page_part(cell: ReportCell, name: str) -> dict[str, Any]:
    """Return a part of the page that a cell is from; empty if it is from none, or has no such part."""
    found = cell.page.get(name)
    return found if is_object(found) else {}
