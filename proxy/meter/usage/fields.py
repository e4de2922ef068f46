"""Which member of a dialect's usage object holds which count.

chat.completions, completions
    prompt = `prompt_tokens`, completion = `completion_tokens`, both inclusive already.
    cache read = `prompt_tokens_details.cached_tokens`, else DeepSeek's `prompt_cache_hit_tokens`, else
    `cache_read_input_tokens` (LiteLLM), else `cached_tokens` (Moonshot, Together), else Mistral's other two
    (https://github.com/vercel/ai/issues/14382).
    cache write = `prompt_tokens_details.cache_write_tokens`, `.cache_creation_tokens`, or
    `cache_creation_input_tokens`.
    reasoning = `completion_tokens_details.reasoning_tokens`, else `reasoning_tokens`.
embeddings, rerank
    as above, but where no completion is named it is 0, and a total alone is the prompt. In Cohere's form
    (https://docs.cohere.com/reference/rerank) `meta.tokens` has `input_tokens` and `output_tokens`, what the
    model read and wrote; else `meta.billed_units` has them, or LiteLLM's `total_tokens`. Search units are
    no tokens.
responses
    prompt = `input_tokens`, completion = `output_tokens`, both inclusive already; cache read and write
    = `input_tokens_details.cached_tokens` and `.cache_write_tokens`; reasoning =
    `output_tokens_details.reasoning_tokens`.
sounds and images
    as responses, where `usage.type` is not `duration`: seconds are not tokens. The input's details are named
    `input_token_details` for sounds; tokens of texts, sounds and images are all part of the two counts.
messages (Anthropic)
    `input_tokens` leaves cached tokens out, so prompt = `input_tokens` + `cache_read_input_tokens` +
    `cache_creation_input_tokens` (without it, the sum of `cache_creation`); completion =
    `output_tokens`, which includes thinking; reasoning = `output_tokens_details.thinking_tokens`.
gemini.generateContent
    prompt = `promptTokenCount` (cached ones included) + `toolUsePromptTokenCount`; completion =
    `candidatesTokenCount` + `thoughtsTokenCount`; cache read = `cachedContentTokenCount`; reasoning =
    `thoughtsTokenCount`. Gemini leaves out members that are zero: a completion of which no part is
    named is what `totalTokenCount` leaves over the prompt.

Gateways answer one dialect with the names of another: `with_other_names` then reads these. They also put
the object where the other dialect has it: each of `USAGE_MEMBERS` is looked at in every answer.
"""

from collections.abc import Callable

from cab.proxy.meter.usage.counts import Usage, UsageReader
from cab.proxy.meter.usage.iterations import message_counts, with_iterations

USAGE_MEMBERS = ("usage", "usageMetadata")
"""Members of an answer that hold its usage, in OpenAI's and Anthropic's dialects and in Gemini's."""


def chat_usage(reader: UsageReader) -> Usage:
    """Return the counts of a chat completion or a completion."""
    prompt = reader.count("prompt_tokens")
    if "prompt_cache_miss_tokens" in reader.raw:
        prompt = _hits_and_misses(reader, prompt)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=reader.count("completion_tokens"),
        total_tokens=reader.count("total_tokens"),
        cache_read_tokens=reader.first(
            ("prompt_tokens_details", "cached_tokens"),
            ("prompt_cache_hit_tokens",),
            ("cache_read_input_tokens",),
            ("cached_tokens",),
            ("num_cached_tokens",),
            ("prompt_token_details", "cached_tokens"),
        ),
        cache_write_tokens=reader.first(
            ("prompt_tokens_details", "cache_write_tokens"),
            ("prompt_tokens_details", "cache_creation_tokens"),
            ("cache_creation_input_tokens",),
        ),
        reasoning_tokens=reader.first(
            ("completion_tokens_details", "reasoning_tokens"), ("reasoning_tokens",)
        ),
    )


