"""The axes of a cell as figures: what came out, who measured it, and what it was made from."""

from collections.abc import Iterator
from typing import NamedTuple

from cab.adapters.report.cell.facts import ReportCell
from cab.adapters.report.render.marks import MarkedText, measured, words
from cab.adapters.report.render.numbers import duration, integer, percent, ratio
from cab.scoring.printable import counted
from cab.scoring.profiles.builtin import DEFAULT_PROFILE, PUBLISHED
from cab.scoring.profiles.composite import Composite

NO_AXIS = words("not recorded")


class ScoreFigure(NamedTuple):
    """One axis."""

    name: str
    """As on the published page."""
    value: MarkedText
    why: str
    """What it was made from."""


def score_figures(cell: ReportCell) -> list[ScoreFigure]:
    """Return the axes in the order of the published page, and both composites."""
    return [
        _pass(cell),
        _tokens(cell),
        _wall(cell),
        _blast(cell),
        _refusal(cell),
        _integrity(cell),
        *_composites(cell),
    ]


def _marked(cell: ReportCell, text: str | None, by: str) -> MarkedText:
    return MarkedText(text, cell.clock_mark, by if cell.scored.imported is None else "its own file")


def _pass(cell: ReportCell) -> ScoreFigure:
    axis = cell.axes.pass_rate
    if axis.passed is None:
        return ScoreFigure("Pass", words("no verdict"), axis.reason or "")
    why = "" if axis.exit_code is None else f"exit {axis.exit_code} of the check"
    if axis.timed_out:
        why = "the check was stopped at its time limit"
    if axis.partial_score is not None:
        why += f"{'; ' if why else ''}{percent(axis.partial_score)} of its questions"
    value = _marked(cell, ratio(axis.passed), "the task's own check")
    return ScoreFigure("Pass", value, why)


_COUNTED = {
    "upstream": "reported by the endpoint",
    "tokenizer": "counted here: the endpoint reported none",
    "mixed": "reported by the endpoint, or counted here where it reported none",
}


def _tokens(cell: ReportCell) -> ScoreFigure:
    tokens, name = cell.axes.tokens, "Tokens/correct"
    per_correct = None if cell.zeros_for_gaps else tokens.tokens_per_correct_task
    if per_correct is not None:
        by = _COUNTED.get(cell.token_source or "", "")
        return ScoreFigure(name, MarkedText(integer(per_correct), cell.token_mark, by), by)
    if cell.axes.pass_rate.passed == 0:
        return ScoreFigure(name, words("none"), "it did not pass")
    if tokens.known_total_tokens:
        known = MarkedText(integer(tokens.known_total_tokens), "at least")
        missed = counted(tokens.unmeasured_calls or 0, "call")
        return ScoreFigure(name, known, f"{missed} without a count")
    return ScoreFigure(name, NO_AXIS, _said(cell))


def _said(cell: ReportCell) -> str:
    own = cell.self_reported
    if own is None or own.total_tokens is None:
        return "no meter was in between"
    return f"no meter was in between; its own count is “{integer(own.total_tokens)}”"


def _wall(cell: ReportCell) -> ScoreFigure:
    axis = cell.axes.latency
    if axis is None:
        return ScoreFigure("Wall", NO_AXIS, "")
    busy_ms, agent_ms = axis.model_call_busy_ms, axis.container_active_ms
    why = "model time not recorded"
    if busy_ms is not None:
        why = f"model {duration(busy_ms)}"
        if agent_ms is not None:
            why += f", agent {duration(max(0.0, agent_ms - busy_ms))}"
    value = _marked(cell, duration(axis.wall_clock_ms), "the runner's clock")
    return ScoreFigure("Wall", value, why)


def _blast(cell: ReportCell) -> ScoreFigure:
    axis = cell.axes.blast_radius
    if axis is None:
        return ScoreFigure("Blast", NO_AXIS, "")
    if axis.reason is not None:
        return ScoreFigure("Blast", NO_AXIS, axis.reason)
    by = "file trees before and after"
    if axis.collateral_ratio is None:
        why = "as published: scratch files are not told apart"
        return ScoreFigure("Blast", measured(ratio(axis.blast_radius), by), why)
    why = f"{counted(axis.collateral_files or 0, 'file')} beside the task"
    if axis.scratch_changes:
        scratch = counted(len(axis.scratch_changes), "scratch file")
        why += f"; {ratio(axis.blast_radius)} as published, with {scratch}"
    return ScoreFigure("Blast", measured(ratio(axis.collateral_ratio), by), why)


def _refusal(cell: ReportCell) -> ScoreFigure:
    axis = cell.axes.refusal
    if axis is None:
        return ScoreFigure("Refusal", NO_AXIS, "")
    outcome = (axis.outcome or "").replace("_", " ")
    if axis.not_applicable:
        return ScoreFigure("Refusal", words("does not apply"), "the task wants none")
    verdict = {True: "yes", False: "no", None: None}[axis.refusal_correct]
    why = f"a refusal was due; outcome: {outcome}" if outcome else "a refusal was due"
    return ScoreFigure("Refusal", measured(verdict, "files that it left"), why)


def _integrity(cell: ReportCell) -> ScoreFigure:
    axis = cell.axes.integrity
    if axis is None:
        return ScoreFigure("Integrity", NO_AXIS, "")
    if axis.not_applicable:
        why = "the task protects nothing"
        return ScoreFigure("Integrity", words("does not apply"), why)
    violations = axis.violations or []
    why = "; ".join(violations) if violations else "protected files are as they were"
    by = "digests of protected files"
    return ScoreFigure("Integrity", measured(ratio(axis.integrity), by), why)


def _composites(cell: ReportCell) -> Iterator[ScoreFigure]:
    for name, profile in (("Composite", DEFAULT_PROFILE), ("As published", PUBLISHED)):
        found = cell.scored.profiles.get(profile)
        if found is not None:
            yield ScoreFigure(name, composite_figure(cell, found), _composite_why(found))


def composite_figure(cell: ReportCell, found: Composite) -> MarkedText:
    """Return a composite with the weakest mark of what it is made from."""
    if found.composite is None:
        return words("not scored")
    estimated = cell.token_mark == "estimated"
    counted = any(
        term.component.endswith("cost_efficiency") and term.value and not term.granted
        for term in found.terms
    )
    mark = "estimated" if estimated and counted else cell.clock_mark
    return MarkedText(ratio(found.composite), mark, found.profile)


def _composite_why(found: Composite) -> str:
    if found.composite is None:
        return f"{found.profile}: {found.reason or found.verdict}"
    return f"{found.profile}, coverage {found.coverage:.2f}"
