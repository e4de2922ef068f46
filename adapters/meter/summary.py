"""What a metered command has spent: collected from its ledgers, and written as a few lines for people."""

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from cab.adapters.meter.metering import MeteringPlan
from cab.adapters.ui.format import by_kind
from cab.scoring.cells.metered_command import (
    CommandSums,
    MeteredApi,
    MeteredCommand,
    cost_usd,
    metered_tokens,
    price_kind_of,
)
from cab.scoring.ledger.money import dollars
from cab.scoring.ledger.reading import iter_records
from cab.scoring.printable import counted, printable

_BOLD, _DIM, _YELLOW, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m"
_MOST_MODELS = 4


class CommandRun(NamedTuple):
    """How a command ran."""

    started_at: str
    wall_ms: float
    exit_code: int


def summarized(plan: MeteringPlan, run: CommandRun, *, kept: bool) -> MeteredCommand:
    """Return what a command has spent, from the ledgers of its proxies, which have ended.

    Args:
        plan: How it was metered.
        run: How it ran.
        kept: Whether the ledgers stay.

    Raises:
        BadRecord: A ledger cannot be read.
    """
    # The cell may have calls of earlier commands; they began before.
    since = run.started_at
    read = (iter_records(each, plan.cell_id, since=since) for each in plan.ledgers)
    sums = CommandSums(chain.from_iterable(read))
    totals = sums.all
    return MeteredCommand(
        cell_id=plan.cell_id,
        program=_as_text(plan.program),
        agent=plan.agent,
        exit_code=run.exit_code,
        started_at=run.started_at,
        wall_ms=run.wall_ms,
        model_ms=totals.busy_ms,
        calls=totals.calls,
        attempts=totals.attempts,
        failed_calls=totals.calls - totals.facts.succeeded,
        failures=totals.facts.failures,
        rejected=totals.rejected,
        tokens=metered_tokens(totals),
        interval=totals.interval,
        cost_usd=cost_usd(totals),
        known_cost_usd=format(totals.cost.known, "f"),
        price_kind=price_kind_of(totals),
        price_sources=list(totals.cost.price_sources),
        uncounted_calls=totals.unmeasured_calls,
        partial_calls=totals.partial_calls,
        unpriced_calls=totals.cost.unpriced,
        unmetered_calls=sums.unmetered,
        models=sums.models,
        endpoints=[
            MeteredApi(
                clients=[api.name for api in each.apis],
                upstream=each.upstream,
                holds_key=each.key is not None,
            )
            for each in plan.endpoints
        ],
        ledger=[_as_text(str(each.absolute())) for each in plan.ledgers] if kept else [],
    )


def _as_text(name: str) -> str:
    r"""Return a file's name as JSON can hold it: bytes that are not UTF-8 are written as `\udcXX`."""
    return name.encode(errors="backslashreplace").decode()


def summary_lines(command: MeteredCommand, *, colour: bool) -> Iterator[str]:
    """Yield what `cab meter` prints at the end.

    Args:
        command: What the command has spent.
        colour: Whether a terminal shows it.
    """
    bold, dim, yellow, plain = (_BOLD, _DIM, _YELLOW, _PLAIN) if colour else ("",) * 4
    for name, value, more in _rows(command):
        shown = f"{value:>12}  {dim}{more}{plain}" if more else f"{value:>12}"
        yield f"{bold}{name:<11}{plain}{shown}"
    for line in _warnings(command):
        yield f"{yellow}{printable(line)}{plain}"
    yield from (f"{dim}ledger {printable(each)}{plain}" for each in command.ledger)


def _rows(command: MeteredCommand) -> Iterator[tuple[str, str, str]]:
    models = [f"{each.model or 'no model named'} {each.calls:,}" for each in command.models]
    rest = len(models) - _MOST_MODELS
    shown = [*models[:_MOST_MODELS], *([f"and {counted(rest, 'more model')}"] if rest > 0 else [])]
    yield "calls", f"{command.calls:,}", printable(", ".join(shown))
    if not command.calls:
        return
    tokens = command.tokens
    yield "prompt", _count(tokens.prompt), _part("cached", tokens.cache_read, tokens.prompt)
    yield (
        "completion",
        _count(tokens.completion),
        _part("reasoning", tokens.reasoning, tokens.completion),
    )
    if tokens.total is None:
        upper = command.interval.upper_total
        most = "" if upper is None else f", {upper:,} at most"
        yield "total", "unknown", f"{command.interval.known_total:,} at least{most}"
    yield "cost", dollars(command.cost_usd) or "unknown", _why_cost(command)
    if command.model_ms is not None:
        wall_s = command.wall_ms / 1000
        yield "model time", f"{command.model_ms / 1000:,.2f} s", f"of {wall_s:,.2f} s"


def _count(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def _part(name: str, part: int | None, whole: int | None) -> str:
    if not part:
        return ""
    share = f" ({part / whole:.0%})" if whole else ""
    return f"{name} {part:,}{share}"


def _why_cost(command: MeteredCommand) -> str:
    if command.cost_usd is not None:
        return by_kind(command.price_kind).strip()
    reasons: list[str] = []
    if command.unpriced_calls:
        reasons.append(f"no price for {counted(command.unpriced_calls, 'call')}")
    if command.uncounted_calls:
        reasons.append(f"{counted(command.uncounted_calls, 'call')} without a count")
    known = dollars(command.known_cost_usd)
    return "; ".join([*reasons, *([f"{known} at least"] if known and known != "$0" else [])])


def _warnings(command: MeteredCommand) -> Iterator[str]:
    """Yield what was not metered, or not as it should be."""
    if command.failed_calls:
        kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(command.failures.items()))
        yield f"{counted(command.failed_calls, 'call')} failed: {kinds}"
    if command.uncounted_calls:
        yield f"not metered: {counted(command.uncounted_calls, 'call')} whose tokens nobody counted"
    if command.partial_calls:
        yield f"not metered whole: {counted(command.partial_calls, 'call')}, cut or with counts that contradict"
    if command.unmetered_calls:
        requests = counted(command.unmetered_calls, "request")
        yield f"not metered: {requests} to other paths that may have cost something"
    if command.rejected:
        yield f"{counted(command.rejected, 'request')} turned down by the proxy"
    if not command.calls and not command.rejected:
        yield f"no call came: {command.program} called no model, or not at the address that it was given"
