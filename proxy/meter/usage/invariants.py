"""What must hold between the counts of a call, in every dialect.

Prompt + completion = total, and no part is larger than its whole. Where counts differ, the rules here are tried in
their order; each is how a known kind of endpoint counts. A rule that explains the difference is applied and
noted; if none does, the endpoint's numbers stay and the usage is inconsistent.
"""

from cab.proxy.meter.usage.counts import Usage, UsageReader

_SMALLEST_THOUGHT_TOKENS = 3
"""Totals of proxies are known to be a token or two off (https://github.com/vectorize-io/hindsight/pull/3920):
so little over the parts is no hidden thinking. It is no agreement either: nobody says which count is wrong."""

_ESTIMATE_FACTOR = 1.25
_ESTIMATE_TOKENS = 50
"""Reasoning up to this factor or number over the completion is another tokenizer's count of it; more
than both cannot be inside the completion."""


def settled(usage: Usage, reader: UsageReader) -> Usage:
    """Return the counts as the rules leave them; the reader notes what they did and could not explain."""
    usage = _completed(usage, reader)
    prompt, completion, total, _, _, reasoning = usage
    if prompt is None or completion is None:
        if total is not None and total < (prompt or completion or 0):
            reader.fault("the total is smaller than its part")
        return usage
    if total is None:
        usage = usage._replace(total_tokens=prompt + completion)
    elif total != prompt + completion:
        usage = _explained(usage, reader, total - prompt - completion)
    elif usage[3:] == (None, None, None):
        return usage
    if reasoning:
        usage = _with_reasoning_inside(usage, reader, reasoning)
    cached = (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
    if cached > (usage.prompt_tokens or 0):
        reader.fault("cached tokens are more than the prompt")
    return usage


def _completed(usage: Usage, reader: UsageReader) -> Usage:
    """Return the usage with the count that the total leaves, where one of the two is not stated."""
    prompt, completion, total = usage[:3]
    if completion is None and not reader.generates and (prompt, total) != (None, None):
        completion = 0
        usage = usage._replace(completion_tokens=0)
    if prompt and completion is not None:
        return usage
    if not prompt and completion is not None and total is not None and total > completion:
        reader.note("prompt: what the total leaves beside the completion")
        return usage._replace(prompt_tokens=total - completion)
    if prompt == 0 and completion:
        # Converters and Ollama send 0 where they do not know it: every prompt has tokens.
        reader.note("prompt 0 beside a completion is not a count")
        return usage._replace(prompt_tokens=None, total_tokens=None)
    cached = (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
    if completion is None and prompt is not None and cached <= prompt < (total or 0):
        reader.note("completion: what the total leaves beside the prompt")
        return usage._replace(completion_tokens=(total or 0) - prompt)
    return usage


def _explained(usage: Usage, reader: UsageReader, difference: int) -> Usage:
    """Return the usage as the first rule that explains its total leaves it."""
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    caches = {count for count in (read, read + written) if count}
    change: dict[str, int] = {}
    if usage.total_tokens == 0:
        note, change = (
            "total 0 beside other counts is not a count",
            {"total_tokens": prompt + completion},
        )
    elif difference == usage.reasoning_tokens:
        # xAI (https://github.com/vercel/ai/pull/12425), converters of Gemini.
        note = "reasoning was outside the completion"
        change = {"completion_tokens": completion + difference}
    elif difference in caches and difference > prompt:
        # Anthropic's convention under other names.
        note, change = (
            "cached tokens were outside the prompt",
            {"prompt_tokens": prompt + difference},
        )
    elif -difference in caches:
        # https://github.com/crewAIInc/crewAI/issues/6788
        note = "the endpoint's total leaves cached tokens out"
        change = {"total_tokens": prompt + completion}
    elif _may_be_hidden(usage, reader, difference) and difference not in caches:
        # Gemini's compatible endpoint: https://github.com/Clarifai/clarifai-python/pull/978
        note = "the total holds hidden thinking, added to the completion"
        change = {"completion_tokens": completion + difference}
    else:
        reader.fault("the total is not prompt + completion")
        return usage
    reader.note(note)
    return usage._replace(**change)


def _may_be_hidden(usage: Usage, reader: UsageReader, difference: int) -> bool:
    stated = usage.reasoning_tokens is not None
    return difference >= _SMALLEST_THOUGHT_TOKENS and not stated and reader.generates


def _with_reasoning_inside(usage: Usage, reader: UsageReader, reasoning: int) -> Usage:
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    if reasoning <= completion:
        return usage
    if reasoning <= max(completion * _ESTIMATE_FACTOR, completion + _ESTIMATE_TOKENS):
        reader.fault("reasoning is more than the completion")
        return usage
    reader.note("reasoning is far more than the completion, so it was outside")
    whole = completion + reasoning
    return usage._replace(completion_tokens=whole, total_tokens=prompt + whole)
