"""Token counts in one convention, whatever the dialect's own.

The convention: `prompt_tokens` is all that the model read, cached tokens included;
`completion_tokens` is all that it wrote, reasoning included; `cache_read_tokens`,
`cache_write_tokens` and `reasoning_tokens` are parts of these two, `None` where the endpoint does not
report them; `total_tokens` is the endpoint's own total, or the sum of the two where it gives none.
An explicit zero stays a zero; an absent count stays `None`.

The rules for the counts of each dialect (what holds in all of them is in `read_usage`):

chat.completions, completions
    prompt = `prompt_tokens`, completion = `completion_tokens`, both inclusive already.
    cache read = `prompt_tokens_details.cached_tokens`, else DeepSeek's `prompt_cache_hit_tokens`, else
    `cache_read_input_tokens` (LiteLLM), else `cached_tokens` (Moonshot).
    cache write = `prompt_tokens_details.cache_write_tokens`, `.cache_creation_tokens`, or
    `cache_creation_input_tokens`.
    reasoning = `completion_tokens_details.reasoning_tokens`, else `reasoning_tokens`.
    Some endpoints (xAI) leave reasoning out of `completion_tokens`. Their own total gives them away:
    where total = prompt + completion + reasoning, reasoning is added to the completion.
embeddings
    as above, but an endpoint that names no completion has measured none: completion = 0.
responses
    prompt = `input_tokens`, completion = `output_tokens`, both inclusive already; cache read and write
    = `input_tokens_details.cached_tokens` and `.cache_write_tokens`; reasoning =
    `output_tokens_details.reasoning_tokens`.
messages (Anthropic)
    `input_tokens` leaves cached tokens out, so prompt = `input_tokens` + `cache_read_input_tokens` +
    `cache_creation_input_tokens`; completion = `output_tokens`, which includes thinking; reasoning =
    `output_tokens_details.thinking_tokens`. In a stream the object is `message_start`'s usage with the
    members of each `message_delta`'s usage laid over it (`usage_laid_over`): these are cumulative, so
    the last one stands.
gemini.generateContent
    prompt = `promptTokenCount` (cached ones included) + `toolUsePromptTokenCount`; completion =
    `candidatesTokenCount` + `thoughtsTokenCount`; cache read = `cachedContentTokenCount`; reasoning =
    `thoughtsTokenCount`. Gemini leaves out members that are zero: a completion of which no part is
    named is what `totalTokenCount` leaves over the prompt.
"""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import orjson

from cab.proxy.meter.json_values import JsonObject, as_count, is_object


class Usage(NamedTuple):
    """Token counts of one call, in the convention above."""

    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


_NO_COUNTS = Usage(None, None, None)


class UsageReading(NamedTuple):
    """What an endpoint's usage object says."""

    usage: Usage | None
    """`None` if it holds no count."""
    raw: JsonObject | None
    """The object, `None` if it cannot be written as JSON."""
    warnings: list[str]
    """What could not be understood."""


class UsageReader:
    """Reads counts from an endpoint's usage object and notes what is not a count."""

    def __init__(self, raw: JsonObject) -> None:
        self._raw = raw
        self.warnings: list[str] = []
        """What was there and could not be understood."""

    def count(self, *path: str) -> int | None:
        """Return the count at `path`, `None` if there is none."""
        value: object = self._raw
        for depth, name in enumerate(path):
            if not is_object(value):
                self.warn(f"usage.{'.'.join(path[:depth])} is not an object")
                return None
            value = value.get(name)
            if value is None:
                return None
        number = as_count(value)
        if number is None:
            self.warn(f"usage.{'.'.join(path)} is not a count of tokens")
        return number

    def first(self, *paths: tuple[str, ...]) -> int | None:
        """Return the first count that is there."""
        for path in paths:
            number = self.count(*path)
            if number is not None:
                return number
        return None

    def warn(self, warning: str) -> None:
        """Note what could not be understood, each thing once."""
        if warning not in self.warnings:
            self.warnings.append(warning)


def usage_laid_over(before: JsonObject, raw: JsonObject) -> JsonObject:
    """Return `before` with the members of `raw`; one that is null there keeps its value."""
    given = {name: value for name, value in raw.items() if value is not None}
    return {**raw, **before, **given}


