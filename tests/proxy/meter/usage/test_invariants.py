"""What must hold between counts, and what explains a difference."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.proxy.meter import Usage
from cab.proxy.meter.json_values import JsonObject
from cab.proxy.meter.usage import (
    UsageReader,
    chat_usage,
    embeddings_usage,
    gemini_usage,
    merged,
    merged_message,
    messages_usage,
    read_usage,
    responses_usage,
)

Counts = Callable[[UsageReader], Usage]


def chat(
    prompt: int | None,
    completion: int | None,
    total: int | None,
    *,
    read: int | None = None,
    written: int | None = None,
    reasoning: int | None = None,
) -> JsonObject:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (chat(20, 424, 1016), Usage(20, 996, 1016)),
        (chat(21, None, 81), Usage(21, 60, 81)),
        (chat(21, 0, 81, reasoning=60), Usage(21, 60, 81, reasoning_tokens=60)),
        (chat(21, None, 81, reasoning=60), Usage(21, 60, 81, reasoning_tokens=60)),
        (chat(32, 9, 135, reasoning=94), Usage(32, 103, 135, reasoning_tokens=94)),
        (
            chat(33, 7163, 7196, reasoning=73416),
            Usage(33, 80579, 80612, reasoning_tokens=73416),
        ),
        (chat(5, 10, 12015, read=12000), Usage(12005, 10, 12015, 12000)),
        (chat(5, 10, 12115, read=12000, written=100), Usage(12105, 10, 12115, 12000, 100)),
        (chat(900, 10, 210, read=700), Usage(900, 10, 910, 700)),
        (chat(0, 0, 815), Usage(815, 0, 815)),
        (chat(None, 7, 20), Usage(13, 7, 20)),
        (chat(10, 5, 18), Usage(10, 8, 18)),
        (chat(10, 5, 0), Usage(10, 5, 15)),
    ],
)
def test_a_rule_explains_the_difference_and_is_noted(raw: JsonObject, usage: Usage) -> None:
    """Hidden thinking, reasoning or a cache outside its whole: the counts follow, and a note says so."""
    reading = read_usage(raw, chat_usage)
    assert reading.usage == usage
    assert len(reading.notes) == 1
    assert reading.faults == []


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (chat(100, 50, 150, read=80, written=20, reasoning=50), Usage(100, 50, 150, 80, 20, 50)),
        (chat(100, 50, None), Usage(100, 50, 150)),
        (chat(0, 0, 0), Usage(0, 0, 0)),
        (chat(7, 0, 7), Usage(7, 0, 7)),
        (chat(7, None, 7), Usage(7, None, 7)),
    ],
)
def test_counts_that_agree_need_no_note(raw: JsonObject, usage: Usage) -> None:
    """The ordinary shapes stand as they are."""
    reading = read_usage(raw, chat_usage)
    assert (reading.usage, reading.notes, reading.faults) == (usage, [], [])


@pytest.mark.parametrize(
    "raw",
    [
        chat(100, 50, 90),
        chat(1, 1, 4),
        chat(10, 5, 16),
        chat(10, 5, 13),
        chat(10000, 5, 10006),
        chat(100, 50, 190, reasoning=7),
        chat(100, 50, 190, reasoning=0),
        chat(100, 102, 202, reasoning=109),
        chat(100, 50, 150, read=101),
        chat(100, 50, None, read=60, written=50),
        chat(100, 50, 230, read=80),
    ],
)
def test_what_no_rule_explains_is_kept_and_inconsistent(raw: JsonObject) -> None:
    """The endpoint's numbers stay as they are, and the fault is named."""
    reading = read_usage(raw, chat_usage)
    assert reading.usage is not None
    assert reading.usage[:2] == (raw["prompt_tokens"], raw["completion_tokens"])
    assert len(reading.faults) == 1
    assert reading.notes == []


def test_a_total_below_its_only_part_is_inconsistent() -> None:
    """A part that is larger than the total contradicts it, though the other part is missing."""
    reading = read_usage({"promptTokenCount": 40, "totalTokenCount": 3}, gemini_usage)
    assert (reading.usage, len(reading.faults)) == (Usage(40, None, 3), 1)


