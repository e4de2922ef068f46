from cab.scoring import sum_calls
from cab.scoring.axes.calls import Calls, score_calls
from tests.scoring.builders import end, opening, start, uncounted


def test_all_facts_of_a_mixed_cell() -> None:
    """Calls, attempts, ends, first tokens and the output rate of a cell with a retry."""
    failed = uncounted("a", status=429, end_reason="upstream_error", latency_ms=10.0)
    streamed = end("b", retry_of="a", attempt=2, stream=True, ttft_ms=100.0)
    whole = end("c", stream=False, ttft_ms=400.0)
    axis = score_calls(sum_calls([failed, streamed, whole, start("d")]))
    assert axis.model_dump() == {
        "model_calls": 3,
        "attempts": 4,
        "succeeded": 2,
        "failed": 2,
        "rejected": 0,
        "by_end_reason": {"completed": 2, "unfinished": 1, "upstream_error": 1},
        "failures": {"rate_limited": 1, "unfinished": 1},
        "ttft_known": 2,
        "ttft_ms_median": 250.0,
        "ttft_ms_p95": 400.0,
        # 20 tokens in the 400 ms after the first one; the answer in one piece has no rate
        "output_tokens_per_s": 50.0,
    }


def test_without_streams_there_is_no_rate() -> None:
    """Answers whose writing was not timed give no output rate, rather than a rate of 0."""
    for call in (
        end(),
        end(stream=True, ttft_ms=500.0),
        end(stream=True, ttft_ms=100.0, latency_ms=None),
        end(stream=True, ttft_ms=100.0, completion_tokens=None),
    ):
        assert score_calls(sum_calls([call])).output_tokens_per_s is None


def test_no_call_is_a_measured_zero() -> None:
    """An opened cell without a call has no calls and no times; of one that was not nothing is known."""
    axis = score_calls(sum_calls([opening()]))
    assert (axis.model_calls, axis.succeeded, axis.ttft_ms_median) == (0, 0, None)
    assert score_calls(None) == score_calls(sum_calls([])) == Calls()
