"""Chat completions: messages of a request and of an answer, and a stream as a whole answer.

Text completions are here too: a prompt, and answers with a text where chat has a message.
"""

from collections.abc import Callable, Iterable, Mapping

from cab.scoring.evidence.messages.json_values import (
    JsonObject,
    compact,
    first_text,
    index_of,
    list_of,
    object_of,
    other,
    others,
    parts_of,
    text_of,
)
from cab.scoring.evidence.messages.media import base64_bytes, inline_media, media_at
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

REQUEST_MEMBERS = frozenset(("messages", "prompt", "suffix", "tools", "functions"))

_KNOWN = frozenset(
    (
        *("role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls"),
        *("function_call", "tool_call_id", "name", "audio", "images", "id", "index"),
    )
)
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")


def chat_request(body: JsonObject) -> list[SaidMessage]:
    """Return the messages of a request."""
    if "messages" in body:
        given = list_of(body["messages"])
        return [chat_message(object_of(message), "user") for message in given]
    return [
        SaidMessage(name, (_prompt(name, body[name]),))
        for name in ("prompt", "suffix")
        if body.get(name) not in (None, "", [])
    ]


def _prompt(name: str, value: object) -> SaidPart:
    if isinstance(value, str):
        return SaidText(value)
    texts = [each for each in list_of(value) if isinstance(each, str)]
    return SaidText(texts[0]) if texts and len(list_of(value)) == 1 else other(name, value)


def chat_tools(body: JsonObject) -> list[OfferedTool]:
    """Return the tools that a request offers."""
    given = [object_of(tool) for tool in list_of(body.get("tools"))]
    given += [{"function": each} for each in list_of(body.get("functions"))]
    return [_tool(tool) for tool in given]


def _tool(tool: JsonObject) -> OfferedTool:
    function = object_of(tool.get("function") or tool.get("custom"))
    name = first_text(function, "name") or first_text(tool, "name", "type") or "unknown"
    parameters = function.get("parameters", function.get("format"))
    return OfferedTool(name, first_text(function, "description"), parameters)


def chat_answer(body: JsonObject) -> list[SaidMessage]:
    """Return the messages of an answer, one for each choice."""
    return [_choice(object_of(choice)) for choice in list_of(body.get("choices"))]


def _choice(choice: JsonObject) -> SaidMessage:
    finish = first_text(choice, "finish_reason")
    text = text_of(choice.get("text"))
    if text is not None and not choice.get("message"):
        return SaidMessage("assistant", (SaidText(text),) if text else (), finish)
    message = chat_message(object_of(choice.get("message")), "assistant")
    return SaidMessage(message.role, message.parts, finish)


def chat_message(message: JsonObject, otherwise: str) -> SaidMessage:
    """Return a message.

    Args:
        message: The message.
        otherwise: Its role if it has none.
    """
    role = first_text(message, "role") or otherwise
    parts: list[SaidPart] = []
    thought = first_text(message, "reasoning_content", "reasoning")
    if thought:
        parts.append(SaidReasoning(thought))
    parts += content_parts(message.get("content"))
    if refusal := first_text(message, "refusal"):
        parts.append(SaidText(refusal))
    if audio := object_of(message.get("audio")):
        parts.append(_audio(audio))
    parts += [_image_url(object_of(image)) for image in list_of(message.get("images"))]
    parts += [_call(object_of(call)) for call in list_of(message.get("tool_calls"))]
    if function := object_of(message.get("function_call")):
        parts.append(_call({"function": function}))
    parts += others(message, _KNOWN)
    if role in ("tool", "function"):
        call_id, name = first_text(message, "tool_call_id"), first_text(message, "name")
        return SaidMessage(role, (SaidToolResult(tuple(parts), name, call_id),))
    return SaidMessage(role, tuple(parts))


def content_parts(content: object) -> list[SaidPart]:
    """Return the parts of a content: a text, or a list of parts."""
    return parts_of(content, _part)


def _part(value: object) -> list[SaidPart]:
    if isinstance(value, str):
        return [SaidText(value)]
    part = object_of(value)
    kind = first_text(part, "type") or ("text" if "text" in part else "")
    if kind in _TEXT_PARTS:
        text = first_text(part, "text", "refusal")
        return [SaidText(text)] if text else []
    reader = _PARTS.get(kind)
    return [reader(part) if reader else other(kind, value)]


def _thinking(part: JsonObject) -> SaidReasoning:
    inner = part.get("thinking")  # Mistral nests texts in it
    texts = [inner] if isinstance(inner, str) else [_inner(each) for each in list_of(inner)]
    return SaidReasoning("".join(texts))


def _inner(value: object) -> str:
    return first_text(object_of(value), "text") or ""


def _sound(part: JsonObject) -> SaidMedia:
    sound = object_of(part.get("input_audio"))
    form = first_text(sound, "format")
    return inline_media("input_audio", sound.get("data"), f"audio/{form}" if form else None)


def _image_url(part: JsonObject) -> SaidMedia:
    image = part.get("image_url")
    return media_at("image_url", image if isinstance(image, str) else object_of(image).get("url"))


def _file(part: JsonObject) -> SaidMedia:
    return file_part(object_of(part.get("file")), "file")


def file_part(file: JsonObject, kind: str) -> SaidMedia:
    """Return a file in OpenAI's form: data, id or URL."""
    name = first_text(file, "filename", "file_id", "file_url")
    if not isinstance(file.get("file_data"), str):
        return SaidMedia(kind, reference=name)
    found = inline_media(kind, file["file_data"], None)
    return SaidMedia(kind, found.media_type, found.size_bytes, name)


def _audio(audio: JsonObject) -> SaidMedia:
    return SaidMedia("audio", None, base64_bytes(audio.get("data")), first_text(audio, "id"))


_PARTS: Mapping[str, Callable[[JsonObject], SaidPart]] = {
    "thinking": _thinking,
    "image_url": _image_url,
    "input_audio": _sound,
    "file": _file,
}


def _call(call: JsonObject) -> SaidToolCall:
    function = object_of(call.get("function") or call.get("custom"))
    given = function.get("arguments", function.get("input"))
    arguments = given if isinstance(given, str) else "" if given is None else compact(given)
    return SaidToolCall(first_text(function, "name") or "", arguments, first_text(call, "id"))


def merged_choices(chunks: Iterable[JsonObject]) -> dict[int, list[JsonObject]]:
    """Return the choices of the chunks of a stream by their index."""
    found: dict[int, list[JsonObject]] = {}
    for chunk in chunks:
        for position, value in enumerate(list_of(chunk.get("choices"))):
            choice = object_of(value)
            found.setdefault(index_of(choice.get("index"), position), []).append(choice)
    return found
