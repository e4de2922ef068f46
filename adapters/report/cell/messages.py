"""Messages of the calls of a cell, as its page shows them.

An agent repeats its whole history in each call, so a call holds only what is new; the rest is named by
the call that has it. The page has the counts; the texts are data that the page's script asks for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cab.adapters.output.places import without_places
from cab.adapters.report.cell.calls import PageCall
from cab.adapters.report.render.script_data import json_for_script, utf8
from cab.adapters.report.render.visible import cut, visible
from cab.scoring.errors import BadRecord
from cab.scoring.evidence.messages.captured import CapturedMessages
from cab.scoring.evidence.messages.history import History
from cab.scoring.evidence.messages.json_values import json_text, parsed
from cab.scoring.evidence.messages.model import (
    SaidAnswer,
    SaidCall,
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
from cab.scoring.files import is_list, is_object

MOST_CHARS = 100_000
"""Of one text; the whole is in the capture."""

MOST_CALL_CHARS = 1_000_000
"""Of the new messages of one call."""

MOST_CELL_CHARS = 16_000_000
"""Of all messages of a cell: a browser parses that in a moment."""

_TEXT_CHARS = 32
"""What a text takes beside its characters, be it empty."""


@dataclass(frozen=True, slots=True)
class PageMessages:
    """What a page shows of its cell's messages."""

    index: list[dict[str, Any]]
    """One object for each call of the page: what its row says before it is opened; empty if nothing was kept."""
    calls: list[dict[str, Any] | None]
    """For each call its new messages; None if nothing was kept."""
    faults: int
    """How many lines and bodies of the capture cannot be read."""

    def as_index(self, file: str | None) -> dict[str, Any]:
        """Return what the page holds.

        Args:
            file: The script that sets the rest, relative to the page; None if it is in the page.
        """
        data = {"file": file} if file else {"data": self.calls}
        return {"calls": self.index, **data}

    def as_script(self) -> str:
        """Return the classic script that sets the messages: a page from a folder may load nothing else."""
        return f"window.cabMessages = {json_for_script(self.calls)};\n"


class _Room:
    """How much more text there is room for."""

    def __init__(self) -> None:
        self.cell = MOST_CELL_CHARS
        self.call = MOST_CALL_CHARS

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be shown, not even that it is there."""
        return self.call <= 0 or self.cell <= 0

    def text(self, text: str) -> str:
        """Return a text as the page may show it."""
        shown = cut(text, min(MOST_CHARS, max(0, self.call), max(0, self.cell)))
        self.call -= len(shown) + _TEXT_CHARS
        self.cell -= len(shown) + _TEXT_CHARS
        return visible(without_places(utf8(shown)))


def read_messages(bundle: Path, cell_id: str, calls: Sequence[PageCall]) -> PageMessages | None:
    """Return the messages of a cell's calls; None if there is no capture of them.

    Args:
        bundle: The cell's bundle.
        cell_id: The cell.
        calls: In the order of their numbers.

    Raises:
        BadRecord: The capture cannot be read at all.
    """
    faults: list[BadRecord] = []
    captured = CapturedMessages(bundle, cell_id, faults.append)
    if not captured:
        return None
    index, shown = _messages(calls, captured)
    return PageMessages(index, shown, len(faults))


def _messages(
    calls: Iterable[PageCall], captured: CapturedMessages
) -> tuple[list[dict[str, Any]], list[dict[str, Any] | None]]:
    history, room, places = History(), _Room(), dict[str, int]()
    index: list[dict[str, Any]] = []
    shown: list[dict[str, Any] | None] = []
    for place, call in enumerate(calls):
        places[call.call_id] = place
        said = captured.said(call.call_id)
        if said is None:
            index.append({})
            shown.append(None)
            continue
        earlier = history.add(call.call_id, said)
        room.call = MOST_CALL_CHARS
        new = said.request.messages[earlier.messages :] if said.request else ()
        shown.append(_call(said, new, room))
        facts: dict[str, Any] = {"new": len(new)}
        if earlier.key is not None:
            facts |= {"earlier": earlier.messages, "as": places[earlier.key]}
        index.append(facts)
    return index, shown


def _call(said: SaidCall, new: Sequence[SaidMessage], room: _Room) -> dict[str, Any]:
    request = said.request or SaidRequest()
    return {
        "new": _some_messages(new, room),
        "answer": None if said.answer is None else _answer(said.answer, room),
        "tools": _some_names([tool.name for tool in request.tools], room),
        "settings": room.text(json_text(dict(request.settings))) if request.settings else "",
        "kept": said.request is not None,
    }


def _answer(answer: SaidAnswer, room: _Room) -> dict[str, Any]:
    error = None if answer.error is None else room.text(answer.error)
    return {"messages": _some_messages(answer.messages, room), "error": error}


def _some_messages(messages: Sequence[SaidMessage], room: _Room) -> list[dict[str, Any]]:
    shown = [_message(each, room) for each in messages if not room.is_full]
    if left := len(messages) - len(shown):
        shown.append({"role": "", "parts": [_left_out(left, "messages")], "finish": None})
    return shown


def _some_parts(parts: Sequence[SaidPart], room: _Room) -> list[dict[str, Any]]:
    shown = [_part(each, room) for each in parts if not room.is_full]
    return [*shown, _left_out(left, "parts")] if (left := len(parts) - len(shown)) else shown


def _some_names(names: Sequence[str], room: _Room) -> list[str]:
    shown = [room.text(name) for name in names if not room.is_full]
    return [*shown, f"{left:,} more tools"] if (left := len(names) - len(shown)) else shown


def _left_out(count: int, what: str) -> dict[str, Any]:
    return {"kind": "other", "name": "not shown", "text": f"{count:,} more {what}"}


def _message(message: SaidMessage, room: _Room) -> dict[str, Any]:
    parts = _some_parts(message.parts, room)
    finish = None if message.finish is None else room.text(message.finish)
    return {"role": room.text(message.role), "parts": parts, "finish": finish}


def _part(part: SaidPart, room: _Room) -> dict[str, Any]:
    match part:
        case SaidText(text):
            return {"kind": "text", "text": room.text(text)}
        case SaidReasoning(text):
            hidden = "The endpoint gave it encrypted only."
            return {"kind": "reasoning", "text": room.text(text) if text else hidden}
        case SaidToolCall(name, arguments, call_id):
            text, title = room.text(_arguments(arguments)), room.text(name)
            return {"kind": "call", "name": title, "id": _id(call_id, room), "text": text}
        case SaidToolResult(parts, name, call_id, is_error):
            inner = _some_parts(parts, room)
            title = room.text(name) if name else ""
            named = {"kind": "result", "name": title, "id": _id(call_id, room)}
            return {**named, "error": is_error, "parts": inner}
        case SaidMedia():
            return {"kind": "media", "text": room.text(_media(part))}
        case SaidOther(name, text):
            return {"kind": "other", "name": room.text(name), "text": room.text(text)}


def _id(call_id: str | None, room: _Room) -> str:
    return room.text(call_id) if call_id else ""


def _arguments(text: str) -> str:
    value = parsed(text.encode("utf-8", "replace"))
    return json_text(value) if is_object(value) or is_list(value) else text


def _media(part: SaidMedia) -> str:
    size = None if part.size_bytes is None else f"{part.size_bytes:,} bytes"
    facts = (part.media, part.media_type, size, part.reference)
    return ", ".join(fact for fact in facts if fact)
