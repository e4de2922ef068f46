"""Tokens and money of a cell, by who counted them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cab.adapters.report.cell.calls import PageCall, known_sum
from cab.adapters.report.cell.facts import ReportCell
from cab.adapters.report.render.marks import MarkedText, mark_of, mark_of_price, measured, words
from cab.adapters.report.render.numbers import integer
from cab.scoring.imports.model import OwnCount
from cab.scoring.ledger.money import UNNAMED, MoneyTotal, dollars, money
from cab.scoring.prices.sources import sources_words, weakest_kind
from cab.scoring.printable import counted

NOTHING = words("–")


class SourceRow(NamedTuple):
    """What one source counted."""

    who: str
    calls: str | MarkedText
    figures: list[MarkedText]
    """Prompt, cached, completion, reasoning, total, cost."""


_WHO = {
    "upstream": "the endpoint, read by the proxy",
    "tokenizer": "our tokenizer, in the proxy",
    "none": "nobody",
}


def source_rows(cell: ReportCell) -> list[SourceRow]:
    """Return a row for each source of the cell's counts, the agent's own one last."""
    return [*_metered(cell), _own(cell)]


def _metered(cell: ReportCell) -> Iterator[SourceRow]:
    tokens = cell.axes.tokens
    for name, share in tokens.by_source.items():
        calls = [call for call in cell.calls if call.source == name]
        mark = mark_of(name)
        cached = _part(calls, "cache_read_tokens")
        reasoning = _part(calls, "reasoning_tokens")
        counts = (share.prompt_tokens, cached, share.completion_tokens, reasoning)
        figures = [MarkedText(integer(value), mark) for value in (*counts, share.total_tokens)]
        who = _WHO.get(name, name)
        yield SourceRow(who, integer(share.calls) or "0", [*figures, _cost(calls)])
    if tokens.unmeasured_calls:
        calls = [call for call in cell.calls if call.source == "none"]
        number = integer(tokens.unmeasured_calls) or "0"
        yield SourceRow(_WHO["none"], number, [words("not recorded")] * 5 + [_cost(calls)])
    if not tokens.by_source and not tokens.unmeasured_calls:
        if cell.has_no_calls:
            zero = measured("0", "the ledger: there were no calls")
            yield SourceRow("the meter", zero, [zero, NOTHING, zero, NOTHING, zero, NOTHING])
        else:
            yield SourceRow(_WHO["none"], NOTHING, _no_total("not recorded"))


def _no_total(why: str) -> list[MarkedText]:
    """Return the figures of a source that has none: the reason stands where the total would."""
    return [*[NOTHING] * 4, words(why), NOTHING]


def _part(calls: Sequence[PageCall], name: str) -> float | None:
    return known_sum(getattr(call.end, name, None) for call in calls)


def _cost(calls: Sequence[PageCall]) -> MarkedText:
    prices = [
        money(str(call.end.cost_usd))
        for call in calls
        if call.end and call.end.cost_usd is not None
    ]
    known = [price for price in prices if price is not None]
    if not known:
        return words("not recorded")
    sources = {call.end.price_source or UNNAMED for call in calls if call.end and call.end.cost_usd}
    mark = mark_of_price(weakest_kind(sources)) if len(known) == len(calls) else "at least"
    total = MoneyTotal()
    for price in known:
        total.add(price)
    return MarkedText(dollars(total.known), mark, sources_words(sources))


def _own(cell: ReportCell) -> SourceRow:
    own = cell.self_reported
    imported = cell.scored.imported is not None
    who = "the other harness" if imported else "the agent itself"
    if own is None:
        return SourceRow(who, NOTHING, _no_total("says nothing"))
    extra = own if isinstance(own, OwnCount) else None
    counts = (
        own.prompt_tokens,
        extra.cache_read_tokens if extra else None,
        own.completion_tokens,
        extra.reasoning_tokens if extra else None,
        own.total_tokens,
    )
    texts = [integer(count) for count in counts] + [dollars(extra.cost_usd) if extra else None]
    calls = MarkedText(integer(extra.model_calls if extra else None), "self-reported", missing="–")
    figures = [MarkedText(text, "self-reported", own.source, missing="–") for text in texts]
    return SourceRow(who, calls, figures)


def total_cost(cell: ReportCell) -> MarkedText:
    """Return what the calls cost in money."""
    cost = cell.axes.cost
    if cost is None:
        return words("not recorded")
    if cost.cost_usd is not None:
        mark = mark_of_price(cost.price_kind)
        return MarkedText(dollars(cost.cost_usd), mark, sources_words(cost.price_sources or []))
    known = cost.known_cost_usd if cost.priced_calls else None
    return MarkedText(
        dollars(known), "at least", f"{counted(cost.unpriced_calls or 0, 'call')} without a price"
    )


def own_error(cell: ReportCell) -> float | None:
    """Return how wrong the agent's own count is, as a share of the meter's; None if one is unknown."""
    own, total = cell.self_reported, cell.total_tokens
    if own is None or own.total_tokens is None or not total or cell.token_mark != "measured":
        return None
    return own.total_tokens / total - 1


def own_sentence(cell: ReportCell) -> str:
    """Return how the agent's own count compares with the meter."""
    own = cell.self_reported
    if own is None or own.total_tokens is None:
        return "The agent reported no total of its own."
    said = f"The agent says “{integer(own.total_tokens)}”"
    if cell.has_no_calls:
        return f"{said}; the meter saw no call."
    error = own_error(cell)
    if error is None:
        return f"{said}; there is no count of the endpoint's to hold that against."
    if error == 0:
        return f"{said}, which is what the meter says."
    digits = 1 if abs(error) < 0.1 else 0
    share = f"{abs(error) * 100:.{digits}f}"
    return f"{said}: {share} % too {'few' if error < 0 else 'many'}."
