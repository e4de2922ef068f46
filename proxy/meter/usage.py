"""Token counts in one convention, whatever the dialect's own.

The convention: `prompt_tokens` is all that the model read, cached tokens included;
`completion_tokens` is all that it wrote, reasoning included; `cache_read_tokens`,
`cache_write_tokens` and `reasoning_tokens` are parts of these two, `None` where the endpoint does not
report them; `total_tokens` is the endpoint's own total, or the sum of the two where it gives none.
An explicit zero stays a zero; an absent count stays `None`.

The rules, per dialect:

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
    members of each `message_delta`'s usage laid over it: these are cumulative, so the last one stands.
gemini.generateContent
    prompt = `promptTokenCount` (cached ones included) + `toolUsePromptTokenCount`; completion =
    `candidatesTokenCount` + `thoughtsTokenCount`; cache read = `cachedContentTokenCount`; reasoning =
    `thoughtsTokenCount`. Gemini leaves out members that are zero: a completion of which no part is
    named is what `totalTokenCount` leaves over the prompt.
"""

from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from cab.proxy.meter.json_values import JsonObject, as_count, is_object


class Usage(NamedTuple):
    """Token counts of one call, in the convention above."""

    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class UsageReader:
    """Reads counts from an endpoint's usage object and notes what is none."""

    def __init__(self, raw: JsonObject) -> None:
        self._raw = raw
        self.complaints: list[str] = []
        """What was there and could not be understood."""

    def count(self, *path: str) -> int | None:
        """Return the count at `path`, `None` if there is none."""
        value: object = self._raw
        for depth, name in enumerate(path):
            if not is_object(value):
                self._complain(f"usage.{'.'.join(path[:depth])} is no object")
                return None
            value = value.get(name)
            if value is None:
                return None
        number = as_count(value)
        if number is None:
            self._complain(f"usage.{'.'.join(path)} is no count of tokens")
        return number

    def first(self, *paths: tuple[str, ...]) -> int | None:
        """Return the first count that is there."""
        for path in paths:
            number = self.count(*path)
            if number is not None:
                return number
        return None

    def _complain(self, complaint: str) -> None:
        if complaint not in self.complaints:
            self.complaints.append(complaint)


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
        total_tokens=_total(total, prompt, completion),
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
    return usage._replace(
        completion_tokens=0, total_tokens=_total(usage.total_tokens, usage.prompt_tokens, 0)
    )


def responses_usage(reader: UsageReader) -> Usage:
    """Return the counts of a response."""
    prompt, completion = reader.count("input_tokens"), reader.count("output_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=_total(reader.count("total_tokens"), prompt, completion),
        cache_read_tokens=reader.count("input_tokens_details", "cached_tokens"),
        cache_write_tokens=reader.count("input_tokens_details", "cache_write_tokens"),
        reasoning_tokens=reader.count("output_tokens_details", "reasoning_tokens"),
    )


def messages_usage(reader: UsageReader) -> Usage:
    """Return the counts of an Anthropic message."""
    fresh = reader.count("input_tokens")
    read = reader.count("cache_read_input_tokens")
    written = reader.count("cache_creation_input_tokens")
    prompt = None if fresh is None else fresh + (read or 0) + (written or 0)
    completion = reader.count("output_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=_total(None, prompt, completion),
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
        total_tokens=_total(total, prompt, completion),
        cache_read_tokens=reader.count("cachedContentTokenCount"),
        reasoning_tokens=thoughts,
    )


def _total(own: int | None, prompt: int | None, completion: int | None) -> int | None:
    if own is not None or prompt is None or completion is None:
        return own
    return prompt + completion


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
    # Beyond these magnitudes it is no price, and its decimal text could be megabytes long.
    known = price.is_finite() and price >= 0 and -20 <= price.adjusted() <= 9
    return format(price, "f") if known and len(price.as_tuple().digits) <= 40 else None
