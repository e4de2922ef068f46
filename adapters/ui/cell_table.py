"""Result tables for a terminal. What was not measured shows as "not measured", never as 0."""

from collections.abc import Iterable
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cab.adapters.ui.layout import Column
from cab.adapters.ui.tables import ResultTable, terminal_width
from cab.scoring.axes import Axes, BlastRadius, Latency, Refusal, Tokens
from cab.scoring.cells.cell import Cell, SelfReport
from cab.scoring.ledger.money import dollars
from cab.scoring.prices.sources import sources_words
from cab.scoring.printable import counted, printable
from cab.scoring.profiles.composite import Composite

UNKNOWN = "not measured"
_GAP = "unknown"  # the same where there is less room
_NAMES_SHOWN = 3
_PIPE_WIDTH = 240
_SUMMARY = (
    Column("cell", "path", least=28),
    Column("pass"),
    Column("tokens"),
    Column("calls", rank=2),
    Column("wall clock", unit="s", rank=3),
    Column("blast radius", rank=4),
)


def wide_console() -> Console:
    """Return a console that breaks lines at a terminal's width, and in a pipe only very long ones."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_WIDTH)


def print_sentence(sentence: str) -> None:
    """Print a sentence. Lines are broken on a terminal, not in a pipe."""
    width = terminal_width()
    console = Console(width=width or _PIPE_WIDTH)
    console.print(Text(printable(sentence)), soft_wrap=width is None)


class Row(NamedTuple):
    """One line of a cell's table."""

    axis: str
    score: str
    detail: str


def cell_table(cell: Cell) -> Table:
    """Return the result of one cell as a table."""
    return score_table(
        cell.identity.cell_id, cell.scorers, cell.profiles.values(), cell.self_reported
    )


