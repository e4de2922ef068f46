"""The endpoint of a replay: a server on this machine that answers as was recorded.

The proxy names each call to it in one header, which only the proxy can make. So the endpoint knows the
call's cell, and the hash of the request as the agent sent it.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, unquote

import orjson
from aiohttp import web

from cab.proxy.errors import BadConfig
from cab.proxy.http.error_responses import ErrorResponse, shape_of, web_response
from cab.proxy.http.replay.recorded import (
    AskedCall,
    RecordedCall,
    RecordedCalls,
    RecordedUsage,
    pieces_of,
)
from cab.proxy.logs import RedactingLogger
from cab.scoring.capture.lines import KEPT_HEADERS
from cab.scoring.errors import BadRecord

MARK = "X-Cab-Replay"
"""Header that names a call to the endpoint."""

NOT_RECORDED = "not_recorded"
"""Code of the error for a request that the capture does not answer."""

_MAX_BODY_BYTES = 256 << 20
_SHUTDOWN_TIMEOUT_S = 1.0
_DONE = b"data: [DONE]"
_BLANK = b"\n\n"
_MOST_PADDING = 1 << 16
_FIRST_ANSWER = 200
"""Lower statuses end no call."""
_MOST_HEADER_CHARS = 4096

log = RedactingLogger()


class Replay:
    """A replay that runs.

    Args:
        recorded: What it answers from.
    """

    def __init__(self, recorded: RecordedCalls) -> None:
        self.url = ""
        """Where its endpoint is; without `/v1`."""
        self._recorded = recorded
        self._token = secrets.token_urlsafe(16)

    def mark(self, asked: AskedCall) -> str:
        """Return the value of the header that names a call."""
        return f"{self._token} {quote(orjson.dumps(tuple(asked)))}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request as was recorded."""
        token, _, said = request.headers.get(MARK, "").partition(" ")
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            return web.Response(status=404)  # an agent that found the port
        await request.read()
        asked = AskedCall(*orjson.loads(unquote(said)))
        found = self._recorded.take(asked)
        if isinstance(found, str):
            return _refusal(request, asked, found)
        try:
            body = await asyncio.to_thread(found.body)
        except BadRecord as error:
            why = f"replay: the answer of call {found.call.call_id} cannot be given: {error}"
            return _refusal(request, asked, why)
        return await self._send(request, asked, found, body)

    async def _send(
        self, request: web.Request, asked: AskedCall, found: RecordedCall, body: bytes
    ) -> web.StreamResponse:
        recorded = found.call.response
        if recorded is None or found.call.end_reason == "upstream_unreachable":
            return _broken(request, web.StreamResponse())  # nothing came from the endpoint then
        if recorded.status < _FIRST_ANSWER:
            why = f"replay: status {recorded.status} of call {found.call.call_id} is no answer"
            return _refusal(request, asked, why)
        usage = self._recorded.usage.get(found.call.call_id)
        if asked.adds_usage and usage is not None:
            body = with_usage(body, usage)
        headers = {name: recorded.headers.get(name, "") for name in KEPT_HEADERS}
        headers = {name: value for name, value in headers.items() if _is_header(value)}
        response = web.StreamResponse(status=recorded.status, headers=headers)
        if recorded.complete and not found.call.stream:
            response.content_length = len(body)
        await response.prepare(request)
        for piece in pieces_of(body):
            await response.write(piece)
        if not recorded.complete:
            return _broken(request, response)
        await response.write_eof()
        return response


def _is_header(value: str) -> bool:
    """Return whether a capture, which anybody may have written, has a value that can be sent."""
    return 0 < len(value) <= _MOST_HEADER_CHARS and value.isascii() and value.isprintable()


def _refusal(request: web.Request, asked: AskedCall, why: str) -> web.Response:
    log.warning(NOT_RECORDED, message=why)
    shape = shape_of(asked.endpoint, request.headers)  # type: ignore[arg-type]
    return web_response(shape, ErrorResponse(404, NOT_RECORDED, why))


def _broken(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """End the connection in the middle, as it was when this was recorded."""
    if request.transport is not None:
        request.transport.close()
    return response


def with_usage(stream: bytes, recorded: RecordedUsage) -> bytes:
    """Return a chat stream with the chunk of usage that the recording proxy had kept back.

    It is as long as the endpoint's own, unless that was compressed or shorter than can be: the record
    counts the bytes.
    """
    pieces = list(pieces_of(stream))
    at = next((n for n, piece in enumerate(pieces) if piece.startswith(_DONE)), len(pieces))
    event = b"data: " + orjson.dumps({"choices": [], "usage": recorded.usage})
    missing = (recorded.response_bytes or 0) - len(stream) - len(event) - len(_BLANK)
    event += b" " * min(max(missing, 0), _MOST_PADDING) + _BLANK
    return b"".join((*pieces[:at], event, *pieces[at:]))


def recorded_calls(path: Path) -> RecordedCalls:
    """Return the calls of a capture.

    Args:
        path: The folder of a capture, a ledger or a bundle.

    Raises:
        BadConfig: There is no capture, or it cannot be read.
    """
    try:
        return RecordedCalls(path)
    except BadRecord as error:
        raise BadConfig(f"replay: {error}") from error


@asynccontextmanager
async def running_replay(path: Path) -> AsyncGenerator[Replay]:
    """Run the endpoint of a replay until the block ends.

    Args:
        path: The folder of a capture, a ledger or a bundle.

    Raises:
        BadConfig: There is no capture, or it cannot be read.
    """
    recorded = await asyncio.to_thread(recorded_calls, path)
    for fault in recorded.faults[:10]:
        log.warning("capture_line_not_read", message=str(fault), of=len(recorded.faults))
    replay = Replay(recorded)
    application = web.Application(client_max_size=_MAX_BODY_BYTES)
    application.router.add_route("*", "/{any:.*}", replay.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        replay.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield replay
    finally:
        await runner.cleanup()
