"""The same rule for plain calls, in few steps: rates as whole numbers, made ready once for many calls."""

from decimal import Decimal
from typing import Any, NamedTuple, cast

from cab.scoring.ledger.totals import Fields
from cab.scoring.prices.rates import Rates, Schedule

_MOST_TOKENS = 10**9
_MOST_RATE = Decimal(10**6)
"""With so many tokens at such rates a call stays under the most that a price may be."""
_PER_TOKENS = 6
"""Rates are for 10^6 tokens."""
_COUNTED = ("upstream", "tokenizer")


class PlainRule(NamedTuple):
    """Rates of calls that need none but these, in units of 10^-`digits` US dollars per token."""

    digits: int
    most_prompt: int
    """Longer prompts have other rates."""
    input: int
    output: int
    cache_read: int | None
    cache_write: int | None
    cache_write_1h: int | None
    reasoning: int | None

    def price(self, call: Fields) -> str | None:
        """Return what a call costs, as `price_of` does; None if it is not a plain one: that decides then.

        Args:
            call: The members of an END record of the model, the tier and the day of these rates.
        """
        raw: dict[str, Any] | None = call.get("usage_raw")
        prompt, completion = call.get("prompt_tokens"), call.get("completion_tokens")
        if (
            type(prompt) is not int
            or type(completion) is not int
            or not 0 <= prompt <= self.most_prompt
            or not 0 <= completion <= _MOST_TOKENS
            or call.get("usage_status") != "complete"
            or call.get("usage_source") not in _COUNTED
            or call.get("usage_parts") is not None
            or call.get("clipped")
            or (raw is not None and raw.get("server_tool_use"))
        ):
            return None
        total = 0
        if read := call.get("cache_read_tokens"):
            if type(read) is not int or read < 0:
                return None
            if self.cache_read is not None:
                total, prompt = read * self.cache_read, prompt - read
        if written := call.get("cache_write_tokens"):
            if type(written) is not int or written < 0:
                return None
            if self.cache_write is not None:
                prompt -= written
                total += self._writes(raw, written)
        if reasoning := call.get("reasoning_tokens"):
            if type(reasoning) is not int or reasoning < 0:
                return None
            if self.reasoning is not None:
                total, completion = total + reasoning * self.reasoning, completion - reasoning
        if prompt < 0 or completion < 0:
            return None
        return _text(total + prompt * self.input + completion * self.output, self.digits)

    def _writes(self, raw: dict[str, Any] | None, written: int) -> int:
        own = self.cache_write or 0
        lives: object = (
            raw.get("cache_creation") if raw and self.cache_write_1h is not None else None
        )
        hour = (
            cast("dict[str, Any]", lives).get("ephemeral_1h_input_tokens")
            if isinstance(lives, dict)
            else None
        )
        if type(hour) is not int or hour <= 0:
            return written * own
        hour = min(hour, written)
        return hour * (self.cache_write_1h or 0) + (written - hour) * own


def plain_rule(schedule: Schedule) -> PlainRule | None:
    """Return the rule of a schedule's plain calls; None if it has none."""
    rates = schedule[0].rates
    if rates is None or not _is_plain(rates):
        return None
    stated = [
        *(rates.input, rates.output, rates.cache_read),
        *(rates.cache_write, rates.cache_write_1h, rates.reasoning),
    ]
    known = [rate for rate in stated if rate is not None]
    digits = max(0, *(-cast("int", rate.as_tuple().exponent) for rate in known))
    read, wrote, *others = (None if rate is None else int(rate.scaleb(digits)) for rate in stated)
    most = min([_MOST_TOKENS, *(step.above_tokens for step in schedule[1:])])
    return PlainRule(digits + _PER_TOKENS, most, read or 0, wrote or 0, *others)


def _is_plain(rates: Rates) -> bool:
    """Return whether the counts of a record decide, and nothing that is only in the usage object."""
    if rates.input is None or rates.output is None or rates.has_media:
        return False
    if rates.cache_write is None and rates.cache_write_1h is not None:
        return False
    others = rates.input_audio, rates.output_audio, rates.request
    all_rates = rates.input, rates.output, rates.cache_read, rates.cache_write
    small = (*all_rates, rates.cache_write_1h, rates.reasoning)
    return others == (None, None, None) and all(r is None or r <= _MOST_RATE for r in small)


def _text(units: int, digits: int) -> str:
    """Return whole units of 10^-digits as decimal text without zeros at its end."""
    text = str(units).zfill(digits + 1)
    fraction = text[-digits:].rstrip("0")
    return f"{text[:-digits]}.{fraction}" if fraction else text[:-digits]
