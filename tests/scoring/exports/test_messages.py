"""What was said in calls, in the formats that have a place for it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring.exports import otel
from cab.scoring.exports.atif import trajectory
from cab.scoring.exports.inspect.sample import sample
from cab.scoring.exports.source import Source
from cab.scoring.ledger.records import CallEnd
from tests.adapters.report.pagecells import write_capture
from tests.scoring.builders import end_fields
from tests.scoring.exports.cells import cell_id, source
from tests.scoring.exports.inspect.test_log import read_by_inspect, write
from tests.scoring.exports.test_atif import checked


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A cell of three calls: one that looks, one that fails, and its repetition, which is the end."""
    folder = tmp_path_factory.mktemp("cell") / "b"
    calls = [
        end_fields(
            f"c{n}",
            seq=n,
            started_at=f"2026-11-20T12:00:0{n}.000000Z",
            ended_at=f"2026-11-20T12:00:0{n}.500000Z",
            model_requested="m",
        )
        for n in (1, 2, 3)
    ]
    made = source(folder, calls=calls)
    write_capture(folder, cell_id(), "plain")
    return made


def test_without_being_asked_no_format_holds_them(captured: Source) -> None:
    """An export is a hand-over: messages are in it only if somebody wants that."""
    (first, *_) = captured.calls()
    assert isinstance(first, CallEnd)
    for made in (trajectory(captured), sample(captured), otel.span(first)):
        assert b"I look" not in orjson.dumps(made)


def test_a_trajectory_has_calls_with_their_observations(captured: Source) -> None:
    """A tool's result stands in the step that called it; what an agent repeats makes no step."""
    made = checked(trajectory(captured, captured.messages()))
    task, system, user, looked, odd, image, failed, done = made["steps"]
    assert [step["source"] for step in made["steps"]].count("agent") == 3
    assert (task["message"], system["source"]) == ("fix it", "system")
    assert user["message"] == "fix plain"
    assert looked["message"] == "I look: plain"
    call = {"tool_call_id": "t1", "function_name": "look", "arguments": {"path": "plain"}}
    assert looked["tool_calls"] == [call]
    result = {"source_call_id": "t1", "content": "found plain"}
    assert looked["observation"] == {"results": [result]}
    assert odd["source"] == "user"
    assert image["message"] == "[image_url, https://x.invalid/plain]"
    assert failed["message"] == ""
    assert (done["message"], done["reasoning_content"]) == ("done", "plain")


def test_a_span_has_the_conventions_messages(captured: Source) -> None:
    """Instructions apart from the conversation; results of tools as responses; why the answer ended."""
    messages = captured.messages()
    assert messages is not None
    calls = {call.call_id: call for call in captured.calls()}
    attributes: list[dict[str, Any]] = []
    for call_id in ("c1", "c2", "c3"):
        call = calls[call_id]
        assert isinstance(call, CallEnd)
        attributes.append(otel.attributes(call, messages.said(call_id)))
    first, second, third = attributes
    text = {"type": "text", "content": "plain"}
    assert first["gen_ai.system_instructions"] == [text]
    said = {"type": "text", "content": "I look: plain"}
    called = {"type": "tool_call", "id": "t1", "name": "look", "arguments": {"path": "plain"}}
    answer = {"role": "assistant", "parts": [said, called], "finish_reason": "tool_call"}
    assert first["gen_ai.output.messages"] == [answer]
    result = {"type": "tool_call_response", "id": "t1", "response": "found plain"}
    assert third["gen_ai.input.messages"][2] == {"role": "tool", "parts": [result]}
    assert third["gen_ai.tool.definitions"] == [{"type": "function", "name": "lookplain"}]
    assert "gen_ai.output.messages" not in second
    assert third["gen_ai.output.messages"][0]["finish_reason"] == "plain"


@pytest.mark.slow
def test_the_real_inspect_reads_them(captured: Source, tmp_path: Path) -> None:
    """Its own models take the messages, calls and results of the log."""
    made = sample(captured, captured.messages())
    assert made["messages"][-1]["content"][1] == {"type": "text", "text": "done"}
    first, second, third = made["events"]
    assert [each["role"] for each in third["input"]] == [
        *("system", "user", "assistant", "tool", "user", "user"),
    ]
    assert third["input"][3]["function"] == "look"
    assert first["output"]["choices"][0]["stop_reason"] == "tool_calls"
    assert second["output"]["error"] == "rate_limit_error: slow down plain"
    [seen] = read_by_inspect(write(tmp_path / "cells.eval", captured, with_messages=True))
    assert "I look: plain" in orjson.dumps(seen).decode()
