"""The demo as a server: chat completions, the list of models, and its own account."""

import asyncio
import errno
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from cab.proxy.demo.account import Account, ServedCall, fingerprint
from cab.proxy.demo.actor import Reply, answer
from cab.proxy.demo.request import BadChat, ChatRequest, read_request
from cab.proxy.demo.wire import CREATED, Usage, answer_id, completion, events, message_of
from cab.proxy.errors import BadConfig
from cab.proxy.prompts import count_chat_completion, count_chat_prompt
from cab.proxy.tokens import load_encoding

MODEL = "demo"
"""The one model that is listed; any name is served."""
MAX_BODY_BYTES = 256 << 20
"""aiohttp would refuse more than 1 MiB, which real prompts exceed."""
ASIDE_BYTES = 32 << 10
"""Bodies from here on are answered in a thread: to count them takes 5 ms and more."""
GOODBYE_S = 1.0
"""How long open connections are awaited when the server stops."""

ACCOUNT: web.AppKey[Account] = web.AppKey("account", Account)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Demo(NamedTuple):
    """A demo server that runs."""

    url: str
    """`http://host:port`, without `/v1`."""
    books: Account
    """The live account."""

    def account(self) -> dict[str, Any]:
        """Return what was served so far: calls, tokens, and each call."""
        return self.books.snapshot()


class _Answer(NamedTuple):
    """All that is known of an answer before its first byte leaves."""

    request: ChatRequest
    reply: Reply
    id: str
    usage: Usage


@asynccontextmanager
async def running_demo(host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[Demo]:
    """Run the demo until the block ends.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.

    Raises:
        BadConfig: It cannot listen there.
    """
    await asyncio.to_thread(load_encoding)
    account = Account()
    runner = web.AppRunner(_application(account), access_log=None, shutdown_timeout=GOODBYE_S)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        yield Demo(_url(host, runner.addresses[0][1]), account)
    finally:
        await runner.cleanup()


def _application(account: Account) -> web.Application:
    application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_refusals])
    application[ACCOUNT] = account
    application.router.add_post("/v1/chat/completions", _chat)
    application.router.add_get("/v1/models", _models)
    application.router.add_get("/demo/account", _account)
    return application


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except (OSError, OverflowError) as error:
        busy = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "the port is in use; give another --port" if busy else f"{error}; mend host or port"
        raise BadConfig(f"the demo cannot listen on {host}:{port}: {why}") from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _chat(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    repetition = request.app[ACCOUNT].repetition(body)
    if len(body) < ASIDE_BYTES:
        made = _made(body, repetition)
    else:
        made = await asyncio.to_thread(_made, body, repetition)
    request.app[ACCOUNT].serve(
        ServedCall(
            id=made.id,
            model=made.request.model,
            stream=made.request.stream,
            prompt_tokens=made.usage.prompt_tokens,
            completion_tokens=made.usage.completion_tokens,
            finish_reason=made.reply.finish_reason,
            key_fingerprint=fingerprint(request.headers.get("Authorization")),
        )
    )
    if made.request.stream:
        return await _stream(request, made)
    return _json(completion(*made))


def _made(body: bytes, repetition: int) -> _Answer:
    chat = read_request(body)
    reply = answer(chat)
    made_id = answer_id(body, repetition)
    said = count_chat_completion(message_of(reply, made_id))
    heard = count_chat_prompt(chat.messages, chat.tools)
    return _Answer(chat, reply, made_id, Usage(heard, said * chat.choices))


async def _stream(request: web.Request, made: _Answer) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    # A client that has gone owes us nothing more; the call was served and stands in the account.
    with suppress(ConnectionError):
        for event in events(*made):
            await response.write(event)
        await response.write_eof()
    return response


async def _models(_: web.Request) -> web.StreamResponse:
    model = {"id": MODEL, "object": "model", "created": CREATED, "owned_by": "cab"}
    return _json(orjson.dumps({"object": "list", "data": [model]}))


async def _account(request: web.Request) -> web.StreamResponse:
    return _json(orjson.dumps(request.app[ACCOUNT].snapshot()))


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every mistake in OpenAI's shape."""
    try:
        return await handler(request)
    except BadChat as error:
        request.app[ACCOUNT].refuse()
        return _error(400, str(error), error.param)
    except web.HTTPNotFound:
        return _error(404, f"no {request.method} {request.path} here", code="unknown_url")
    except web.HTTPMethodNotAllowed:
        return _error(405, f"{request.method} is not allowed for {request.path}")
    except web.HTTPRequestEntityTooLarge:
        return _error(413, f"the body is over {MAX_BODY_BYTES} bytes")


def _error(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return _json(orjson.dumps({"error": error}), status)


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
