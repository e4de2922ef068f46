"""Gemini: contents of a request and of an answer, and a stream as a whole answer."""

from collections.abc import Iterable

from cab.scoring.evidence.messages.json_values import (
    JsonObject,
    compact,
    first_text,
    index_of,
    list_of,
    object_of,
    other,
    others,
)
from cab.scoring.evidence.messages.media import inline_media
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
from cab.scoring.files import is_list

_SYSTEM = ("systemInstruction", "system_instruction")
REQUEST_MEMBERS = frozenset(("contents", "tools", *_SYSTEM))

_KNOWN = frozenset(
    (
        *("text", "thought", "thoughtSignature", "thought_signature"),
        *("functionCall", "function_call", "functionResponse", "function_response"),
        *("inlineData", "inline_data", "fileData", "file_data"),
    )
)


def gemini_request(body: JsonObject) -> list[SaidMessage]:
    """Return the system instruction and the contents of a request."""
    found = [_content(body[name], name) for name in _SYSTEM if body.get(name)]
    given = body.get("contents")
    several = list_of(given) if is_list(given) else [given] if given else []
    return [*found, *(_content(content, "user") for content in several)]


def gemini_tools(body: JsonObject) -> list[OfferedTool]:
    """Return the functions that a request offers, and the endpoint's own tools by name."""
    found: list[OfferedTool] = []
    for value in list_of(body.get("tools")):
        for name, offered in object_of(value).items():
            if name in ("functionDeclarations", "function_declarations"):
                found += [_function(object_of(each)) for each in list_of(offered)]
            else:
                found.append(OfferedTool(name, None, offered or None))
    return found


def _function(function: JsonObject) -> OfferedTool:
    parameters = function.get("parameters") or function.get("parametersJsonSchema")
    name = first_text(function, "name") or "unknown"
    return OfferedTool(name, first_text(function, "description"), parameters)


def gemini_answer(body: JsonObject) -> list[SaidMessage]:
    """Return the contents of an answer, one for each candidate."""
    found: list[SaidMessage] = []
    for value in list_of(body.get("candidates")):
        candidate = object_of(value)
        content = _content(candidate.get("content"), "model")
        finish = first_text(candidate, "finishReason")
        found.append(SaidMessage(content.role, content.parts, finish))
    return found


def _content(value: object, otherwise: str) -> SaidMessage:
    if isinstance(value, str):
        return SaidMessage(otherwise, (SaidText(value),))
    content = object_of(value)
    role = otherwise if otherwise in _SYSTEM else first_text(content, "role") or otherwise
    given = content.get("parts", [])
    parts = list_of(given) if is_list(given) else [given]
    return SaidMessage(role, tuple(said for part in parts for said in _part(part)))


def _part(value: object) -> list[SaidPart]:
    if isinstance(value, str):
        return [SaidText(value)]
    part = object_of(value)
    found: list[SaidPart] = []
    if text := first_text(part, "text"):
        found.append(SaidReasoning(text) if part.get("thought") is True else SaidText(text))
    if call := _member(part, "functionCall", "function_call"):
        name, given = first_text(call, "name") or "", call.get("args")
        arguments = "" if given is None else compact(given)
        found.append(SaidToolCall(name, arguments, first_text(call, "id")))
    if result := _member(part, "functionResponse", "function_response"):
        found.append(_result(result))
    if data := _member(part, "inlineData", "inline_data"):
        media_type = first_text(data, "mimeType", "mime_type")
        found.append(inline_media("inlineData", data.get("data"), media_type))
    if file := _member(part, "fileData", "file_data"):
        where = first_text(file, "fileUri", "file_uri")
        media_type = first_text(file, "mimeType", "mime_type")
        found.append(SaidMedia("fileData", media_type, None, where))
    found += others(part, _KNOWN)
    return found or ([] if "text" in part or not value else [other("part", value)])


def _member(part: JsonObject, *names: str) -> JsonObject:
    nothing: JsonObject = {}
    return next((found for name in names if (found := object_of(part.get(name)))), nothing)


def _result(result: JsonObject) -> SaidToolResult:
    given = result.get("response")
    text = given if isinstance(given, str) else compact(given)
    return SaidToolResult((SaidText(text),), first_text(result, "name"), first_text(result, "id"))


def gemini_whole(chunks: Iterable[JsonObject]) -> JsonObject:
    """Return the answer that the chunks of a stream make: texts of one kind that follow are one."""
    whole: JsonObject = {}
    candidates: dict[int, JsonObject] = {}
    for chunk in chunks:
        whole |= {name: value for name, value in chunk.items() if name != "candidates"}
        for position, value in enumerate(list_of(chunk.get("candidates"))):
            candidate = object_of(value)
            place = index_of(candidate.get("index"), position)
            _join(candidates.setdefault(place, {}), candidate)
    if candidates:
        whole["candidates"] = [candidates[place] for place in sorted(candidates)]
    return whole


def _join(before: JsonObject, candidate: JsonObject) -> None:
    content, added = object_of(before.get("content")), object_of(candidate.get("content"))
    parts = list_of(content.get("parts"))
    for part in list_of(added.get("parts")):
        if parts and _is_plain(part) and _is_plain(parts[-1]) and _kind(part) == _kind(parts[-1]):
            last = object_of(parts[-1])
            text = f"{last['text']}{object_of(part)['text']}"
            parts = [*parts[:-1], {**last, "text": text}]
        else:
            parts = [*parts, part]
    before |= candidate
    if parts or content or added:
        before["content"] = {**content, **added, "parts": parts}


def _is_plain(part: object) -> bool:
    found = object_of(part)
    return isinstance(found.get("text"), str) and found.keys() <= {"text", "thought"}


def _kind(part: object) -> bool:
    return object_of(part).get("thought") is True
