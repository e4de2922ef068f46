"""The rules that bring every dialect's usage into one convention."""

from collections.abc import Callable

import pytest

from cab.proxy.meter import Usage
from cab.proxy.meter.json_values import JsonObject
from cab.proxy.meter.usage import (
    UsageReader,
    chat_usage,
    embeddings_usage,
    gemini_usage,
    messages_usage,
    read_usage,
    responses_usage,
)


def chat(**raw: object) -> Usage:
    return read_usage(raw, chat_usage).usage or Usage(None, None, None)


def test_chat_counts_are_inclusive() -> None:
    """Prompt and completion stand as reported, their parts beside them."""
    usage = chat(
        prompt_tokens=100,
        completion_tokens=50,
        total_tokens=150,
        prompt_tokens_details={"cached_tokens": 80, "cache_write_tokens": 10},
        completion_tokens_details={"reasoning_tokens": 30},
    )
    assert usage == Usage(100, 50, 150, 80, 10, 30)


@pytest.mark.parametrize(
    ("raw", "read", "written"),
    [
        ({"prompt_cache_hit_tokens": 16, "prompt_cache_miss_tokens": 4}, 16, None),
        ({"cached_tokens": 3}, 3, None),
        ({"cache_read_input_tokens": 5, "cache_creation_input_tokens": 6}, 5, 6),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "cached_tokens": 3}, 0, None),
        ({"prompt_tokens_details": {"cache_creation_tokens": 9}}, None, 9),
        ({"prompt_tokens_details": None}, None, None),
    ],
)
def test_cache_parts_are_found_where_vendors_put_them(
    raw: JsonObject, read: int | None, written: int | None
) -> None:
    """DeepSeek, Moonshot, LiteLLM and OpenRouter name the cached parts each in their own way."""
    usage = chat(**raw)
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (read, written)


def test_reasoning_left_out_of_the_completion_is_put_in() -> None:
    """Where the endpoint's own total shows that reasoning comes on top, it is added."""
    details = {"reasoning_tokens": 233}
    on_top = chat(
        prompt_tokens=37, completion_tokens=530, total_tokens=800, completion_tokens_details=details
    )
    assert on_top == Usage(37, 763, 800, reasoning_tokens=233)
    within = chat(
        prompt_tokens=37, completion_tokens=530, total_tokens=567, completion_tokens_details=details
    )
    assert within == Usage(37, 530, 567, reasoning_tokens=233)
    flat = chat(prompt_tokens=1, completion_tokens=2, reasoning_tokens=2)
    assert flat == Usage(1, 2, 3, reasoning_tokens=2)


def test_the_total_is_the_endpoints_own_or_the_sum() -> None:
    """A reported total stands even if it does not add up; a missing one is the sum, if it can be."""
    assert chat(prompt_tokens=1, completion_tokens=2, total_tokens=9).total_tokens == 9
    assert chat(prompt_tokens=1, completion_tokens=2).total_tokens == 3
    assert chat(prompt_tokens=1).total_tokens is None
    assert chat(completion_tokens=1).total_tokens is None


def test_explicit_zeros_stay_zero() -> None:
    """A zero that the endpoint measured is known."""
    assert chat(prompt_tokens=0, completion_tokens=0, total_tokens=0) == Usage(0, 0, 0)


def test_an_embedding_has_written_nothing() -> None:
    """The completion of an embedding is a measured zero, unless the endpoint counts one."""
    assert read_usage({"prompt_tokens": 8, "total_tokens": 8}, embeddings_usage).usage == Usage(
        8, 0, 8
    )
    assert read_usage({"prompt_tokens": 8}, embeddings_usage).usage == Usage(8, 0, 8)
    counted: JsonObject = {"prompt_tokens": 8, "completion_tokens": 1}
    assert read_usage(counted, embeddings_usage).usage == Usage(8, 1, 9)
    assert read_usage({"total_tokens": 8}, embeddings_usage).usage == Usage(8, 0, 8)
    assert read_usage({"prompt_tokens": 0, "total_tokens": 8}, embeddings_usage).usage == Usage(
        8, 0, 8
    )


def test_anthropic_counts_exclude_the_cache() -> None:
    """The prompt is fresh plus read plus written; thinking is inside the output."""
    raw: JsonObject = {
        "input_tokens": 12,
        "cache_read_input_tokens": 8000,
        "cache_creation_input_tokens": 300,
        "output_tokens": 89,
        "output_tokens_details": {"thinking_tokens": 40},
    }
    assert read_usage(raw, messages_usage).usage == Usage(8312, 89, 8401, 8000, 300, 40)
    assert read_usage({"input_tokens": 3, "output_tokens": 0}, messages_usage).usage == Usage(
        3, 0, 3
    )
    assert read_usage({"output_tokens": 4}, messages_usage).usage == Usage(None, 4, None)