def test_a_cache_outside_the_prompt_leaves_no_completion_to_conclude() -> None:
    """Where cached tokens may be outside the prompt, the rest of the total is not the completion."""
    reading = read_usage(chat(5, None, 12015, read=12000), chat_usage)
    assert reading.usage == Usage(5, None, 12015, 12000)


def test_the_rules_hold_in_every_dialect() -> None:
    """The same differences under the names of other dialects."""
    responses: JsonObject = {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 75,
        "output_tokens_details": {"reasoning_tokens": 60},
    }
    assert read_usage(responses, responses_usage).usage == Usage(10, 65, 75, reasoning_tokens=60)
    gemini: JsonObject = {"promptTokenCount": 20, "candidatesTokenCount": 198}
    hidden = read_usage({**gemini, "totalTokenCount": 623}, gemini_usage)
    assert (hidden.usage, len(hidden.notes)) == (Usage(20, 603, 623), 1)
    thoughts: JsonObject = {"promptTokenCount": 20, "thoughtsTokenCount": 405}
    visible = read_usage({**thoughts, "totalTokenCount": 623}, gemini_usage)
    assert visible.usage == Usage(20, 603, 623, reasoning_tokens=405)
    message: JsonObject = {"input_tokens": 3, "output_tokens": 5}
    thinking: JsonObject = {"output_tokens_details": {"thinking_tokens": 9}}
    assert read_usage({**message, **thinking}, messages_usage).faults
    cached: JsonObject = {"input_tokens_details": {"cached_tokens": 9}}
    assert read_usage({**message, **cached}, responses_usage).faults


def test_an_embedding_has_no_hidden_thinking() -> None:
    """A total over the prompt of an embedding is no completion."""
    reading = read_usage({"prompt_tokens": 8, "total_tokens": 20}, embeddings_usage)
    assert (reading.usage, len(reading.faults)) == (Usage(8, 0, 20), 1)


@pytest.mark.parametrize(
    ("raw", "counts"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 7, "total_tokens": 7}, chat_usage),
        ({"prompt_tokens": 0, "completion_tokens": 7}, chat_usage),
        ({"input_tokens": 0, "output_tokens": 7, "total_tokens": 7}, responses_usage),
        ({"input_tokens": 0, "output_tokens": 7}, messages_usage),
        ({"promptTokenCount": 0, "candidatesTokenCount": 7, "totalTokenCount": 7}, gemini_usage),
    ],
)
def test_prompt_zero_beside_a_completion_is_unknown(raw: JsonObject, counts: Counts) -> None:
    """Every prompt has tokens: the zero is a placeholder, and so the total is unknown."""
    reading = read_usage(raw, counts)
    assert reading.usage == Usage(None, 7, None)
    assert reading.notes == ["prompt 0 beside a completion is not a count"]


NAMES = (
    *("prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens", "cached_tokens"),
    *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
    *("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount"),
    *("toolUsePromptTokenCount", "cachedContentTokenCount", "iterations", "cache_creation"),
)
ANYTHING = st.none() | st.integers(0, 9) | st.integers(0, 2**60) | st.text(max_size=2)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), ANYTHING)
RAW = st.dictionaries(st.sampled_from(NAMES), ANYTHING | OBJECTS | st.lists(OBJECTS, max_size=3))


@settings(max_examples=50)
@given(
    st.lists(RAW, min_size=1, max_size=3),
    st.sampled_from([chat_usage, responses_usage, messages_usage, gemini_usage, embeddings_usage]),
)
def test_what_is_without_fault_agrees(objects: list[JsonObject], counts: Counts) -> None:
    """Whatever an endpoint states: without a fault the parts are within their whole."""
    raw = objects[0]
    for later in objects[1:]:
        merged_message(raw, later)
        raw = merged(raw, later)
    reading = read_usage(raw, counts)
    if reading.usage is None or reading.faults or None in reading.usage[:3]:
        return
    prompt, completion, total, read, written, reasoning = (n or 0 for n in reading.usage)
    assert total == prompt + completion
    assert read + written <= prompt
    assert reasoning <= completion
