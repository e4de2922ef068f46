"""Anthropic messages: messages of a request and of an answer, and a stream as a whole answer."""

from collections.abc import Iterable

from cab.scoring.evidence.messages.events import StreamEvent
from cab.scoring.evidence.messages.json_values import (
    NO_JSON,
    JsonObject,
    compact,
    first_text,
    index_of,
    list_of,
    object_of,
    other,
    parsed,
    parts_of,
)
from cab.scoring.evidence.messages.media import inline_media, media_at
from cab.scoring.evidence.messages.model import (
    OfferedTool,
    SaidMedia,
    SaidMessage,
    SaidPart,
    SaidReasoning,
    SaidText,
    SaidToolCall,
    SaidToolResult,
)
from cab.scoring.files import is_object

REQUEST_MEMBERS = frozenset(("messages", "system", "tools"))


def anthropic_request(body: JsonObject) -> list[SaidMessage]:
    """Return the system prompt and the messages of a request."""
    found: list[SaidMessage] = []
    if system := body.get("system"):
        found.append(SaidMessage("system", tuple(_content(system))))
    return found + [_message(object_of(each), "user") for each in list_of(body.get("messages"))]


def anthropic_tools(body: JsonObject) -> list[OfferedTool]:
    """Return the tools that a request offers."""
    given = [object_of(tool) for tool in list_of(body.get("tools"))]
    return [
        OfferedTool(
            first_text(tool, "name", "type") or "unknown",
            first_text(tool, "description"),
            tool.get("input_schema"),
        )
        for tool in given
    ]


def anthropic_answer(body: JsonObject) -> list[SaidMessage]:
    """Return the message of an answer; none if it has no content."""
    if not isinstance(body.get("content"), list | str):
        return []
    message = _message(body, "assistant")
    return [SaidMessage(message.role, message.parts, first_text(body, "stop_reason"))]


def _message(message: JsonObject, otherwise: str) -> SaidMessage:
    role = first_text(message, "role") or otherwise
    return SaidMessage(role, tuple(_content(message.get("content"))))


def _content(content: object) -> list[SaidPart]:
    return parts_of(content, _block)


def _block(value: object) -> list[SaidPart]:
    block = object_of(value)
    kind = first_text(block, "type") or ""
    if kind == "text":
        text = first_text(block, "text")
        return [SaidText(text)] if text else []
    if kind in ("thinking", "redacted_thinking"):
        return [SaidReasoning(first_text(block, "thinking") or "")]
    if kind.endswith("tool_use"):
        return [_call(block)]
    if kind.endswith("tool_result"):
        content = block.get("content")
        parts = [other(kind, content)] if is_object(content) else _content(content)
        is_error = block.get("is_error") is True
        return [SaidToolResult(tuple(parts), None, first_text(block, "tool_use_id"), is_error)]
    if kind in ("image", "document"):
        return [_source(kind, block)]
    return [other(kind, value)]


def _call(block: JsonObject) -> SaidToolCall:
    given = block.get("input")
    arguments = given if isinstance(given, str) else "" if given is None else compact(given)
    return SaidToolCall(first_text(block, "name") or "", arguments, first_text(block, "id"))


def _source(kind: str, block: JsonObject) -> SaidPart:
    source = object_of(block.get("source"))
    form, media_type = first_text(source, "type"), first_text(source, "media_type")
    if form == "base64":
        return inline_media(kind, source.get("data"), media_type)
    if form == "url":
        return media_at(kind, source.get("url"), media_type)
    if form == "file":
        return SaidMedia(kind, media_type, None, first_text(source, "file_id"))
    if form == "text" and isinstance(source.get("data"), str):
        return SaidText(str(source["data"]))
    return other(kind, block)


_PIECES = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
}
"""Type of a delta -> its member, and the block's."""


def anthropic_whole(events: Iterable[StreamEvent]) -> JsonObject:
    """Return the message that the events of a stream make; arguments that broke off stay text."""
    whole: JsonObject = {}
    blocks: dict[int, JsonObject] = {}
    inputs: dict[int, list[str]] = {}
    for event in events:
        data = event.data
        kind = first_text(data, "type") or event.name
        place = index_of(data.get("index"), max(blocks, default=0))
        delta = object_of(data.get("delta"))
        if kind == "message_start":
            whole = dict(object_of(data.get("message")))
        elif kind == "content_block_start":
            blocks[place] = dict(object_of(data.get("content_block")))
        elif kind == "content_block_delta":
            _add_delta(blocks.setdefault(place, {"type": "text"}), delta)
            if isinstance(delta.get("partial_json"), str):
                inputs.setdefault(place, []).append(str(delta["partial_json"]))
        elif kind == "message_delta":
            whole |= {name: value for name, value in delta.items() if value is not None}
    for place, pieces in inputs.items():
        if text := "".join(pieces):
            value = parsed(text.encode("utf-8", "replace"))
            blocks[place]["input"] = text if value is NO_JSON else value
    if blocks:
        given = list_of(whole.get("content"))
        whole["content"] = [*given, *(blocks[place] for place in sorted(blocks))]
    return whole


def _add_delta(block: JsonObject, delta: JsonObject) -> None:
    kind = first_text(delta, "type") or ""
    if kind in _PIECES:
        source, name = _PIECES[kind]
        before, piece = block.get(name), delta.get(source)
        if isinstance(piece, str):
            block[name] = (before if isinstance(before, str) else "") + piece
    elif kind == "citations_delta":
        block["citations"] = [*list_of(block.get("citations")), delta.get("citation")]
