"""A stream of chat or text completions as the whole answer that it stands for."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from cab.scoring.evidence.messages.chat import merged_choices
from cab.scoring.evidence.messages.json_values import (
    JsonObject,
    compact,
    first_text,
    index_of,
    list_of,
    object_of,
)
from cab.scoring.evidence.messages.tool_calls import StreamedCall
from cab.scoring.files import is_list

_JOINED = ("content", "refusal", "reasoning_content", "reasoning")
_REPLACED = frozenset(("role", "tool_calls", "function_call", *_JOINED))


def chat_whole(chunks: Iterable[JsonObject]) -> JsonObject:
    """Return the completion that the chunks of a stream make."""
    found = merged_choices(chunks)
    return {"choices": [_choice(index, found[index]) for index in sorted(found)]}


def _choice(index: int, pieces: list[JsonObject]) -> JsonObject:
    whole: JsonObject = {"index": index}
    deltas = [object_of(piece.get("delta") or piece.get("message")) for piece in pieces]
    if texts := [piece["text"] for piece in pieces if isinstance(piece.get("text"), str)]:
        whole["text"] = "".join(map(str, texts))
    if any(deltas):
        whole["message"] = _message(deltas)
    finish = [reason for piece in pieces if (reason := first_text(piece, "finish_reason"))]
    return {**whole, "finish_reason": finish[-1] if finish else None}


def _message(deltas: list[JsonObject]) -> JsonObject:
    message: JsonObject = {}
    calls = _Calls()
    for delta in deltas:
        if role := first_text(delta, "role"):
            message["role"] = role
        for name in _JOINED:
            if delta.get(name):
                message[name] = _joined(message.get(name), delta[name])
        for position, call in enumerate(list_of(delta.get("tool_calls"))):
            calls.add(position, object_of(call))
        if function := object_of(delta.get("function_call")):
            calls.add(-1, {"function": function})
        for name, value in delta.items():
            if name not in _REPLACED and value not in (None, "", [], {}):
                message[name] = _joined_lists(message.get(name), value)
    if found := calls.whole():
        message["tool_calls"] = found
    return message


def _joined(before: object, piece: object) -> object:
    if isinstance(before, str) and isinstance(piece, str):
        return before + piece
    if before is None:
        return piece
    return [*_as_parts(before), *_as_parts(piece)]


def _as_parts(value: object) -> list[object]:
    return [{"type": "text", "text": value}] if isinstance(value, str) else list_of(value)


def _joined_lists(before: object, value: object) -> object:
    return [*before, *value] if is_list(before) and is_list(value) else value


@dataclass
class _WholeCall:
    number: StreamedCall
    call: JsonObject = field(default_factory=dict[str, object])
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])
    kind: str = "function"


class _Calls:
    """Tool calls that come in fragments, told apart as the meter does it."""

    def __init__(self) -> None:
        self._all: list[_WholeCall] = []
        self._open: dict[int, _WholeCall] = {}

    def add(self, position: int, fragment: JsonObject) -> None:
        """Take a fragment."""
        custom = object_of(fragment.get("custom"))
        function = object_of(fragment.get("function")) or custom
        place = index_of(fragment.get("index"), position)
        call_id, name = first_text(fragment, "id"), first_text(function, "name") or ""
        given = function.get("arguments", function.get("input"))
        piece = given if isinstance(given, str) else "" if given is None else compact(given)
        found = self._at(place, call_id, name, piece)
        found.number.take(call_id, name, piece)
        found.arguments.append(piece)
        found.name = found.name or name
        if call_id and "id" not in found.call:
            found.call["id"] = call_id
        if custom:
            found.kind = "custom"

    def _at(self, place: int, call_id: str | None, name: str, piece: str) -> _WholeCall:
        known = self._open.get(place)
        if known is None and not name and not call_id and self._all:
            known = self._all[-1]
        elif known is not None and not known.number.goes_on_with(call_id, name, piece):
            known = None
        if known is None:
            known = _WholeCall(StreamedCall(len(self._all) + 1))
            self._all.append(known)
        self._open[place] = known
        return known

    def whole(self) -> list[JsonObject]:
        """Return the calls."""
        return [
            {**each.call, each.kind: {"name": each.name, "arguments": "".join(each.arguments)}}
            for each in self._all
        ]
