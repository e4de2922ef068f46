"""Real SDKs, a real proxy and the demo: every dialect leads to the solution, and the numbers agree."""

from pathlib import Path

import pytest

from cab.proxy.demo.scenarios import find_scenario
from tests.proxy.demo.conversation import bash
from tests.proxy.demo.sdkagents import SPEAKERS, Job
from tests.tools.sdk import assert_account_agrees, demo_behind

PROMPT = "Function lets int() blow up on user input; replace with proper error propagation"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("endpoint", SPEAKERS)
async def test_an_sdk_is_led_to_the_solution(endpoint: str, stream: bool, tmp_path: Path) -> None:
    """The SDK runs the commands, its files are solved, and SDK, ledger and account agree."""
    scenario = find_scenario([PROMPT])
    assert scenario is not None
    work = tmp_path / "work"
    work.mkdir()
    for edit in scenario.files:
        (work / edit.path).write_text(edit.before or "")
    async with demo_behind(tmp_path / "ledger") as (demo, meter):
        job = Job(
            url=meter.url,
            model="stepfun-ai/step",
            prompt=PROMPT,
            act=lambda command: bash(command, work),
            stream=stream,
        )
        answers = await SPEAKERS[endpoint](job)
        rows = await meter.settled(len(answers))
        account = demo.account()
    assert all((work / edit.path).read_text() == edit.after for edit in scenario.files)
    assert answers[-1].text == scenario.closing
    assert_account_agrees(demo, rows)
    assert [each[:3] for each in answers] == [
        (row["upstream_id"], row["prompt_tokens"], row["completion_tokens"]) for row in rows
    ]
    assert [(row["endpoint"], row["model_requested"], row["stream"]) for row in rows] == [
        (each["endpoint"], each["model"], each["stream"]) for each in account["by_call"]
    ]
    assert {(row["endpoint"], row["model_served"]) for row in rows} == {
        (endpoint, "stepfun-ai/step")
    }
    assert rows[-1]["cache_read_tokens"]
    assert all(row["reasoning_tokens"] for row in rows) is (endpoint == "gemini.generateContent")


@pytest.mark.parametrize("endpoint", SPEAKERS)
async def test_other_questions_get_the_greeting(endpoint: str, tmp_path: Path) -> None:
    """What is outside the scenarios gets one harmless final answer."""
    async with demo_behind(tmp_path) as (_, meter):
        job = Job(meter.url, "m", "What is the time?", lambda _: "", stream=True)
        [answer] = await SPEAKERS[endpoint](job)
    assert answer.text.startswith("This is the scripted demo model.")
