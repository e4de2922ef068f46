"""Responses: items of a request and of an answer, and a stream as a whole answer."""

from collections.abc import Iterable

from cab.scoring.evidence.messages.chat import content_parts, file_part
from cab.scoring.evidence.messages.events import StreamEvent
from cab.scoring.evidence.messages.json_values import (
    JsonObject,
    compact,
    first_text,
    index_of,
    list_of,
    object_of,
    other,
)
from cab.scoring.evidence.messages.media import media_at
from cab.scoring.evidence.messages.model import (
    OfferedTool,
    SaidMessage,
    SaidPart,
    SaidReasoning,
    SaidText,
    SaidToolCall,
    SaidToolResult,
)
from cab.scoring.files import is_list

REQUEST_MEMBERS = frozenset(("input", "instructions", "tools"))

_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_RESULTS = ("function_call_output", "custom_tool_call_output")
_ACTIONS = {"local_shell_call": "local_shell", "shell_call": "shell", "computer_call": "computer"}
_ACTION_RESULTS = tuple(f"{name}_output" for name in _ACTIONS)


def responses_request(body: JsonObject) -> list[SaidMessage]:
    """Return the instructions and items of a request."""
    found: list[SaidMessage] = []
    if instructions := body.get("instructions"):
        found.append(SaidMessage("instructions", tuple(content_parts(instructions))))
    given = body.get("input")
    if isinstance(given, str):
        return [*found, SaidMessage("user", (SaidText(given),))]
    return [*found, *(_item(object_of(item), "user") for item in list_of(given))]


def responses_tools(body: JsonObject) -> list[OfferedTool]:
    """Return the tools that a request offers."""
    given = [object_of(tool) for tool in list_of(body.get("tools"))]
    return [
        OfferedTool(
            first_text(tool, "name", "type") or "unknown",
            first_text(tool, "description"),
            tool.get("parameters", tool.get("format")),
        )
        for tool in given
    ]


def responses_answer(body: JsonObject) -> list[SaidMessage]:
    """Return the items of an answer; the last one says how it ended."""
    found = [_item(object_of(item), "assistant") for item in list_of(body.get("output"))]
    details = object_of(body.get("incomplete_details"))
    finish = first_text(details, "reason") or first_text(body, "status")
    if found:
        found[-1] = SaidMessage(found[-1].role, found[-1].parts, finish)
    return found


def _item(item: JsonObject, otherwise: str) -> SaidMessage:
    kind = first_text(item, "type") or "message"
    call_id = first_text(item, "call_id")
    if kind in _CALLS:
        given = item.get(_CALLS[kind])
        arguments = given if isinstance(given, str) else "" if given is None else compact(given)
        called = SaidToolCall(first_text(item, "name") or "", arguments, call_id)
        return SaidMessage("assistant", (called,))
    if kind in _ACTIONS:
        called = SaidToolCall(_ACTIONS[kind], compact(item.get("action")), call_id)
        return SaidMessage("assistant", (called,))
    if kind in _RESULTS or kind in _ACTION_RESULTS:
        parts = tuple(_content(item.get("output")))
        return SaidMessage("tool", (SaidToolResult(parts, None, call_id),))
    if kind == "reasoning":
        return SaidMessage("assistant", (SaidReasoning(_thought(item)),))
    if kind == "message":
        parts = tuple(_content(item.get("content")))
        return SaidMessage(first_text(item, "role") or otherwise, parts)
    return SaidMessage(first_text(item, "role") or otherwise, (other(kind, item),))


def _thought(item: JsonObject) -> str:
    given = [*list_of(item.get("summary")), *list_of(item.get("content"))]
    return "\n\n".join(filter(None, (first_text(object_of(each), "text") for each in given)))


def _content(content: object) -> list[SaidPart]:
    if not is_list(content):
        return content_parts(content)
    return [part for each in list_of(content) for part in _part(each)]


def _part(value: object) -> list[SaidPart]:
    part = object_of(value)
    kind = first_text(part, "type")
    if kind in ("input_image", "computer_screenshot"):
        url = part.get("image_url") or part.get("file_id")
        return [media_at(kind, url)]
    if kind == "input_file":
        return [file_part(part, kind)]
    if kind in ("reasoning_text", "summary_text"):
        return [SaidReasoning(first_text(part, "text") or "")]
    return content_parts([value])


TERMINAL = ("completed", "incomplete", "failed", "cancelled", "done")
_DELTAS = {
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
}
"""Event -> member of the item, type of the part in it, member of the part."""
_TEXT_DELTAS = {
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}


def responses_whole(events: Iterable[StreamEvent]) -> JsonObject:
    """Return the response that the events of a stream make.

    That is what the last event states; items that it leaves out, or that never ended, are put together.
    """
    whole: JsonObject = {}
    items: dict[int, JsonObject] = {}
    for event in events:
        data = event.data
        kind = first_text(data, "type") or event.name
        place = index_of(data.get("output_index"), max(items, default=0))
        if response := object_of(data.get("response")):
            whole = response
        elif kind in ("response.output_item.added", "response.output_item.done"):
            items[place] = dict(object_of(data.get("item")))
        elif kind in _TEXT_DELTAS:
            item = items.setdefault(place, {"type": "function_call"})
            _append(item, _TEXT_DELTAS[kind], data.get("delta"))
        elif kind in _DELTAS:
            _add_piece(items.setdefault(place, {"type": "message"}), kind, data)
    if list_of(whole.get("output")) or not items:
        return whole
    return {**whole, "output": [items[place] for place in sorted(items)]}


def _append(holder: JsonObject, name: str, piece: object) -> None:
    if isinstance(piece, str):
        before = holder.get(name)
        holder[name] = (before if isinstance(before, str) else "") + piece


def _add_piece(item: JsonObject, kind: str, data: JsonObject) -> None:
    member, part_type, text = _DELTAS[kind]
    parts = list_of(item.get(member))
    index = data.get("content_index", data.get("summary_index"))
    at = min(index_of(index, len(parts) - 1), len(parts))
    if at < 0 or at == len(parts):
        parts = [*parts, {"type": part_type}]
        at = len(parts) - 1
    parts[at] = dict(object_of(parts[at]))
    _append(object_of(parts[at]), text, data.get("delta"))
    item[member] = parts