def read_usage(raw: JsonObject, counts: Callable[[UsageReader], Usage]) -> UsageReading:
    """Return what a usage object says, by the rules that hold in every dialect.

    Args:
        raw: The object.
        counts: Reads the counts as the dialect names them.
    """
    reader = UsageReader(raw)
    usage: Usage | None = _with_total(counts(reader))
    if usage == _NO_COUNTS:
        usage = None
        reader.warn("usage holds no counts")
    try:
        orjson.dumps({"usage_raw": raw})  # as deep as the record will have it
    except orjson.JSONEncodeError:
        # The ledger could not write it, and a record is worth more than its raw part.
        reader.warn("usage cannot be written as JSON")
        return UsageReading(usage, None, reader.warnings)
    return UsageReading(usage, raw, reader.warnings)


def _with_total(usage: Usage) -> Usage:
    prompt, completion, total = usage[:3]
    if total is not None or prompt is None or completion is None:
        return usage
    return usage._replace(total_tokens=prompt + completion)


def chat_usage(reader: UsageReader) -> Usage:
    """Return the counts of a chat completion or a completion."""
    prompt, completion = reader.count("prompt_tokens"), reader.count("completion_tokens")
    total = reader.count("total_tokens")
    reasoning = reader.first(
        ("completion_tokens_details", "reasoning_tokens"), ("reasoning_tokens",)
    )
    if prompt is not None and completion is not None and reasoning:
        inclusive = completion + reasoning
        completion = inclusive if total == prompt + inclusive else completion
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total,
        cache_read_tokens=reader.first(
            ("prompt_tokens_details", "cached_tokens"),
            ("prompt_cache_hit_tokens",),
            ("cache_read_input_tokens",),
            ("cached_tokens",),
        ),
        cache_write_tokens=reader.first(
            ("prompt_tokens_details", "cache_write_tokens"),
            ("prompt_tokens_details", "cache_creation_tokens"),
            ("cache_creation_input_tokens",),
        ),
        reasoning_tokens=reasoning,
    )


def embeddings_usage(reader: UsageReader) -> Usage:
    """Return the counts of an embedding."""
    usage = chat_usage(reader)
    if usage.completion_tokens is not None or usage.prompt_tokens is None:
        return usage
    return usage._replace(completion_tokens=0)


def responses_usage(reader: UsageReader) -> Usage:
    """Return the counts of a response."""
    return Usage(
        prompt_tokens=reader.count("input_tokens"),
        completion_tokens=reader.count("output_tokens"),
        total_tokens=reader.count("total_tokens"),
        cache_read_tokens=reader.count("input_tokens_details", "cached_tokens"),
        cache_write_tokens=reader.count("input_tokens_details", "cache_write_tokens"),
        reasoning_tokens=reader.count("output_tokens_details", "reasoning_tokens"),
    )


def messages_usage(reader: UsageReader) -> Usage:
    """Return the counts of an Anthropic message."""
    fresh = reader.count("input_tokens")
    read = reader.count("cache_read_input_tokens")
    written = reader.count("cache_creation_input_tokens")
    return Usage(
        prompt_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        completion_tokens=reader.count("output_tokens"),
        total_tokens=None,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reader.count("output_tokens_details", "thinking_tokens"),
    )


def gemini_usage(reader: UsageReader) -> Usage:
    """Return the counts of a Gemini generation."""
    prompt, tools = reader.count("promptTokenCount"), reader.count("toolUsePromptTokenCount")
    if prompt is not None:
        prompt += tools or 0
    total = reader.count("totalTokenCount")
    thoughts = reader.count("thoughtsTokenCount")
    written = [n for n in (reader.count("candidatesTokenCount"), thoughts) if n is not None]
    completion = sum(written) if written else None
    if completion is None and prompt is not None and total is not None and total >= prompt:
        completion = total - prompt
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total,
        cache_read_tokens=reader.count("cachedContentTokenCount"),
        reasoning_tokens=thoughts,
    )


def cost_usd(raw: JsonObject) -> str | None:
    """Return the price in US dollars that a usage object names, as decimal text.

    OpenRouter gives a number as `cost`, Perplexity an object with a `total_cost`.
    """
    cost = raw.get("cost")
    if is_object(cost):
        cost = cost.get("total_cost")
    if isinstance(cost, bool) or not isinstance(cost, int | float | str):
        return None
    try:
        price = Decimal(repr(cost) if isinstance(cost, float) else cost)
    except InvalidOperation:
        return None
    # Beyond these magnitudes it is not a price, and its decimal text could be megabytes long.
    known = price.is_finite() and price >= 0 and -20 <= price.adjusted() <= 9
    return format(price, "f") if known and len(price.as_tuple().digits) <= 40 else None
