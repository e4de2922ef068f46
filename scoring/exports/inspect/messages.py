"""What was said in a call, as messages and output of an Inspect model event."""

from collections.abc import Iterable
from typing import Any, Final

from cab.scoring.evidence.messages.model import (
    OfferedTool,
    SaidAnswer,
    SaidMedia,
    SaidMessage,
    SaidOther,
    SaidPart,
    SaidReasoning,
    SaidRequest,
    SaidText,
    SaidToolCall,
    SaidToolResult,
)
from cab.scoring.evidence.messages.turns import arguments_object, results_apart, said_text, turns
from cab.scoring.exports.plain import known
from cab.scoring.exports.stop_reasons import StopReason, stop_reason

_STOPS: Final[dict[StopReason, str]] = {
    "stop": "stop",
    "length": "max_tokens",
    "tool_call": "tool_calls",
    "content_filter": "content_filter",
}


def chat_messages(messages: Iterable[SaidMessage]) -> list[dict[str, Any]]:
    """Return messages as Inspect's chat messages; each result of a tool is one."""
    names: dict[str, str] = {}
    found: list[dict[str, Any]] = []
    for each in results_apart(turns(messages)):
        if isinstance(each, SaidToolResult):
            found.append(_result(each, names))
        else:
            calls = [part for part in each.parts if isinstance(part, SaidToolCall)]
            names.update((call.call_id, call.name) for call in calls if call.call_id)
            found.append(_message(each))
    return found


def tool_infos(request: SaidRequest) -> list[dict[str, Any]]:
    """Return the tools that a request offers; their schemas as they were sent are among the options."""
    return [_tool(tool) for tool in request.tools]


def output_choices(answer: SaidAnswer, model: str) -> dict[str, Any]:
    """Return the members of a model output that hold what was answered."""
    choices = [_choice(message, model) for message in turns(answer.messages)]
    completion = said_text(turns(answer.messages)[0].parts) if answer.messages else ""
    return known(choices=choices, completion=completion, error=answer.error)


def _choice(message: SaidMessage, model: str) -> dict[str, Any]:
    reason = stop_reason(message.finish)
    made = {**_message(message), "role": "assistant", "source": "generate", "model": model}
    return {"message": made, "stop_reason": "unknown" if reason is None else _STOPS[reason]}


def _message(message: SaidMessage) -> dict[str, Any]:
    calls = [part for part in message.parts if isinstance(part, SaidToolCall)]
    content = [_content(part) for part in message.parts if not isinstance(part, SaidToolCall)]
    speaker = "user" if message.speaker == "tool" else message.speaker
    if speaker != "assistant":
        return {"role": speaker, "content": content}
    made = [_call(call, number) for number, call in enumerate(calls, 1)]
    return known(role=speaker, content=content, tool_calls=made or None)


def _result(result: SaidToolResult, names: dict[str, str]) -> dict[str, Any]:
    text = said_text(result.parts)
    error = {"type": "unknown", "message": text} if result.is_error else None
    name = result.name or names.get(result.call_id or "")
    return known(role="tool", content=text, tool_call_id=result.call_id, function=name, error=error)


def _call(call: SaidToolCall, number: int) -> dict[str, Any]:
    arguments = arguments_object(call.arguments)
    return known(
        id=call.call_id or f"call-{number}",
        function=call.name,
        arguments={} if arguments is None else arguments,
        parse_error=call.arguments if arguments is None else None,
        type="function",
    )


def _content(part: SaidPart) -> dict[str, Any]:
    match part:
        case SaidText(text):
            return {"type": "text", "text": text}
        case SaidReasoning(text):
            return {"type": "reasoning", "reasoning": text, "redacted": not text}
        case SaidMedia(media, media_type, size_bytes, reference):
            facts = known(media_type=media_type, size_bytes=size_bytes, reference=reference)
            return {"type": "data", "data": {"media": media, **facts}}
        case SaidOther(name, json):
            return {"type": "data", "data": {name: json}}
        case SaidToolCall() | SaidToolResult():
            return {"type": "text", "text": ""}


def _tool(tool: OfferedTool) -> dict[str, Any]:
    parameters: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    options = known(parameters=tool.parameters)
    return {
        "name": tool.name,
        "description": tool.description or "",
        "parameters": parameters,
        "options": options,
    }
