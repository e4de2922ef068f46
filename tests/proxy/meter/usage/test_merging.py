"""How several usage objects of one answer become one."""

import pytest

from cab.proxy.meter.json_values import JsonObject
from cab.proxy.meter.usage import merged, merged_message

REAL: JsonObject = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}


@pytest.mark.parametrize(
    ("before", "raw", "usage"),
    [
        (
            {"prompt_tokens": 100},
            {"completion_tokens": 7},
            {"prompt_tokens": 100, "completion_tokens": 7},
        ),
        (REAL, {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}, REAL),
        (REAL, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, REAL),
        (REAL, {"prompt_tokens": "0", "completion_tokens": 0.0, "details": {}}, {**REAL, "details": {}}),
        ({"prompt_tokens": 0, "completion_tokens": None}, REAL, REAL),
        (
            {"completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 0}},
            {**REAL, "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 2}},
            {**REAL, "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 2}},
        ),
        (
            {"promptTokenCount": 9, "totalTokenCount": 9},
            {"trafficType": "ON_DEMAND"},
            {"promptTokenCount": 9, "totalTokenCount": 9, "trafficType": "ON_DEMAND"},
        ),
        (
            {"promptTokenCount": 9, "thoughtsTokenCount": 4, "totalTokenCount": 13},
            {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 15},
            {"promptTokenCount": 9, "thoughtsTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 15},
        ),
        (
            {"prompt_tokens": 100, "total_tokens": 100},
            {"completion_tokens": 7},
            {"prompt_tokens": 100, "completion_tokens": 7},
        ),
        (
            {"total_tokens": 81},
            {"prompt_tokens": 21},
            {"prompt_tokens": 21, "total_tokens": 81},
        ),
        (
            {"prompt_tokens": 20, "total_tokens": 1016},
            {"completion_tokens": 424},
            {"prompt_tokens": 20, "completion_tokens": 424, "total_tokens": 1016},
        ),
        (
            {"totalTokenCount": 623},
            {"promptTokenCount": 20, "candidatesTokenCount": 198},
            {"promptTokenCount": 20, "candidatesTokenCount": 198, "totalTokenCount": 623},
        ),
        (
            {"prompt_tokens": "100", "completion_tokens": 0, "total_tokens": "100"},
            {"completion_tokens": 7},
            {"prompt_tokens": "100", "completion_tokens": 7},
        ),
        (
            {"prompt_tokens": 21, "completion_tokens": 5, "total_tokens": 40},
            {"completion_tokens": 60},
            {"prompt_tokens": 21, "completion_tokens": 60},
        ),
        (REAL, {"completion_tokens": 7, "cost": 0.1}, {**REAL, "cost": 0.1}),
        ({"a": {"b": 1}}, {"a": 7}, {"a": 7}),
        ({"is_byok": True}, {"is_byok": False}, {"is_byok": False}),
    ],
)  # fmt: skip
def test_usage_is_merged_by_member(before: JsonObject, raw: JsonObject, usage: JsonObject) -> None:
    """Later counts replace earlier ones; what says nothing leaves them, and old sums go."""
    assert merged(before, raw) == usage


def message(fresh: int | None, output: int, **caches: object) -> JsonObject:
    names = {"read": "cache_read_input_tokens", "written": "cache_creation_input_tokens"}
    return {
        "input_tokens": fresh,
        "output_tokens": output,
        **{names.get(name, name): value for name, value in caches.items()},
    }


@pytest.mark.parametrize(
    ("start", "delta", "usage"),
    [
        (message(15, 1), message(0, 0), message(15, 1)),
        (
            message(15, 1, read=200, written=1000),
            message(0, 0, read=0, written=0),
            message(15, 1, read=200, written=1000),
        ),
        (message(1000, 0), message(200, 12, read=800), message(200, 12, read=800)),
        (
            message(60385, 5, read=0, written=0),
            message(612, 2819, read=0, written=0),
            message(612, 2819, read=0, written=0),
        ),
        (
            message(5, 1, read=700, written=9),
            message(50, 3, read=0, written=20),
            message(50, 3, read=0, written=20),
        ),
        (message(0, 0), message(23, 9, read=4), message(23, 9, read=4)),
        (message(15, 1, read=7), message(None, 9, read=None), message(15, 9, read=7)),
        (message(15, 1, read=7), {"output_tokens": 9}, message(15, 9, read=7)),
        (
            message(5, 1, written=9, cache_creation={"ephemeral_5m_input_tokens": 9}),
            message(5, 2, written=9),
            message(5, 2, written=9, cache_creation={"ephemeral_5m_input_tokens": 9}),
        ),
        (
            message(5, 1, written=9, cache_creation={"ephemeral_5m_input_tokens": 9}),
            message(5, 2, written=4),
            message(5, 2, written=4),
        ),
    ],
)
def test_the_input_of_a_message_is_one_statement(
    start: JsonObject, delta: JsonObject, usage: JsonObject
) -> None:
    """A later input side is taken with its zeros; placeholders never lower a count."""
    assert merged_message(start, delta) == (usage, None)


@pytest.mark.parametrize("fresh", [None, 0])
def test_a_cache_without_its_input_is_ambiguous(fresh: int | None) -> None:
    """Cached tokens that are stated after the input may be inside it: nothing is decided."""
    usage, conflict = merged_message(message(3602, 0), message(fresh, 878, read=3604, written=0))
    assert usage == message(3602, 878, read=3604, written=0)
    assert conflict is not None
