"""The demo as a server: the calls of every dialect, the list of models, and its own account."""

import asyncio
import errno
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from cab.proxy.demo.account import Account
from cab.proxy.demo.call import ACCOUNT, FAULT_MODES, error_response, json_response, serve_call
from cab.proxy.demo.dialects import CHAT, MESSAGES, RESPONSES, DemoDialect, gemini
from cab.proxy.demo.dialects.chunks import CREATED
from cab.proxy.demo.dialects.errors import ErrorReply
from cab.proxy.demo.dialects.fields import BadChat, read_object
from cab.proxy.demo.fault_modes import FaultMode, FaultModes, read_fault_mode
from cab.proxy.demo.usage import count_prompt
from cab.proxy.demo.websocket.faults import WebSocketFault, WebSocketFaults
from cab.proxy.demo.websocket.upgrade import WEBSOCKET_FAULTS, serve_websocket
from cab.proxy.errors import BadConfig
from cab.proxy.tokens.encodings import load_encoding

MODEL = "demo"
"""The one model that is listed; any name is served."""
MAX_BODY_BYTES = 256 << 20
"""aiohttp would refuse more than 1 MiB, which real prompts exceed."""
SHUTDOWN_TIMEOUT_S = 1.0
"""How long the server waits for open connections when it stops."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Demo(NamedTuple):
    """A demo server that runs."""

    url: str
    """`http://host:port`, without `/v1`."""
    served: Account
    """The account that it keeps."""
    fault_modes: FaultModes
    """How it behaves; changed by `set_fault_mode`."""
    websocket: WebSocketFaults
    """How it behaves on a WebSocket besides."""

    def set_fault_mode(self, mode: FaultMode | str | None) -> None:
        """Set how the next model calls are answered; None for as they should be.

        Raises:
            BadConfig: The fault mode is unknown.
        """
        self.fault_modes.current = _as_fault_mode(mode)

    def set_websocket_faults(self, *faults: WebSocketFault) -> None:
        """Set how the next upgrades, responses and steerings of WebSockets go wrong; none for not at all."""
        self.websocket.set(*faults)

    def account(self) -> dict[str, Any]:
        """Return what was served so far: calls, tokens, and each call."""
        return self.served.snapshot()


@asynccontextmanager
async def running_demo(
    host: str = "127.0.0.1", port: int = 0, *, fault_mode: FaultMode | str | None = None
) -> AsyncGenerator[Demo]:
    """Run the demo until the block ends.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        fault_mode: How it misbehaves, as a text that `read_fault_mode` knows or as what that returns.

    Raises:
        BadConfig: It cannot listen there, or the fault mode is unknown.
    """
    modes, account = FaultModes(_as_fault_mode(fault_mode)), Account()
    websocket = WebSocketFaults()
    await asyncio.to_thread(load_encoding)
    application = _application(account, modes)
    application[WEBSOCKET_FAULTS] = websocket
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    try:
        await _listen(runner, host, port)
        yield Demo(_url(host, runner.addresses[0][1]), account, modes, websocket)
    finally:
        websocket.release()
        await runner.cleanup()


def _as_fault_mode(mode: FaultMode | str | None) -> FaultMode | None:
    return read_fault_mode(mode) if isinstance(mode, str) else mode


def _application(account: Account, modes: FaultModes) -> web.Application:
    application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_errors])
    application[ACCOUNT] = account
    application[FAULT_MODES] = modes
    router = application.router
    router.add_post("/v1/chat/completions", partial(serve_call, dialect=CHAT))
    router.add_post("/v1/responses", partial(serve_call, dialect=RESPONSES))
    router.add_get("/v1/responses", partial(serve_websocket, max_bytes=MAX_BODY_BYTES))
    router.add_post("/v1/messages", partial(serve_call, dialect=MESSAGES))
    router.add_post("/v1/messages/count_tokens", _count_tokens)
    router.add_get("/api/hello", _hello)
    router.add_post("/{version:v1|v1beta}/models/{model:.+}:generateContent", _generate)
    router.add_post("/{version:v1|v1beta}/models/{model:.+}:streamGenerateContent", _stream)
    router.add_get("/v1/models", _models)
    router.add_get("/demo/account", _account)
    return application


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except (OSError, OverflowError) as error:
        busy = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "the port is in use; give another --port" if busy else f"{error}; change host or port"
        raise BadConfig(f"the demo cannot listen on {host}:{port}: {why}") from error


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _generate(request: web.Request) -> web.StreamResponse:
    return await serve_call(request, gemini(request.match_info["model"], stream=False, sse=False))


async def _stream(request: web.Request) -> web.StreamResponse:
    sse = request.query.get("alt") == "sse"
    return await serve_call(request, gemini(request.match_info["model"], stream=True, sse=sse))


async def _count_tokens(request: web.Request) -> web.StreamResponse:
    data = read_object(await request.read())
    tokens = await asyncio.to_thread(count_prompt, "messages", data)
    return json_response(orjson.dumps({"input_tokens": tokens}))


async def _hello(_: web.Request) -> web.StreamResponse:
    """Answer Claude Code, which checks at its start that the endpoint is there."""
    return json_response(b"{}")


async def _models(_: web.Request) -> web.StreamResponse:
    model = {"id": MODEL, "object": "model", "created": CREATED, "owned_by": "cab"}
    return json_response(orjson.dumps({"object": "list", "data": [model]}))


async def _account(request: web.Request) -> web.StreamResponse:
    return json_response(orjson.dumps(request.app[ACCOUNT].snapshot()))


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every mistake in the shape of the dialect that its path looks like."""
    try:
        return await handler(request)
    except BadChat as error:
        reply = ErrorReply(400, str(error), error.param)
    except web.HTTPNotFound:
        reply = ErrorReply(404, f"no {request.method} {request.path} here", code="unknown_url")
    except web.HTTPMethodNotAllowed:
        reply = ErrorReply(405, f"{request.method} is not allowed for {request.path}")
    except web.HTTPRequestEntityTooLarge:
        reply = ErrorReply(413, f"the body is over {MAX_BODY_BYTES} bytes")
    return error_response(_dialect_of(request.path), reply)


def _dialect_of(path: str) -> DemoDialect:
    if path.startswith("/v1/messages"):
        return MESSAGES
    return gemini("", stream=False, sse=False) if path.startswith("/v1beta/") else CHAT
