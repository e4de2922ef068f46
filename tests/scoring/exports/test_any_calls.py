"""Whatever the calls of a cell were, every format takes them, and their numbers agree."""

import tempfile
from pathlib import Path
from typing import Any, get_args

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cab.scoring.exports.atif import trajectory
from cab.scoring.exports.inspect.sample import sample
from cab.scoring.exports.otel import attributes
from cab.scoring.ledger.records import CallEnd, Endpoint, EndReason
from tests.scoring.builders import end_fields, start_fields
from tests.scoring.exports.atif_schema import TRAJECTORY
from tests.scoring.exports.cells import source

TOKENS = st.none() | st.integers(0, 10**9)
PARTS = ("prompt_tokens", "completion_tokens", "total_tokens")
CACHE = ("cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


@st.composite
def ends(draw: st.DrawFn) -> dict[str, Any]:
    """Return the members of an END that are free to vary."""
    counter = draw(st.sampled_from(["upstream", "tokenizer", "none"]))
    tokens = st.none() if counter == "none" else TOKENS
    return {
        **{name: draw(tokens) for name in (*PARTS, *CACHE)},
        "endpoint": draw(st.sampled_from(get_args(Endpoint))),
        "end_reason": draw(st.sampled_from(get_args(EndReason))),
        "status": draw(st.sampled_from([None, 200, 429, 500])),
        "usage_source": counter,
        "stream": draw(st.sampled_from([None, True, False])),
        "model_requested": draw(st.none() | st.text(max_size=8)),
        "latency_ms": draw(st.none() | st.floats(0, 1e6)),
        "cost_usd": draw(st.sampled_from([None, "0.1", 0.25, "1e-9"])),
        "finish_reason": draw(st.none() | st.text(max_size=4)),
    }


@settings(deadline=None, max_examples=50)
@given(st.lists(ends(), max_size=5), st.booleans())
def test_every_format_takes_any_calls(calls: list[dict[str, Any]], torn: bool) -> None:
    """A trajectory holds the rules, spans have no nulls, and steps add up to the totals."""
    records = [end_fields(f"c{n}", seq=n + 1, **fields) for n, fields in enumerate(calls)]
    records += [start_fields("torn", seq=len(calls) + 1)] if torn else []
    with tempfile.TemporaryDirectory() as folder:
        found = source(Path(folder) / "b", calls=records)
        made = orjson.loads(orjson.dumps(trajectory(found)))
        shown = orjson.loads(orjson.dumps(sample(found)))
        model_calls = list(found.calls())
    Draft202012Validator(TRAJECTORY).validate(made)
    steps = made["steps"][1:]
    assert len(steps) == len(shown["events"]) == len(model_calls)
    for total, part in (("total_prompt_tokens", "prompt_tokens"), ("total_cost_usd", "cost_usd")):
        if total in made["final_metrics"]:
            summed = sum(step.get("metrics", {}).get(part, 0) for step in steps)
            assert abs(made["final_metrics"][total] - summed) < 1e-6
    for call in model_calls:
        if isinstance(call, CallEnd):
            assert None not in attributes(call).values()
    for usage in shown["model_usage"].values():
        assert min(value for value in usage.values()) >= 0
