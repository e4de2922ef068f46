"""The sentence at the top: verdict, time, calls, tokens, money, side effects, and the agent's own claim."""

from collections.abc import Iterator
from typing import NamedTuple

from markupsafe import Markup

from cab.adapters.report.cell.check import check_lines
from cab.adapters.report.cell.facts import ReportCell
from cab.adapters.report.cell.tokens import own_sentence, total_cost
from cab.adapters.report.render.environment import html
from cab.adapters.report.render.marks import MarkedText, measured
from cab.adapters.report.render.numbers import duration, integer
from cab.scoring.printable import counted
from cab.scoring.profiles.builtin import DEFAULT_PROFILE


class ShortVerdict(NamedTuple):
    """How a cell ended, in a word."""

    word: str
    """`passed`, `failed` or `no verdict`."""
    is_bad: bool


def short_verdict(passed: int | None) -> ShortVerdict:
    """Return the word for a pass: 1, 0, or None if there is no verdict."""
    words = {1: "passed", 0: "failed", None: "no verdict"}
    return ShortVerdict(words[passed], passed == 0)


def summary(cell: ReportCell) -> Markup:
    """Return the sentence."""
    return Markup(" ").join(Markup("").join(part) for part in (_run(cell), *_rest(cell)))


def _rest(cell: ReportCell) -> Iterator[Iterator[Markup]]:
    if cell.axes.blast_radius is not None:
        yield _changes(cell)
    yield iter([html(own_sentence(cell))])


def _run(cell: ReportCell) -> Iterator[Markup]:
    yield _verdict(cell)
    latency = cell.axes.latency
    if latency is not None:
        clock = "the runner's clock"
        wall = MarkedText(duration(latency.wall_clock_ms), cell.clock_mark, clock)
        yield Markup(" in {}").format(wall)
    yield Markup(", with {}").format(_calls(cell))
    failed = cell.axes.calls.failed if cell.axes.calls else None
    if failed:
        yield html(f", {counted(failed, 'failed attempt')}")
    yield Markup(" and {}.").format(_tokens(cell))


def _verdict(cell: ReportCell) -> Markup:
    axis = cell.axes.pass_rate
    if axis.passed is None:
        return Markup("<strong>No verdict</strong>{}").format(
            html(f" ({axis.reason})" if axis.reason else "")
        )
    if axis.passed:
        lines = check_lines(axis.stdout_tail)
        every = " its only check" if len(lines) == 1 else f" all {len(lines)} checks"
        passed_all = bool(lines) and all(line.ok for line in lines)
        return Markup("<strong>Passed</strong>{}").format(every if passed_all else "")
    found = cell.scored.profiles.get(DEFAULT_PROFILE)
    nothing = found is not None and found.verdict == "no_op"
    word = "Failed, and changed nothing," if nothing else "Failed"
    return Markup('<strong class="failed">{}</strong>').format(word)


def _calls(cell: ReportCell) -> Markup:
    tokens = cell.axes.tokens
    if tokens.attempts is None or tokens.model_calls is None:
        return Markup("an unknown number of model calls")
    number = measured(integer(tokens.model_calls), "the ledger")
    return Markup("{} model call{}").format(number, "" if tokens.model_calls == 1 else "s")


def _tokens(cell: ReportCell) -> Markup:
    tokens = cell.axes.tokens
    if cell.total_tokens is not None:
        total = MarkedText(integer(cell.total_tokens), cell.token_mark)
        return Markup("{} tokens{}").format(total, _money(cell))
    if tokens.known_total_tokens:
        known = MarkedText(integer(tokens.known_total_tokens), "at least")
        missed = counted(tokens.unmeasured_calls or 0, "call")
        return Markup("{} tokens, {} not counted").format(known, missed)
    return Markup("an unknown number of tokens")


def _money(cell: ReportCell) -> Markup:
    cost = total_cost(cell)
    if cost.text is None:
        return Markup(" (price not recorded)")
    return Markup(" ({})").format(cost)


def _changes(cell: ReportCell) -> Iterator[Markup]:
    axis = cell.axes.blast_radius
    assert axis is not None
    due = len(axis.expected_changes)
    if axis.total_changes is None:
        yield html(f"What it changed is not known: {axis.reason}.")
        return
    if not axis.total_changes:
        yield Markup("It changed nothing.")
        return
    yield html(f"It changed {counted(due, 'file')} that {'was' if due == 1 else 'were'} due")
    if axis.collateral_files is None:  # a page does not tell scratch apart
        yield html(f", and {len(axis.unexpected_changes)} more.")
        return
    yield html(
        f", and {axis.collateral_files or 'nothing'} more"
        if axis.collateral_files
        else ", and nothing else"
    )
    scratch = len(axis.scratch_changes or [])
    yield html(f", {counted(scratch, 'scratch file')} aside." if scratch else ".")
