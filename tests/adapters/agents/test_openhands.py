"""openhands: its command line, and its own token count."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.adapters.agents.openhands import Openhands
from cab.adapters.errors import BadSelfReport
from tests.adapters.agents.recorded import KEY, MODEL, URL, report_of, run_of

SETTINGS = ".openhands/agent_settings.json"
REFERENCES = Path(__file__).parents[2] / "fixtures" / "reference-cells"


def metrics(*answers: tuple[int, int], **other: object) -> dict[str, Any]:
    """Return what was used in one role."""
    usages = [{"prompt_tokens": p, "completion_tokens": c} for p, c in answers]
    total = {
        "prompt_tokens": sum(prompt for prompt, _ in answers),
        "completion_tokens": sum(completion for _, completion in answers),
    }
    whole: dict[str, Any] = {
        "accumulated_token_usage": total,
        "response_latencies": [{"latency": 0.1}] * len(answers),
        "token_usages": usages,
    }
    return {**whole, **other}


def state(**roles: object) -> str:
    """Return a conversation."""
    return orjson.dumps({"stats": {"usage_to_metrics": roles}}).decode()


def test_headless() -> None:
    """One task, and nobody is asked."""
    launch = Openhands().launch(run_of())

    assert launch.argv == ("/agents/agent", "--headless", "--always-approve", "--task=Fix it")
    assert launch.env["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"


def test_one_model() -> None:
    """The agent and the summing-up of long conversations have the run's model and endpoint."""
    settings = orjson.loads(Openhands().launch(run_of()).files[SETTINGS])

    for llm in (settings["llm"], settings["condenser"]["llm"]):
        assert llm["model"] == f"openai/{MODEL}"
        assert llm["base_url"] == f"{URL}/v1"
        assert llm["api_key"] == KEY


def test_no_public_skills() -> None:
    """git is redirected for the public skills, and for nothing else, to a place that does not exist."""
    env = Openhands().launch(run_of()).env

    assert env["GIT_CONFIG_COUNT"] == "1"
    assert env["GIT_CONFIG_KEY_0"] == "url./nowhere/.insteadOf"
    assert env["GIT_CONFIG_VALUE_0"].endswith("/OpenHands/extensions")


@pytest.mark.parametrize("cell", sorted(REFERENCES.glob("openhands-*.json")), ids=lambda p: p.stem)
def test_published_image(cell: Path) -> None:
    """The image is the one of the published cells."""
    image = orjson.loads(cell.read_bytes())["identity"]["container_image"]

    assert image.partition(":")[0] == Openhands.facts.image


def test_all_roles_and_conversations(tmp_path: Path) -> None:
    """The agent, the summing-up, sub-agents and further conversations are added up."""
    first = state(agent=metrics((5, 1), (6, 2)), condenser=metrics((3, 1)), idle=metrics())
    report = report_of("openhands", tmp_path, first, state(**{"task:1": metrics((2, 1))}))

    assert report is not None
    assert (report.prompt_tokens, report.completion_tokens) == (16, 5)


@pytest.mark.parametrize(
    "odd",
    [
        "[]",
        "{}",
        '{"stats": {}}',
        state(agent=None),
        state(agent={}),
        state(agent=metrics((5, 1), token_usages=[])),
        state(agent=metrics((5, 1), token_usages=[{}])),
        state(agent=metrics((5, 1), response_latencies=None)),
        state(agent=metrics((5, 1), accumulated_token_usage=None)),
        state(agent=metrics((5, 1), accumulated_token_usage={"prompt_tokens": 6})),
        state(
            agent=metrics(
                (5, 1), accumulated_token_usage={"prompt_tokens": 6, "completion_tokens": 1}
            )
        ),
    ],
)
def test_odd_conversation(tmp_path: Path, odd: str) -> None:
    """What cannot be read without guessing is an error."""
    with pytest.raises(BadSelfReport):
        report_of("openhands", tmp_path, odd)


@settings(deadline=None, max_examples=30)
@given(
    roles=st.dictionaries(
        st.text(),
        st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)), max_size=4),
        max_size=4,
    )
)
def test_sums(
    roles: dict[str, list[tuple[int, int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The report is the sum over all answers in all roles."""
    answers = [answer for each in roles.values() for answer in each]
    text = orjson.dumps(
        {"stats": {"usage_to_metrics": {name: metrics(*each) for name, each in roles.items()}}}
    )

    report = report_of("openhands", tmp_path_factory.mktemp("home"), text.decode())

    assert (None if report is None else report.total_tokens) == (sum(map(sum, answers)) or None)