def test_responses_counts_are_inclusive() -> None:
    """Input and output stand as reported."""
    raw: JsonObject = {
        "input_tokens": 10,
        "output_tokens": 5,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens_details": {"reasoning_tokens": 3},
    }
    assert read_usage(raw, responses_usage).usage == Usage(10, 5, 15, 4, 2, 3)


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (
            {"promptTokenCount": 40, "candidatesTokenCount": 9, "thoughtsTokenCount": 30}
            | {"toolUsePromptTokenCount": 6, "totalTokenCount": 85, "cachedContentTokenCount": 8},
            Usage(46, 39, 85, 8, None, 30),
        ),
        (
            {"promptTokenCount": 40, "thoughtsTokenCount": 30},
            Usage(40, 30, 70, reasoning_tokens=30),
        ),
        ({"promptTokenCount": 40, "totalTokenCount": 40}, Usage(40, 0, 40)),
        ({"promptTokenCount": 40, "totalTokenCount": 3}, Usage(40, None, 3)),
        ({"promptTokenCount": 40}, Usage(40, None, None)),
        ({"candidatesTokenCount": 9}, Usage(None, 9, None)),
    ],
)
def test_gemini_adds_thoughts_and_tool_prompts(raw: JsonObject, usage: Usage) -> None:
    """Thoughts belong to the completion, tool prompts to the prompt; zeros are left out."""
    assert read_usage(raw, gemini_usage).usage == usage


@pytest.mark.parametrize("value", ["1.2", "-1", "", "9" * 30, -1, 1.5, True, [], {}, 2**60])
def test_what_is_not_a_count_is_unknown_and_named(value: object) -> None:
    """A count of the wrong type is unknown, never a crash, and the warning names it once."""
    reading = read_usage({"prompt_tokens": value, "completion_tokens": 12.0}, chat_usage)
    assert reading.usage == Usage(None, 12, None)
    assert reading.warnings == ["usage.prompt_tokens is not a count of tokens"]


def test_counts_given_as_text_are_read_and_noted() -> None:
    """A count in digits is a count, wherever it stands."""
    raw: JsonObject = {"prompt_tokens": "12", "completion_tokens": " 3 ", "total_tokens": 15}
    details: JsonObject = {"prompt_tokens_details": {"cached_tokens": "4"}}
    reading = read_usage({**raw, **details}, chat_usage)
    assert reading.usage == Usage(12, 3, 15, 4)
    assert reading.notes == ["counts were given as text"]
    assert reading.warnings == reading.faults == []


ANTHROPIC: JsonObject = {"input_tokens": 5, "output_tokens": 9, "cache_read_input_tokens": 70}
OPENAI: JsonObject = {"prompt_tokens": 75, "completion_tokens": 9, "total_tokens": 84}
ZEROS: JsonObject = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize(
    ("counts", "raw", "usage"),
    [
        (chat_usage, {"input_tokens": 15, "output_tokens": 9}, Usage(15, 9, 24)),
        (chat_usage, {**ZEROS, "input_tokens": 15, "output_tokens": 9}, Usage(15, 9, 24)),
        (chat_usage, {"prompt_tokens": 15, "output_tokens": 9}, Usage(15, 9, 24)),
        (chat_usage, ANTHROPIC, Usage(75, 9, 84, 70)),
        (chat_usage, {"promptTokenCount": 4, "candidatesTokenCount": 2}, Usage(4, 2, 6)),
        (responses_usage, OPENAI, Usage(75, 9, 84)),
        (
            responses_usage,
            {**OPENAI, "prompt_tokens_details": {"cached_tokens": 6}},
            Usage(75, 9, 84, 6),
        ),
        (messages_usage, OPENAI, Usage(75, 9, 84)),
        (gemini_usage, OPENAI, Usage(75, 9, 84)),
        (embeddings_usage, {"input_tokens": 8, "total_tokens": 8}, Usage(8, 0, 8)),
        (embeddings_usage, {"promptTokenCount": 8}, Usage(8, 0, 8)),
    ],
)
def test_names_of_another_dialect_are_read_and_noted(
    counts: Callable[[UsageReader], Usage], raw: JsonObject, usage: Usage
) -> None:
    """A gateway that answers with another dialect's usage object has stated its counts."""
    reading = read_usage(raw, counts)
    assert reading.usage == usage
    assert reading.notes
    assert reading.faults == []


def test_a_dialects_own_names_come_first() -> None:
    """Where both are there, the dialect's own counts stand and nothing is noted."""
    both: JsonObject = {**OPENAI, "input_tokens": 1, "output_tokens": 1}
    reading = read_usage(both, chat_usage)
    assert (reading.usage, reading.notes) == (Usage(75, 9, 84), [])


def test_details_of_the_wrong_type_are_named() -> None:
    """A part that should be an object and is none is named once."""
    raw: JsonObject = {"prompt_tokens_details": 7}
    warnings = ["usage.prompt_tokens_details is not an object", "usage holds no counts"]
    reading = read_usage(raw, chat_usage)
    assert (reading.usage, reading.raw, reading.warnings) == (None, raw, warnings)
