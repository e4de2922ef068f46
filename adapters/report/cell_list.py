"""The page that lists all cells of a site: sortable, filterable, a row for each."""

from collections.abc import Sequence

from cab.adapters.report.entries import SiteEntry
from cab.adapters.report.render.environment import render
from cab.adapters.report.render.frame import PageFrame
from cab.adapters.report.render.marks import MarkedText, mark_class
from cab.adapters.report.render.numbers import ratio
from cab.adapters.report.render.script_data import ColumnData, json_for_script

TEMPLATE = "list.html.j2"
FILE = "cells.html"

COLUMNS = (
    *(("task", False), ("agent", False), ("model", False), ("run", True), ("sweep", False)),
    *(("result", False), ("tokens", True), ("calls", True), ("cost", True), ("wall", True)),
    ("composite", True),
)
"""Title of each column, and whether it holds numbers."""


def list_page(entries: Sequence[SiteEntry]) -> str:
    """Return the page.

    Args:
        entries: The cells, in the order in which they are listed.
    """
    columns = [column.as_data() for column in _columns(entries)]
    return render(
        TEMPLATE,
        frame=PageFrame(root=""),
        page_file=FILE,
        title="Cells",
        columns=COLUMNS,
        entries=entries if len(entries) <= _NAMED_WITHOUT_SCRIPT else [],
        number=len(entries),
        data=json_for_script({"bad": [], "columns": columns}),
    )


_NAMED_WITHOUT_SCRIPT = 2000
"""Up to so many cells the page names also where no script runs."""


def _columns(entries: Sequence[SiteEntry]) -> list[ColumnData]:
    figures = [entry.figures() for entry in entries]
    parts = [entry.parts for entry in entries]
    verdicts = [each.verdict.word for each in figures]

    def texts(name: str) -> list[str]:
        return ["–" if part is None else str(getattr(part, name) or "–") for part in parts]

    def text_column(values: list[str]) -> ColumnData:
        return ColumnData("text", values, values)

    runs = [None if part is None else part.run for part in parts]
    names = [e.cell_id if p is None else p.task_id for e, p in zip(entries, parts, strict=True)]
    composites = [MarkedText(ratio(e.composite), e.composite_mark) for e in entries]
    bad = [each.verdict.is_bad for each in figures]
    return [
        ColumnData("link", names, names, href=[entry.href for entry in entries]),
        *(text_column(texts(name)) for name in ("tui", "model")),
        ColumnData("number", ["–" if run is None else str(run) for run in runs], runs),
        text_column(texts("sweep")),
        ColumnData("text", verdicts, verdicts, alarm=bad),
        _marked([each.tokens for each in figures], [entry.known_tokens for entry in entries]),
        _marked([each.calls for each in figures], [each.calls_value for each in figures]),
        _marked([each.cost for each in figures], [each.cost_value for each in figures]),
        _marked([each.wall for each in figures], [each.wall_ms for each in figures]),
        _marked(composites, [entry.composite for entry in entries]),
    ]


def _marked(texts: list[MarkedText], values: Sequence[float | None]) -> ColumnData:
    marks = ["" if text.text is None else mark_class(text.mark) for text in texts]
    return ColumnData("number", [text.text or "–" for text in texts], values, mark=marks)
