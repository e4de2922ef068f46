"""Serves one model call, whatever its dialect: reads, decides, counts, enters, answers."""

import asyncio
from typing import NamedTuple

from aiohttp import web

from cab.proxy.demo.account import Account, ServedAttempt, ServedOutcome, fingerprint
from cab.proxy.demo.dialects import DemoDialect, ErrorReply
from cab.proxy.demo.dialects.chat_request import ChatRequest
from cab.proxy.demo.dialects.chunks import answer_id
from cab.proxy.demo.dialects.fields import BadChat, read_object
from cab.proxy.demo.fault_modes import FaultMode, FaultModes, error_reply_in
from cab.proxy.demo.responder import DemoReply, answer
from cab.proxy.demo.sending import send_stream, send_whole
from cab.proxy.demo.usage import DemoUsage, count_usage

ASIDE_BYTES = 32 << 10
"""Bodies from here on are answered in a thread: to count them takes 5 ms and more."""

ACCOUNT: web.AppKey[Account] = web.AppKey("account", Account)
MOODS: web.AppKey[FaultModes] = web.AppKey("moods", FaultModes)


class Made(NamedTuple):
    """All that is known of an answer before its first byte leaves."""

    request: ChatRequest
    reply: DemoReply
    id: str
    usage: DemoUsage


async def serve_call(request: web.Request, dialect: DemoDialect) -> web.StreamResponse:
    """Return the answer to a model call, or its refusal in the dialect's own shape."""
    body = await request.read()
    try:
        chat = dialect.read(body)
    except BadChat as error:
        return _refuse(request, dialect, ErrorReply(400, str(error), error.param), None)
    mood = request.app[MOODS].take()
    why = error_reply_in(mood, dialect.endpoint)
    if why is not None:
        return _refuse(request, dialect, why, chat)
    made = await _made(dialect, chat, body, request.app[ACCOUNT].repetition(body))
    request.app[ACCOUNT].enter(_served(request, dialect, made, mood))
    if not chat.stream:
        return await send_whole(request, dialect.whole(*made), mood)
    return await send_stream(request, [*dialect.stream(*made)], dialect.stream_type, mood)


def refusal(dialect: DemoDialect, why: ErrorReply) -> web.Response:
    """Return a refusal in the shape of a dialect."""
    return json_response(dialect.refuse(why), why.status, why.headers)


def json_response(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Return a JSON body as an answer."""
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


async def _made(dialect: DemoDialect, chat: ChatRequest, body: bytes, repetition: int) -> Made:
    if len(body) < ASIDE_BYTES:
        return _make(dialect, chat, body, repetition)
    return await asyncio.to_thread(_make, dialect, chat, body, repetition)


def _make(dialect: DemoDialect, chat: ChatRequest, body: bytes, repetition: int) -> Made:
    reply = answer(chat)
    usage = count_usage(dialect.endpoint, read_object(body), reply, choices=chat.choices)
    return Made(chat, reply, answer_id(body, repetition, dialect.id_prefix), usage)


def _refuse(
    request: web.Request, dialect: DemoDialect, why: ErrorReply, chat: ChatRequest | None
) -> web.Response:
    entry = ServedAttempt(
        id=None,
        model=None if chat is None else chat.model,
        stream=None if chat is None else chat.stream,
        prompt_tokens=None,
        completion_tokens=None,
        finish_reason=None,
        key_fingerprint=fingerprint(_key(request)),
        endpoint=dialect.endpoint,
        path=request.path,
        status=why.status,
        outcome="refused",
    )
    request.app[ACCOUNT].enter(entry)
    return refusal(dialect, why)


def _served(
    request: web.Request, dialect: DemoDialect, made: Made, mood: FaultMode | None
) -> ServedAttempt:
    cut = mood is not None and mood.name == "cut_stream"
    outcome: ServedOutcome = "cut" if cut else "served"
    return ServedAttempt(
        id=made.id,
        model=made.request.model,
        stream=made.request.stream,
        prompt_tokens=made.usage.prompt_tokens,
        completion_tokens=made.usage.completion_tokens,
        finish_reason=made.reply.finish_reason,
        key_fingerprint=fingerprint(_key(request)),
        endpoint=dialect.endpoint,
        path=request.path,
        status=200,
        outcome=outcome,
    )


def _key(request: web.Request) -> str | None:
    """Return the key that a request came with, in whichever place its dialect has for it."""
    names = ("Authorization", "x-api-key", "x-goog-api-key")
    held = (request.headers.get(name) for name in names)
    return next((key for key in held if key), request.query.get("key"))