def score_table(
    cell_id: str,
    axes: Axes,
    composites: Iterable[Composite],
    self_reported: SelfReport | None = None,
) -> Table:
    """Return a cell's axes and composites as a table.

    Args:
        cell_id: Title of the table.
        axes: Its axes.
        composites: One per profile.
        self_reported: The agent's own count.
    """
    table = Table(title=Text(printable(cell_id)), box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("axis", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("made from", overflow="fold")
    for row in _rows(axes, composites, self_reported):
        table.add_row(*(Text(printable(part)) for part in row))
    return table


class Summary(NamedTuple):
    """One cell as one line of a table of cells."""

    cell_id: str
    passed: str
    tokens: str
    calls: str
    wall: str
    blast: str
    composites: tuple[str, ...]
    stored: str


def summary_of(cell_id: str, axes: Axes, composites: Iterable[Composite], stored: str) -> Summary:
    """Return the line of one cell; `stored` says whether the stored score is the same."""
    zeros = has_zeros_for_gaps(axes.tokens)
    wall_ms = None if axes.latency is None else axes.latency.wall_clock_ms
    return Summary(
        cell_id=cell_id,
        passed=_number(axes.pass_rate.passed, _GAP),
        tokens=_GAP if zeros else _number(axes.tokens.total_tokens, _GAP),
        calls=_GAP if zeros else _number(axes.tokens.model_calls, _GAP),
        wall=_GAP if wall_ms is None else f"{wall_ms / 1000:,.2f}",
        blast=_ratio(axes.blast_radius, _GAP),
        composites=tuple(_short(composite) for composite in composites),
        stored=stored,
    )


def summary_table(profiles: Iterable[str], cells: Iterable[Summary]) -> ResultTable:
    """Return many cells as one table, a line each, a column for each profile."""
    composites = (Column(name, rank=1) for name in profiles)
    columns = (*_SUMMARY, *composites, Column("stored score", "name", rank=5))
    return ResultTable(columns, [(*cell[:6], *cell.composites, cell.stored) for cell in cells])


def _rows(
    axes: Axes, composites: Iterable[Composite], self_reported: SelfReport | None
) -> list[Row]:
    rows = [
        Row("pass", _number(axes.pass_rate.passed), _check(axes)),
        Row("tokens", _number(axes.tokens.total_tokens), _tokens(axes.tokens)),
        Row("model calls", _number(axes.tokens.model_calls), _attempts(axes.tokens)),
        _per_pass(axes),
    ]
    if self_reported is not None:
        rows.append(_self_report(self_reported))
    return [
        *rows,
        _wall(axes.latency),
        Row("blast radius", _ratio(axes.blast_radius), _blast(axes.blast_radius)),
        _refusal(axes.refusal),
        _integrity(axes),
        *_cost(axes),
        *(_composite(composite) for composite in composites),
    ]


def _check(axes: Axes) -> str:
    check = axes.pass_rate
    if check.reason is not None:
        return check.reason
    return "the check was stopped at its limit" if check.timed_out else f"exit {check.exit_code}"


def _ratio(blast: BlastRadius | None, unknown: str = UNKNOWN) -> str:
    ratio = None if blast is None else blast.blast_radius
    return unknown if ratio is None else f"{ratio:.3f}"


def _wall(latency: Latency | None) -> Row:
    if latency is None:
        return Row("wall clock", UNKNOWN, "")
    return Row("wall clock", _seconds(latency.wall_clock_ms), _latency(latency))


def _tokens(tokens: Tokens) -> str:
    if tokens.model_calls is None:
        return "no ledger slice"
    if has_zeros_for_gaps(tokens):
        return "as published, where 0 means not measured"
    parts = (
        f"{_number(tokens.prompt_tokens)} prompt, {_number(tokens.completion_tokens)} completion"
    )
    sources = ", ".join(f"{name} ({share.calls})" for name, share in tokens.by_source.items())
    counted = f"{parts}; counted by {sources}" if sources else parts
    if not tokens.unmeasured_calls:
        return counted
    return (
        f"calls without a count: {tokens.unmeasured_calls}; "
        f"the others took {_number(tokens.known_total_tokens)}{_upper_end(tokens)}"
    )


def _upper_end(tokens: Tokens) -> str:
    upper = None if tokens.total_interval is None else tokens.total_interval.upper_total
    scored = "; scored at the upper end" if tokens.scored_upper_end else ""
    return "" if upper is None else f", all at most {_number(upper)}{scored}"


def has_zeros_for_gaps(tokens: Tokens) -> bool:
    """Return whether the figures are a published page's zeros, which mean "not measured"."""
    return tokens.attempts is None and tokens.model_calls == 0


def _per_pass(axes: Axes) -> Row:
    detail = "total tokens of a passed task" if axes.pass_rate.passed else "the task did not pass"
    return Row("tokens per pass", _number(axes.tokens.tokens_per_correct_task, "none"), detail)


def _attempts(tokens: Tokens) -> str:
    if tokens.attempts is None:
        return ""
    return f"{counted(tokens.attempts, 'request')} on the wire"


def _self_report(report: SelfReport) -> Row:
    exact = "" if report.exact else ", not exact"
    parts = f"{_number(report.prompt_tokens)} sent, {_number(report.completion_tokens)} received"
    return Row(
        "agent's own count", _number(report.total_tokens), f"{parts} ({report.source}{exact})"
    )


def _latency(latency: Latency) -> str:
    busy = latency.model_call_busy_ms
    calls = f"model calls {_seconds(latency.model_call_ms)}"
    overlap = "" if busy is None else f" ({_seconds(busy)} with overlaps once)"
    return f"{calls}{overlap}; agent {_seconds(latency.container_active_ms)}"


def _blast(blast: BlastRadius | None) -> str:
    if blast is None:
        return ""
    if blast.total_changes is None:
        return blast.reason or ""
    if not blast.total_changes:
        return "nothing changed"
    unexpected = len(blast.unexpected_changes)
    text = f"{unexpected} of {blast.total_changes} changes unexpected"
    if unexpected:
        shown = blast.unexpected_changes[:_NAMES_SHOWN]
        more = f" and {unexpected - len(shown)} more" if unexpected > len(shown) else ""
        text += f": {', '.join(shown)}{more}"
    scratch = len(blast.scratch_changes or [])
    return f"{text}; {scratch} of them the agent's own scratch" if scratch else text


def _refusal(refusal: Refusal | None) -> Row:
    if refusal is None:
        return Row("refusal", "-", UNKNOWN)
    if refusal.not_applicable:
        return Row("refusal", "-", "does not apply")
    score = "right" if refusal.refusal_correct else "wrong"
    return Row("refusal", score, "; ".join(refusal.refusal_reasons or []))


def _integrity(axes: Axes) -> Row:
    integrity = axes.integrity
    if integrity is None:
        return Row("integrity", "-", UNKNOWN)
    if integrity.not_applicable:
        return Row("integrity", "-", "does not apply")
    detail = ", ".join(integrity.violations or []) or "protected files as they were"
    return Row("integrity", str(integrity.integrity), detail)


def _cost(axes: Axes) -> list[Row]:
    """Return the line of the cost; none if no price is known, as with most endpoints."""
    cost = axes.cost
    if cost is None or not cost.priced_calls:
        return []
    sources = sources_words(cost.price_sources or [])
    if cost.cost_usd is not None:
        return [Row("cost", f"{dollars(cost.cost_usd)}", f"by {sources}")]
    gap = f"calls without a price: {cost.unpriced_calls}; the others cost {dollars(cost.known_cost_usd)}"
    return [Row("cost", UNKNOWN, f"{gap} by {sources}")]


def _composite(composite: Composite) -> Row:
    return Row(composite.profile, _fraction(composite.composite), _made_from(composite))


def _made_from(composite: Composite) -> str:
    if composite.reason is not None:
        return composite.reason
    cost = composite.components.cost_efficiency
    if composite.cost_form == "published":
        return f"cost efficiency {cost:.3f}, as there are no tokens per pass"
    missing = [term.name for term in composite.terms if term.state == "not_measured"]
    gaps = f"; not measured: {', '.join(missing)}" if missing else ""
    efficiency = "" if cost is None else f"; cost efficiency {cost:.3f}"
    return f"coverage {composite.coverage:.2f}{efficiency}{gaps}"


def _short(composite: Composite) -> str:
    """Return a composite for a narrow column; one that is not a sum shows its verdict."""
    if composite.verdict in {"scored", "not_scored"}:
        return _fraction(composite.composite)
    if composite.composite is None:
        return composite.verdict.partition(":")[0]
    return f"{_fraction(composite.composite)} {composite.verdict}"


def _number(number: float | None, unknown: str = UNKNOWN) -> str:
    return unknown if number is None else f"{number:,}"


def _fraction(number: float | None) -> str:
    return "none" if number is None else f"{number:.3f}"


def _seconds(duration_ms: float | None) -> str:
    return UNKNOWN if duration_ms is None else f"{duration_ms / 1000:.2f} s"
