"""Sends an answer: whole or event by event, at once, slowly, or cut off in its middle."""

import asyncio
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress

from aiohttp import web

from cab.proxy.demo.fault_modes import FaultMode

_RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: to close is to reset, so that nobody takes the end for a regular one."""


async def send_whole(
    request: web.Request, body: bytes, mode: FaultMode | None
) -> web.StreamResponse:
    """Send an answer in one piece."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    return await _send(request, response, [body], mode)


async def send_stream(
    request: web.Request, events: Sequence[bytes], media_type: str, mode: FaultMode | None
) -> web.StreamResponse:
    """Send an answer event by event."""
    headers = {"Content-Type": media_type, "Cache-Control": "no-cache"}
    return await _send(request, web.StreamResponse(headers=headers), events, mode)


async def _send(
    request: web.Request,
    response: web.StreamResponse,
    pieces: Sequence[bytes],
    mode: FaultMode | None,
) -> web.StreamResponse:
    name = None if mode is None else mode.name
    await response.prepare(request)
    # A client that has gone owes us nothing more; the call is in the account.
    with suppress(ConnectionError):
        for piece in first_half(pieces) if name == "cut_stream" else pieces:
            if mode is not None and name == "slow_stream":
                await asyncio.sleep(mode.pause_s)
            await response.write(piece)
        if name == "cut_stream":
            reset(request)
        else:
            await response.write_eof()
    return response


def first_half(pieces: Sequence[bytes]) -> Sequence[bytes]:
    """Return what is sent of an answer that is cut: half of its events, or half of its only one."""
    if len(pieces) > 1:
        return pieces[: len(pieces) // 2]
    return [piece[: len(piece) // 2] for piece in pieces]


def reset(request: web.Request) -> None:
    """Break the connection that a request came on."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
