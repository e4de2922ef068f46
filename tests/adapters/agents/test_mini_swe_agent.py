"""mini-swe-agent: its command line, and its own token count."""

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.adapters.agents.mini_swe_agent import MiniSweAgent, read_report
from cab.adapters.errors import BadSelfReport
from tests.adapters.agents.recorded import MODEL, URL, run_of

USAGE = {"prompt_tokens": 5, "completion_tokens": 1}


def trajectory(*responses: object, calls: object = None) -> dict[str, Any]:
    """Return a trajectory with these answers, and something else between them."""
    messages: list[dict[str, Any]] = [{"role": "system"}]
    for response in responses:
        messages.append({"role": "assistant", "extra": {"response": response}})
        messages.append({"role": "tool", "extra": {"returncode": 0}})
    known = len(responses) if calls is None else calls
    return {"info": {"model_stats": {"api_calls": known}}, "messages": messages}


def test_headless() -> None:
    """One task and one model, without questions; no list of prices ends the run."""
    launch = MiniSweAgent().launch(run_of())

    assert launch.argv == (
        *("/agents/agent", "--yolo", "--exit-immediately", "--cost-limit=0"),
        *(f"--model=openai/{MODEL}", "--task=Fix it"),
    )
    assert launch.env["OPENAI_API_BASE"] == f"{URL}/v1"
    assert launch.env["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"


def test_no_answer() -> None:
    """Calls without an answer have no count."""
    assert read_report(trajectory(calls=2)) is None


def test_call_without_an_answer() -> None:
    """A call that brought no answer may have been charged, so the rest is not called exact."""
    report = read_report(trajectory({"usage": USAGE}, {"usage": USAGE}, calls=3))

    assert report is not None
    assert (report.total_tokens, report.exact) == (12, False)


def test_answer_that_could_not_be_used() -> None:
    """An answer in the wrong form is kept with the message that says so, and counts."""
    whole = trajectory({"usage": USAGE}, calls=2)
    whole["messages"].append({"role": "user", "extra": {"response": {"usage": USAGE}}})

    report = read_report(whole)

    assert report is not None
    assert (report.total_tokens, report.exact) == (12, True)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"info": {}, "messages": []},
        {"info": {"model_stats": {"api_calls": 0}}},
        {"info": {"model_stats": {"api_calls": 0}}, "messages": [{"extra": None}]},
        trajectory({"usage": USAGE}, calls=0),
        trajectory("ModelResponse(usage=...)"),
        trajectory({}),
        trajectory({"usage": {}}),
    ],
)
def test_odd_trajectory(odd: dict[str, Any]) -> None:
    """What cannot be read without guessing is an error."""
    with pytest.raises(BadSelfReport):
        read_report(odd)


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)), min_size=1, max_size=8))
def test_sums(answers: list[tuple[int, int]]) -> None:
    """The report is the sum over the answers, whatever stands between them."""
    parts = [{"usage": {"prompt_tokens": p, "completion_tokens": c}} for p, c in answers]

    report = read_report(orjson.loads(orjson.dumps(trajectory(*parts))))

    assert report is not None
    assert report.prompt_tokens == sum(prompt for prompt, _ in answers)
    assert report.completion_tokens == sum(completion for _, completion in answers)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["info", "model_stats", "api_calls", "messages", "extra", "response", "usage"]
                ),
                inner,
            )
        ),
    )
)
def test_whatever_it_holds(data: Any) -> None:
    """No trajectory, however odd, ends in anything but a report, none, or the one error."""
    with contextlib.suppress(BadSelfReport):
        read_report(data if isinstance(data, dict) else {})