def _hits_and_misses(reader: UsageReader, prompt: int | None) -> int | None:
    """Return the prompt, checked against DeepSeek's two parts of it, or their sum where it is not stated.

    https://api-docs.deepseek.com/api/create-chat-completion
    """
    hit, miss = (reader.count(f"prompt_cache_{name}_tokens") for name in ("hit", "miss"))
    if hit is None or miss is None or hit + miss in (0, prompt):
        return prompt
    if prompt:
        reader.fault("cache hits and misses are not the prompt")
        return prompt
    reader.note("prompt: the sum of cache hits and misses")
    return hit + miss


def embeddings_usage(reader: UsageReader) -> Usage:
    """Return the counts of an embedding, or of a reranking."""
    reader.generates = False
    usage = chat_usage(reader)
    for name in ("tokens", "billed_units"):
        if not usage.prompt_tokens and reader.raw.get(name) is not None:
            counts = (reader.count(name, f"{part}_tokens") for part in ("input", "output", "total"))
            usage = usage._replace(**_known(Usage(*counts)))
    return usage


def _known(usage: Usage) -> dict[str, int]:
    return {name: count for name, count in usage._asdict().items() if count is not None}


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


def media_usage(reader: UsageReader) -> Usage:
    """Return the counts of a call that reads or makes sounds or images, none if it was timed."""
    if reader.raw.get("type") == "duration":
        reader.warn("usage is a duration, not tokens")
        return Usage(None, None, None)
    usage = responses_usage(reader)
    if usage.cache_read_tokens is not None:
        return usage
    cached = reader.count("input_token_details", "cached_tokens")
    return usage._replace(cache_read_tokens=cached)


def messages_usage(reader: UsageReader) -> Usage:
    """Return the counts of an Anthropic message."""
    usage = with_iterations(reader, message_counts(reader)).usage()
    thinking = reader.count("output_tokens_details", "thinking_tokens")
    return usage._replace(reasoning_tokens=thinking)


def gemini_usage(reader: UsageReader) -> Usage:
    """Return the counts of a Gemini generation."""
    prompt, tools = reader.count("promptTokenCount"), reader.count("toolUsePromptTokenCount")
    if prompt is not None:
        prompt += tools or 0
    total, thoughts = reader.count("totalTokenCount"), reader.count("thoughtsTokenCount")
    candidates = reader.count("candidatesTokenCount")
    known = [count for count in (candidates, thoughts) if count is not None]
    completion = sum(known) if known else None
    if candidates is None and prompt is not None and (total or 0) >= prompt + (thoughts or 0):
        completion = (total or 0) - prompt
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total,
        cache_read_tokens=reader.count("cachedContentTokenCount"),
        reasoning_tokens=thoughts,
    )


def with_other_names(usage: Usage, reader: UsageReader) -> Usage:
    """Return the counts of a dialect, completed from the names that other dialects give them."""
    if usage.prompt_tokens and (usage.completion_tokens or not reader.generates):
        return usage
    for names, read in _NAMES:
        if not any(reader.raw.get(name) for name in names):
            continue
        other = read(reader)
        if any(new and not old for new, old in zip(other[:2], usage[:2], strict=True)):
            reader.note("counts stood under the names of another dialect")
            pairs = zip(usage, other, strict=True)
            usage = Usage(*(old if old or new is None else new for old, new in pairs))
    return usage


def _input_output_usage(reader: UsageReader) -> Usage:
    """Return the counts of a response, or of a message where its names for the cache are there."""
    caches = ("cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation")
    if any(reader.raw.get(name) is not None for name in caches):
        return messages_usage(reader)
    return responses_usage(reader)


_NAMES: tuple[tuple[tuple[str, ...], Callable[[UsageReader], Usage]], ...] = (
    (("prompt_tokens", "completion_tokens"), chat_usage),
    (("input_tokens", "output_tokens"), _input_output_usage),
    (("promptTokenCount", "candidatesTokenCount"), gemini_usage),
)
