"""Messages as other formats take them: one for each turn, results of tools apart from what users say."""

from collections.abc import Iterable, Iterator
from typing import Any

from cab.scoring.evidence.messages.json_values import parsed
from cab.scoring.evidence.messages.model import (
    SaidMedia,
    SaidMessage,
    SaidOther,
    SaidPart,
    SaidReasoning,
    SaidText,
    SaidToolResult,
)
from cab.scoring.files import is_object


def turns(messages: Iterable[SaidMessage]) -> list[SaidMessage]:
    """Return messages so that a model's items that follow each other are one, as they are in most dialects."""
    found: list[SaidMessage] = []
    for message in messages:
        last = found[-1] if found else None
        if last and last.finish is None and last.speaker == message.speaker == "assistant":
            found[-1] = SaidMessage(last.role, (*last.parts, *message.parts), message.finish)
        else:
            found.append(message)
    return found


def results_apart(messages: Iterable[SaidMessage]) -> Iterator[SaidMessage | SaidToolResult]:
    """Yield messages without the results of tools in them, and each of these by itself before its message."""
    for message in messages:
        rest: list[SaidPart] = []
        for part in message.parts:
            if isinstance(part, SaidToolResult):
                yield part
            else:
                rest.append(part)
        if rest or not message.parts:
            yield SaidMessage(message.role, tuple(rest), message.finish)


def said_text(parts: Iterable[SaidPart]) -> str:
    """Return what parts say as text; of media what they are, of what is unknown its JSON."""
    return "\n".join(filter(None, map(_text, parts)))


def said_reasoning(parts: Iterable[SaidPart]) -> str:
    """Return what a model thought."""
    return "\n\n".join(part.text for part in parts if isinstance(part, SaidReasoning) and part.text)


def _text(part: SaidPart) -> str:
    match part:
        case SaidText(text):
            return text
        case SaidMedia():
            return f"[{described(part)}]"
        case SaidOther():
            return part.json
        case SaidToolResult():
            return said_text(part.parts)
        case _:
            return ""


def described(media: SaidMedia) -> str:
    """Return what an image, a sound or a file is."""
    size = None if media.size_bytes is None else f"{media.size_bytes} bytes"
    facts = (media.media, media.media_type, size, media.reference)
    return ", ".join(fact for fact in facts if fact)


def arguments_object(text: str) -> dict[str, Any] | None:
    """Return arguments as the object that they are; None if they are none, as plain text is."""
    if not text.strip():
        return {}
    value = parsed(text.encode("utf-8", "replace"))
    return value if is_object(value) else None
