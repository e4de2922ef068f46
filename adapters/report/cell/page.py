"""The page of a cell, put together from its parts."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cab.adapters.report.cell.calls import COLUMNS, ROWS_IN_PAGE, call_rows, calls_as_columns
from cab.adapters.report.cell.changes import page_changes
from cab.adapters.report.cell.check import check_lines, printed_texts
from cab.adapters.report.cell.commands import paste_blocks
from cab.adapters.report.cell.composites import composite_sums, scorer_rows
from cab.adapters.report.cell.embed import cell_badge, embed_snippets
from cab.adapters.report.cell.facts import ReportCell
from cab.adapters.report.cell.identity import identity_rows, timing_rows
from cab.adapters.report.cell.recording import page_recording
from cab.adapters.report.cell.scores import score_figures
from cab.adapters.report.cell.steps import TraceStep, attr_rows, end_ms, has_times, trace_steps
from cab.adapters.report.cell.summary import summary
from cab.adapters.report.cell.time_split import split_bar, time_shares
from cab.adapters.report.cell.timeline import timeline
from cab.adapters.report.cell.tokens import own_sentence, source_rows, total_cost
from cab.adapters.report.cell.totals import calls_total
from cab.adapters.report.cell.trust import deviation_rows, seal_rows, verified, verify_commands
from cab.adapters.report.render.badge import BadgeText, badge_svg
from cab.adapters.report.render.environment import render
from cab.adapters.report.render.frame import PageFrame
from cab.adapters.report.render.script_data import json_for_script, utf8

TEMPLATE = "cell.html.j2"

MESSAGES_SUFFIX = ".messages.js"
"""End of the name of the script beside a page that holds its messages."""


@dataclass(frozen=True, slots=True)
class CellPage:
    """A rendered page, and its badge."""

    html: str
    badge: BadgeText
    messages: str | None
    """The script that holds what was said, beside the page; None if there is none."""


def cell_page(cell: ReportCell, stem: str, base_url: str, frame: PageFrame) -> CellPage:
    """Return the page of a cell.

    Args:
        cell: The cell.
        stem: Name of the page without its suffix.
        base_url: Where the site will be, for embeds.
        frame: What is around it.

    Raises:
        BadRecord: A file of the cell cannot be read.
    """
    steps, recording, badge = trace_steps(cell), page_recording(cell), cell_badge(cell)
    html = render(
        TEMPLATE,
        frame=frame,
        cell=cell,
        title=f"{cell.agent} × {cell.model}, {cell.task_id}",
        has_player=recording is not None,
        recording=recording,
        cast=None if recording is None else json_for_script(utf8(recording.cast)),
        base_url=base_url,
        badge=Markup(badge_svg(badge)),
        embeds=embed_snippets(cell, stem, base_url),
        **_result(cell),
        **_trace(cell, steps),
        **_calls(cell),
        **_evidence(cell),
        **_said(cell, stem, is_single=frame.root is None),
    )
    beside = None if cell.messages is None or frame.root is None else cell.messages.as_script()
    return CellPage(html, badge, beside)


def _said(cell: ReportCell, stem: str, *, is_single: bool) -> dict[str, Any]:
    messages = cell.messages
    if messages is None:
        return {"said_data": None, "said_faults": 0}
    file = None if is_single else f"{stem}{MESSAGES_SUFFIX}"
    return {"said_data": json_for_script(messages.as_index(file)), "said_faults": messages.faults}


def _result(cell: ReportCell) -> dict[str, Any]:
    wall_ms = cell.axes.latency.wall_clock_ms if cell.axes.latency else 0.0
    split = bool(cell.calls) and wall_ms > 0
    return {
        "summary": summary(cell),
        "split_bar": split_bar(cell.calls, wall_ms) if split else None,
        "time_shares": time_shares(cell.calls, wall_ms) if split else [],
        "scores": score_figures(cell),
        "identity": identity_rows(cell),
        "timing": timing_rows(cell),
        "sources": source_rows(cell),
        "cost": total_cost(cell),
        "own_sentence": own_sentence(cell),
        "sums": composite_sums(cell),
        "scorer_rows": scorer_rows(cell),
    }


def _trace(cell: ReportCell, steps: list[TraceStep]) -> dict[str, Any]:
    last_ms = end_ms(cell, steps)
    replay = has_times(cell) and last_ms > 0
    data = {"end": round(last_ms, 3), "steps": [step.as_data() for step in steps]}
    return {
        "steps": steps,
        "span_steps": [step for step in steps if step.span is not None],
        "attrs": {step.number: list(attr_rows(step.span)) for step in steps if step.span},
        "timeline": timeline(steps, last_ms) if replay else None,
        "end_ms": last_ms,
        "trace_data": json_for_script(data) if replay else None,
    }


def _calls(cell: ReportCell) -> dict[str, Any]:
    many = len(cell.calls) > ROWS_IN_PAGE
    return {
        "call_columns": COLUMNS,
        "call_rows": [] if many else call_rows(cell.calls),
        "call_data": json_for_script(calls_as_columns(cell.calls)) if many else None,
        "calls_total": calls_total(cell),
    }


def _evidence(cell: ReportCell) -> dict[str, Any]:
    return {
        "changes": page_changes(cell),
        "check_lines": check_lines(cell.axes.pass_rate.stdout_tail),
        "printed": printed_texts(cell),
        "blocks": paste_blocks(cell),
        "deviations": deviation_rows(cell),
        "seal": seal_rows(cell),
        "verified": verified(cell),
        "verify_commands": verify_commands(cell),
    }
