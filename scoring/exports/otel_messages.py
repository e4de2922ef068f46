"""What was said in a call as OpenTelemetry's GenAI conventions hold it: opt-in attributes of a span."""

from collections.abc import Iterable
from typing import Any

from cab.scoring.evidence.messages.model import (
    OfferedTool,
    SaidCall,
    SaidMedia,
    SaidMessage,
    SaidOther,
    SaidPart,
    SaidReasoning,
    SaidText,
    SaidToolCall,
    SaidToolResult,
)
from cab.scoring.evidence.messages.turns import arguments_object, said_text, turns
from cab.scoring.exports.plain import known
from cab.scoring.exports.stop_reasons import stop_reason


def message_attributes(said: SaidCall) -> dict[str, Any]:
    """Return the attributes that hold what was said; what is not known is left out."""
    messages = turns(said.request.messages) if said.request else []
    system = [part for each in messages if each.speaker == "system" for part in each.parts]
    others = [each for each in messages if each.speaker != "system"]
    answer = turns(said.answer.messages) if said.answer else []
    failed = said.answer is not None and said.answer.error is not None
    found = {
        "gen_ai.system_instructions": _parts(system),
        "gen_ai.input.messages": [_message(each) for each in others],
        "gen_ai.output.messages": [_output(each, failed=failed) for each in answer],
        "gen_ai.tool.definitions": [_tool(tool) for tool in said.request.tools]
        if said.request
        else [],
    }
    return {name: value for name, value in found.items() if value}


def _message(message: SaidMessage) -> dict[str, Any]:
    only_results = all(isinstance(part, SaidToolResult) for part in message.parts)
    role = "tool" if message.parts and only_results else message.speaker
    return {"role": role, "parts": _parts(message.parts)}


def _output(message: SaidMessage, *, failed: bool) -> dict[str, Any]:
    reason = stop_reason(message.finish) or message.finish
    return {**_message(message), "finish_reason": reason or ("error" if failed else "unknown")}


def _parts(parts: Iterable[SaidPart]) -> list[dict[str, Any]]:
    return [_part(part) for part in parts]


def _part(part: SaidPart) -> dict[str, Any]:
    match part:
        case SaidText(text):
            return {"type": "text", "content": text}
        case SaidReasoning(text):
            return {"type": "reasoning", "content": text}
        case SaidToolCall(name, text, call_id):
            given = arguments_object(text)
            arguments = text if given is None else given
            return {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}
        case SaidToolResult(parts, _, call_id):
            return {"type": "tool_call_response", "id": call_id, "response": said_text(parts)}
        case SaidMedia(media, media_type, size_bytes, reference):
            facts = known(mime_type=media_type, size_bytes=size_bytes, uri=reference)
            return {"type": media, **facts}
        case SaidOther(name, json):
            return {"type": name, "json": json}


def _tool(tool: OfferedTool) -> dict[str, Any]:
    facts = known(description=tool.description, parameters=tool.parameters)
    return {"type": "function", "name": tool.name, **facts}
