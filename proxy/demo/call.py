"""Serves one model call, whatever its dialect: reads, decides, counts, records, answers."""

import asyncio
from typing import NamedTuple

from aiohttp import web

from cab.proxy.demo.account import Account, ServedAttempt, fingerprint
from cab.proxy.demo.dialects import DemoDialect
from cab.proxy.demo.dialects.chunks import answer_id
from cab.proxy.demo.dialects.errors import ErrorReply
from cab.proxy.demo.dialects.fields import BadChat, read_object
from cab.proxy.demo.dialects.request import ChatRequest
from cab.proxy.demo.fault_modes import FaultModes, error_of
from cab.proxy.demo.responder import DemoReply, reply_to
from cab.proxy.demo.sending import send_stream, send_whole
from cab.proxy.demo.usage import DemoUsage, count_usage

THREAD_BYTES = 32 << 10
"""Bodies from here on are answered in a thread: to count them takes 5 ms and more."""

ACCOUNT: web.AppKey[Account] = web.AppKey("account", Account)
FAULT_MODES: web.AppKey[FaultModes] = web.AppKey("fault_modes", FaultModes)


class PreparedAnswer(NamedTuple):
    """All that is known of an answer before its first byte leaves."""

    request: ChatRequest
    reply: DemoReply
    id: str
    usage: DemoUsage


async def serve_call(request: web.Request, dialect: DemoDialect) -> web.StreamResponse:
    """Return the answer to a model call, or an error in the dialect's own shape."""
    body = await request.read()
    try:
        chat = dialect.read(body)
    except BadChat as bad:
        return _answer_error(request, dialect, ErrorReply(400, str(bad), bad.param), None)
    mode = request.app[FAULT_MODES].take()
    error = error_of(mode, dialect.endpoint)
    if error is not None:
        return _answer_error(request, dialect, error, chat)
    answer = await prepare(dialect, chat, body, request.app[ACCOUNT].repetition(body))
    cut = mode is not None and mode.name == "cut_stream"
    request.app[ACCOUNT].add(served_attempt(request, dialect, answer, cut=cut))
    if not chat.stream:
        return await send_whole(request, dialect.whole(*answer), mode)
    return await send_stream(request, [*dialect.stream(*answer)], dialect.stream_type, mode)


def error_response(dialect: DemoDialect, error: ErrorReply) -> web.Response:
    """Return an error in the shape of a dialect."""
    return json_response(dialect.error(error), error.status, error.headers)


def json_response(
    body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Return a JSON body as an answer."""
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


async def prepare(
    dialect: DemoDialect, chat: ChatRequest, body: bytes, repetition: int
) -> PreparedAnswer:
    """Return the answer to a request, which its body holds too, with what it costs."""

    def prepared() -> PreparedAnswer:
        reply = reply_to(chat)
        usage = count_usage(dialect.endpoint, read_object(body), reply, choices=chat.choices)
        return PreparedAnswer(chat, reply, answer_id(body, repetition, dialect.id_prefix), usage)

    return prepared() if len(body) < THREAD_BYTES else await asyncio.to_thread(prepared)


def _answer_error(
    request: web.Request, dialect: DemoDialect, error: ErrorReply, chat: ChatRequest | None
) -> web.Response:
    request.app[ACCOUNT].add(refused_attempt(request, dialect, chat, error.status))
    return error_response(dialect, error)


def served_attempt(
    request: web.Request, dialect: DemoDialect, answer: PreparedAnswer, *, cut: bool
) -> ServedAttempt:
    """Return a request whose answer was made, and sent to its end if it was not cut."""
    return refused_attempt(request, dialect, answer.request, 200)._replace(
        id=answer.id,
        prompt_tokens=answer.usage.prompt_tokens,
        completion_tokens=answer.usage.completion_tokens,
        finish_reason=answer.reply.finish_reason,
        outcome="cut" if cut else "served",
    )


def refused_attempt(
    request: web.Request, dialect: DemoDialect, chat: ChatRequest | None, status: int
) -> ServedAttempt:
    """Return a request that got no answer."""
    return ServedAttempt(
        id=None,
        model=None if chat is None else chat.model,
        stream=None if chat is None else chat.stream,
        prompt_tokens=None,
        completion_tokens=None,
        finish_reason=None,
        key_fingerprint=fingerprint(_key(request)),
        endpoint=dialect.endpoint,
        path=request.path,
        status=status,
        outcome="refused",
    )


def _key(request: web.Request) -> str | None:
    """Return the key of a request, in whichever place its dialect has for it."""
    names = ("Authorization", "x-api-key", "x-goog-api-key")
    held = (request.headers.get(name) for name in names)
    return next((key for key in held if key), request.query.get("key"))
