"""Tokens in the convention of Inspect, where input excludes what went through a cache.

Ours includes it, so the parts that were read from a cache and written to one are taken off. Inspect
has no unknown usage, only a usage of 0; what was not measured has none at all.
"""

from collections.abc import Iterable
from decimal import Decimal
from functools import reduce
from typing import Any

from cab.scoring.cells.cell import Cell
from cab.scoring.exports.plain import dollars, known

COUNTS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "input_tokens_cache_read",
    "input_tokens_cache_write",
    "reasoning_tokens",
    "total_cost",
)
"""Members of a usage that add up."""
_CACHED = ("input_tokens_cache_read", "input_tokens_cache_write")
"""Members that are not part of the input."""


def usage_of_cell(cell: Cell) -> dict[str, Any] | None:
    """Return the usage of a cell; None if it is not known in full."""
    tokens, cost = cell.scorers.tokens, cell.scorers.cost
    return usage(
        tokens.prompt_tokens,
        tokens.completion_tokens,
        cache_read=tokens.cache_read_tokens,
        cache_write=tokens.cache_write_tokens,
        reasoning=tokens.reasoning_tokens,
        cost_usd=cost.cost_usd if cost else None,
    )


def usage(  # noqa: PLR0913 - the parts of a usage
    prompt: int | None,
    completion: int | None,
    *,
    cache_read: int | None,
    cache_write: int | None,
    reasoning: int | None,
    cost_usd: Decimal | str | None,
) -> dict[str, Any] | None:
    """Return a usage of Inspect; None unless prompt and completion are known.

    Args:
        prompt: Tokens read, those of caches included.
        completion: Tokens written, reasoning included.
        cache_read: Part of the prompt.
        cache_write: Part of the prompt.
        reasoning: Part of the completion.
        cost_usd: Price of all that.
    """
    if prompt is None or completion is None:
        return None
    return known(
        # A meter's parts may contradict its total; less than nothing was not read all the same.
        input_tokens=max(0, prompt - (cache_read or 0) - (cache_write or 0)),
        output_tokens=completion,
        total_tokens=prompt + completion,
        input_tokens_cache_read=cache_read,
        input_tokens_cache_write=cache_write,
        reasoning_tokens=reasoning,
        total_cost=dollars(cost_usd),
    )


def total_usage(usages: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the sum of usages; a part that one of them lacks is unknown in the sum.

    What a cache took off the input goes back there then: nothing is lost of the sum.
    """
    return reduce(_add, usages)


def _add(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    total = {name: one[name] + other[name] for name in COUNTS if name in one and name in other}
    for part in _CACHED:
        if total and part not in total:
            total["input_tokens"] += one.get(part, 0) + other.get(part, 0)
    return total
