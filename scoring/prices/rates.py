"""What tokens cost, and what a call's tokens come to: exact decimals, no rounding, no floats."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from cab.scoring.ledger.money import EXACT
from cab.scoring.prices.billed_usage import BilledUsage

_PER_TOKENS = -6
"""Rates are for 10^6 tokens."""
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens, but for the last two; None where no rate of its own is stated.

    A part without a rate of its own costs what it is a part of: cached tokens then cost as all of the
    prompt, reasoning as all of the completion.
    """

    input: Decimal | None = None
    """The prompt, less the parts that have rates of their own."""
    output: Decimal | None = None
    """The completion, less the parts that have rates of their own."""
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    """Writes to a cache that lives for an hour; None: as `cache_write`."""
    reasoning: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    request: Decimal | None = None
    """US dollars for each call, however many passes over the model it takes."""
    web_search: Decimal | None = None
    """US dollars for each search that the endpoint made."""
    has_media: bool = False
    """Whether images or videos have rates of their own, which are not known here."""


class RateStep(NamedTuple):
    """The rates of calls whose prompt is over a size."""

    above_tokens: int
    """Tokens of the prompt; -1 is any prompt. All tokens of a longer one have these rates."""
    rates: Rates | None
    """None where nobody states them."""


Schedule = tuple[RateStep, ...]
"""Steps in rising order; the first one holds for any prompt."""


def charge(schedule: Schedule, used: BilledUsage, *, is_first: bool = True) -> Decimal | None:
    """Return what usage costs in US dollars; None if a count or a rate that it needs is not known.

    The longest step that the whole prompt is over holds for all tokens of the pass.

    Args:
        schedule: The rates of the model.
        used: What one pass over the model has used.
        is_first: Whether it is the call's first pass over this model, which bears the rate of a call.
    """
    prompt, completion = used.prompt, used.completion
    if prompt is None or completion is None:
        return None
    rates = schedule[0].rates
    for step in schedule[1:]:
        if prompt > step.above_tokens:
            rates = step.rates
    if rates is None or (rates.has_media and used.has_media):
        return None
    parts = (*_input_parts(rates, used, prompt), *_output_parts(rates, used, completion))
    total = _NOTHING
    for rate, count in parts:
        if count == 0:
            continue
        if rate is None or count < 0:
            return None  # nobody states it, or the parts are more than the whole
        total = EXACT.fma(rate, count, total)
    total = EXACT.scaleb(total, _PER_TOKENS)
    if rates.request is not None and is_first:
        total = EXACT.add(total, rates.request)
    if used.web_searches:
        if rates.web_search is None:
            return None
        total = EXACT.fma(rates.web_search, used.web_searches, total)
    return total


_Part = tuple[Decimal | None, int]


def _input_parts(rates: Rates, used: BilledUsage, prompt: int) -> list[_Part]:
    parts: list[_Part] = []
    if used.cache_read and rates.cache_read is not None:
        parts.append((rates.cache_read, used.cache_read))
    if used.cache_write:
        parts += _cache_writes(rates, used.cache_write, used.cache_write_1h)
    if used.input_audio and rates.input_audio is not None:
        if used.cache_read or used.cache_write:
            return [(None, 1)]  # how much of the sound came from the cache is not said
        parts.append((rates.input_audio, used.input_audio))
    rest = prompt - sum(count for _, count in parts)
    return [*parts, (rates.input, rest)]


def _cache_writes(rates: Rates, written: int, for_an_hour: int) -> list[_Part]:
    parts: list[_Part] = []
    short = written
    if rates.cache_write_1h is not None and for_an_hour:
        parts.append((rates.cache_write_1h, for_an_hour))
        short -= for_an_hour
    if rates.cache_write is not None:
        parts.append((rates.cache_write, short))
    return parts


def _output_parts(rates: Rates, used: BilledUsage, completion: int) -> list[_Part]:
    parts: list[_Part] = []
    if used.reasoning and rates.reasoning is not None:
        parts.append((rates.reasoning, used.reasoning))
    if used.output_audio and rates.output_audio is not None:
        parts.append((rates.output_audio, used.output_audio))
    rest = completion - sum(count for _, count in parts)
    return [*parts, (rates.output, rest)]
