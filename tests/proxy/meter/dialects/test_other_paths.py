"""Dialects under the paths of other vendors: how they are counted, and which model they name."""

import orjson
import pytest

from cab.proxy.meter import Usage
from tests.proxy.meter.drive import JSON, meter_for, outcome_of

VERTEX = "/v1/projects/p/locations/l"
CLAUDE = f"{VERTEX}/publishers/anthropic/models/claude-4@1"


@pytest.mark.parametrize(
    ("path", "answer", "counts"),
    [
        (
            f"{CLAUDE}:rawPredict",
            {
                "content": [{"type": "text", "text": "tea"}],
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": 2},
            },
            Usage(7, 1, 8, cache_read_tokens=2),
        ),
        (
            f"{VERTEX}/endpoints/7:generateContent",
            {
                "candidates": [{"content": {"parts": [{"text": "tea"}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 1},
            },
            Usage(5, 1, 6),
        ),
        (
            "/v1/fim/completions",
            {
                "choices": [{"message": {"content": "tea"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
            },
            Usage(5, 1, 6),
        ),
        (
            "/v1/responses/compact",
            {
                "id": "r",
                "object": "response.compaction",
                "output": [{"type": "compaction", "encrypted_content": "x"}],
                "usage": {"input_tokens": 900, "output_tokens": 40, "total_tokens": 940},
            },
            Usage(900, 40, 940),
        ),
    ],
)
def test_a_whole_answer(path: str, answer: object, counts: Usage) -> None:
    """It is complete, and its usage is that of its dialect."""
    outcome = outcome_of(path, orjson.dumps(answer), JSON)
    assert outcome.usage == counts
    assert (outcome.complete, outcome.error, outcome.usage_status) == (True, None, "complete")


@pytest.mark.parametrize(
    ("path", "model"),
    [
        (f"{CLAUDE}:streamRawPredict", "claude-4@1"),
        (f"{CLAUDE}:rawPredict", "claude-4@1"),
        (f"{VERTEX}/endpoints/7:generateContent", "7"),
        ("/v1beta/tunedModels/mine-1:streamGenerateContent", "mine-1"),
    ],
)
def test_the_model_is_in_the_path(path: str, model: str) -> None:
    """The body names none; whether the answer is streamed is in the path too."""
    facts = meter_for(path, b'{"messages":[]}').request
    assert facts.model == model
    assert facts.stream is ("stream" in path)
    assert not facts.injected


def test_a_body_may_say_that_a_raw_prediction_streams() -> None:
    """Anthropic's SDK says so in both places; the body counts."""
    facts = meter_for(f"{CLAUDE}:rawPredict", b'{"messages":[],"stream":true}').request
    assert facts.stream is True
