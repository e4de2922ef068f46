"""Real SDKs, a real proxy and the demo: every dialect leads to the solution, and the figures agree."""

from pathlib import Path

import pytest

from cab.proxy.demo.scenarios import find_play
from tests.proxy.demo.conversation import bash
from tests.proxy.demo.sdkagents import SPEAKERS, Job
from tests.tools.sdk import assert_account_agrees, demo_behind

PROMPT = "Function lets int() blow up on user input; replace with proper error propagation"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("endpoint", SPEAKERS)
async def test_an_sdk_is_led_to_the_solution(endpoint: str, stream: bool, tmp_path: Path) -> None:
    """The SDK runs what it is told, its files are solved, and SDK, ledger and account agree."""
    play = find_play([PROMPT])
    assert play is not None
    work = tmp_path / "work"
    work.mkdir()
    for edit in play.files:
        (work / edit.path).write_text(edit.before or "")
    async with demo_behind(tmp_path / "ledger") as (demo, meter):
        job = Job(
            url=meter.url,
            model="stepfun-ai/step",
            prompt=PROMPT,
            act=lambda command: bash(command, work),
            stream=stream,
        )
        told = await SPEAKERS[endpoint](job)
        rows = await meter.settled(len(told))
        account = demo.account()
    assert all((work / edit.path).read_text() == edit.after for edit in play.files)
    assert told[-1].text == play.closing
    assert_account_agrees(demo, rows)
    assert [each[:3] for each in told] == [
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
    """What is no play gets one harmless final answer."""
    async with demo_behind(tmp_path) as (_, meter):
        job = Job(meter.url, "m", "What is the time?", lambda _: "", stream=True)
        [told] = await SPEAKERS[endpoint](job)
    assert told.text.startswith("This is the scripted demo model.")
