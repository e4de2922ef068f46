"""Spans of a run."""

import itertools

import pytest

from cab.adapters.runs.spans import SpanRecorder


def test_order_and_offsets() -> None:
    """Spans are kept in the order in which they end, offsets counted from the beginning."""
    clock = itertools.count(5_000_000, 1_000_000)
    spans = SpanRecorder(lambda: next(clock))

    with (
        spans.span("adapter_run", "outer", timeout_s=600) as outer,
        spans.span("container", "inner", outer, argv=["x"]) as inner,
    ):
        inner.attrs["exit_code"] = 0
    inner_span, outer_span = spans.spans

    assert (inner_span.name, outer_span.name) == ("inner", "outer")
    assert inner_span.parent_id == outer_span.span_id
    assert outer_span.parent_id is None
    assert (outer_span.start_ms, outer_span.duration_ms) == (1, 3)
    assert (inner_span.start_ms, inner_span.duration_ms) == (2, 1)
    assert inner_span.attrs == {"argv": ["x"], "exit_code": 0}
    assert spans.elapsed_ms() == 5


def test_failed_span_is_kept() -> None:
    """A span whose block raises is recorded all the same."""
    spans = SpanRecorder()

    with pytest.raises(RuntimeError), spans.span("cleanup", "broken"):
        raise RuntimeError

    assert [span.name for span in spans.spans] == ["broken"]
    assert len(spans.spans[0].span_id) == 32
