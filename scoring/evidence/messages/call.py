"""Bodies of a call -> what was said in it."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from cab.scoring.evidence.messages import anthropic, chat, gemini, responses
from cab.scoring.evidence.messages.chat_stream import chat_whole
from cab.scoring.evidence.messages.events import AnswerBytes, StreamEvent, read_bytes
from cab.scoring.evidence.messages.json_values import (
    JsonObject,
    decoded,
    first_text,
    json_text,
    object_of,
    other,
    parsed,
)
from cab.scoring.evidence.messages.model import (
    OfferedTool,
    SaidAnswer,
    SaidCall,
    SaidMessage,
    SaidRequest,
)
from cab.scoring.files import is_object


class _Reader(NamedTuple):
    """How one dialect is read."""

    members: frozenset[str]
    """Members of a request that hold messages and tools."""
    request: Callable[[JsonObject], list[SaidMessage]]
    tools: Callable[[JsonObject], list[OfferedTool]]
    answer: Callable[[JsonObject], list[SaidMessage]]
    whole: Callable[[list[StreamEvent]], JsonObject]
    """Events of a stream -> the whole answer that it stands for."""


def _chunks(whole: Callable[[Iterable[JsonObject]], JsonObject]) -> Callable[..., JsonObject]:
    def of(events: list[StreamEvent]) -> JsonObject:
        return whole(event.data for event in events)

    return of


_CHAT = _Reader(
    chat.REQUEST_MEMBERS,
    chat.chat_request,
    chat.chat_tools,
    chat.chat_answer,
    _chunks(chat_whole),
)
_READERS: Mapping[str, _Reader] = {
    "chat.completions": _CHAT,
    "fim.completions": _CHAT,
    "completions": _CHAT,
    "responses": _Reader(
        responses.REQUEST_MEMBERS,
        responses.responses_request,
        responses.responses_tools,
        responses.responses_answer,
        responses.responses_whole,
    ),
    "messages": _Reader(
        anthropic.REQUEST_MEMBERS,
        anthropic.anthropic_request,
        anthropic.anthropic_tools,
        anthropic.anthropic_answer,
        anthropic.anthropic_whole,
    ),
    "gemini.generateContent": _Reader(
        gemini.REQUEST_MEMBERS,
        gemini.gemini_request,
        gemini.gemini_tools,
        gemini.gemini_answer,
        _chunks(gemini.gemini_whole),
    ),
}
"""`endpoint` of a record -> its dialect."""


def said_in(endpoint: str, request: bytes | None, answer: bytes | None) -> SaidCall:
    """Return what was said in a call; it never raises for what the bodies hold.

    Args:
        endpoint: Dialect, as the record calls it; bodies of an unknown one are given back as JSON or text.
        request: Body without its content encoding; None if it is not known.
        answer: The same of the answer, a stream or one body; None if it is not known, or there is none.
    """
    reader = _READERS.get(endpoint)
    return SaidCall(
        None if request is None else _request(reader, request),
        None if answer is None else _answer(reader, answer),
    )


def _request(reader: _Reader | None, text: bytes) -> SaidRequest:
    body = parsed(text)
    if not text.strip():
        return SaidRequest()
    if not is_object(body):
        return SaidRequest((SaidMessage("body", (other("body", decoded(text)),)),))
    if reader is None:
        return SaidRequest((SaidMessage("body", (other("body", body),)),))
    if body.get("type") == "response.create":  # the frame that asks for one over a WebSocket
        body = object_of(body.get("response")) or {k: v for k, v in body.items() if k != "type"}
    settings = {name: value for name, value in body.items() if name not in reader.members}
    return SaidRequest(tuple(reader.request(body)), tuple(reader.tools(body)), settings)


def _answer(reader: _Reader | None, text: bytes) -> SaidAnswer:
    found = read_bytes(text)
    unread = [SaidMessage("body", (other("body", each),)) for each in found.unread]
    if reader is None:
        return _unknown(found, unread)
    streamed = reader.whole(found.events) if found.events else {}
    body = streamed if found.body is None else found.body
    messages = reader.answer(body)
    error = next(filter(None, map(_error, [body, *(each.data for each in found.events)])), None)
    if not messages and not error and body:
        messages = [SaidMessage("body", (other("body", body),))]
    return SaidAnswer((*messages, *unread), error)


def _unknown(found: AnswerBytes, unread: list[SaidMessage]) -> SaidAnswer:
    bodies = [event.data for event in found.events] if found.body is None else [found.body]
    said = [SaidMessage("body", (other("body", body),)) for body in bodies]
    return SaidAnswer((*said, *unread))


def _error(data: JsonObject) -> str | None:
    """Return what an object says went wrong; None if it says nothing."""
    error = data.get("error") or object_of(data.get("response")).get("error")
    if not error:
        return first_text(data, "message") if data.get("type") == "error" else None
    if isinstance(error, str):
        return error
    stated = object_of(error)
    kind, message = first_text(stated, "type", "status", "code"), first_text(stated, "message")
    if message is None:
        return json_text(error)
    return f"{kind}: {message}" if kind else message
