from cab.scoring import sum_calls
from cab.scoring.axes.latency import score_latency
from tests.scoring.builders import end, spans


def test_all_times_of_a_metered_cell() -> None:
    """Wall clock, agent, sum and union of the model calls stand side by side."""
    calls = sum_calls([end("a"), end("b", latency_ms=250.0)])
    assert score_latency(3000.0, spans(), calls).model_dump() == {
        "wall_clock_ms": 3000.0,
        "container_active_ms": 2900.5,
        "model_call_ms": 750.0,
        "model_call_busy_ms": 500.0,
        "known_model_call_ms": 750.0,
    }


def test_what_was_not_measured_is_unknown() -> None:
    """Without spans of an agent and without a ledger only the wall clock is known."""
    latency = score_latency(3000.0, [], None)
    assert (latency.container_active_ms, latency.model_call_ms) == (None, None)
    assert (latency.model_call_busy_ms, latency.known_model_call_ms) == (None, None)


def test_one_unknown_latency_makes_the_sum_unknown() -> None:
    """A call that crashed has no latency, so the sum is null and the rest stands apart."""
    calls = sum_calls([end("a"), end("b", latency_ms=None, end_reason="crash")])
    latency = score_latency(3000.0, [], calls)
    assert (latency.model_call_ms, latency.known_model_call_ms) == (None, 500.0)
    assert latency.model_call_busy_ms is None
