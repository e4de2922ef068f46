"""What was said in the calls of a cell, as steps of a trajectory of Harbor.

A step of an agent holds what the model answered; the results of its tools are in the request of a later
call, and stand in the step that called them. What an agent repeats of its history makes no step.
"""

from collections.abc import Iterable
from typing import Any

from cab.scoring.evidence.messages.captured import CapturedMessages
from cab.scoring.evidence.messages.history import History
from cab.scoring.evidence.messages.model import (
    SaidAnswer,
    SaidMessage,
    SaidPart,
    SaidToolCall,
    SaidToolResult,
)
from cab.scoring.evidence.messages.turns import (
    arguments_object,
    results_apart,
    said_reasoning,
    said_text,
    turns,
)
from cab.scoring.exports.plain import known


class TrajectoryMessages:
    """Puts messages into the steps of a cell's calls.

    Args:
        captured: Of the cell.
    """

    def __init__(self, captured: CapturedMessages) -> None:
        self._captured = captured
        self._history = History()
        self._callers: dict[str, dict[str, Any]] = {}
        """Id of a tool call -> the step that made it."""
        self._any_caller: dict[str, Any] | None = None

    def before(self, call_id: str, started_at: str) -> list[dict[str, Any]]:
        """Return the steps of what is new in a call's request; results go to the steps of their calls."""
        said = self._captured.said(call_id)
        if said is None or said.request is None:
            return []
        earlier = self._history.add(call_id, said).messages
        steps: list[dict[str, Any]] = []
        for part in results_apart(said.request.messages[earlier:]):
            if isinstance(part, SaidToolResult):
                self._observe(part)
            elif part.speaker != "assistant":
                steps.append(_heard(part, started_at))
        return steps

    def answer(self, call_id: str, step: dict[str, Any]) -> dict[str, Any]:
        """Return the step of a call with what the model answered."""
        said = self._captured.said(call_id)
        if said is None or said.answer is None:
            return step
        found = {**step, **_answered(said.answer)}
        for call in found.get("tool_calls", ()):
            self._callers[call["tool_call_id"]] = found
        self._any_caller = found
        return found

    def _observe(self, result: SaidToolResult) -> None:
        call_id = result.call_id or ""
        step = self._callers.get(call_id, self._any_caller)
        if step is None:
            return
        observation = step.setdefault("observation", {"results": []})
        source = call_id if call_id in self._callers else None
        observation["results"].append(known(source_call_id=source, content=said_text(result.parts)))


def _heard(message: SaidMessage, started_at: str) -> dict[str, Any]:
    source = "system" if message.speaker == "system" else "user"
    return {"timestamp": started_at, "source": source, "message": said_text(message.parts)}


def _answered(answer: SaidAnswer) -> dict[str, Any]:
    parts: list[SaidPart] = [part for each in turns(answer.messages)[:1] for part in each.parts]
    calls = [part for part in parts if isinstance(part, SaidToolCall)]
    return known(
        message=said_text(parts),
        reasoning_content=said_reasoning(parts) or None,
        tool_calls=_calls(calls) or None,
    )


def _calls(calls: Iterable[SaidToolCall]) -> list[dict[str, Any]]:
    return [
        {
            "tool_call_id": call.call_id or f"call-{number}",
            "function_name": call.name,
            "arguments": _arguments(call.arguments),
        }
        for number, call in enumerate(calls, 1)
    ]


def _arguments(text: str) -> dict[str, Any]:
    found = arguments_object(text)
    return {"input": text} if found is None else found
