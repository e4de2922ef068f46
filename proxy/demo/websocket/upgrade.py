"""Accepts a WebSocket, or answers the upgrade in one of the ways in which servers do not."""

import asyncio
import uuid

from aiohttp import web

from cab.proxy.demo.call import ACCOUNT, FAULT_MODES, error_response
from cab.proxy.demo.dialects import RESPONSES
from cab.proxy.demo.dialects.errors import ErrorReply
from cab.proxy.demo.sending import reset
from cab.proxy.demo.websocket.answering import Answering
from cab.proxy.demo.websocket.connection import DemoConnection
from cab.proxy.demo.websocket.faults import WebSocketFault, WebSocketFaults

WEBSOCKET_FAULTS: web.AppKey[WebSocketFaults] = web.AppKey("websocket_faults", WebSocketFaults)

_FAULTS = ("upgrade_status", "upgrade_silence", "upgrade_reset")
_CLOSE = ("upgrade_close",)


async def serve_websocket(request: web.Request, *, max_bytes: int) -> web.StreamResponse:
    """Serve a connection to its end.

    Args:
        request: The one that asks for it.
        max_bytes: Longest message.
    """
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise web.HTTPMethodNotAllowed("GET", ["POST"])
    faults = request.app[WEBSOCKET_FAULTS]
    fault = faults.take(_FAULTS)
    if fault is not None:
        return await _refuse(request, fault)
    offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
    protocols = [name.strip() for name in offered if name.strip()]
    socket = web.WebSocketResponse(max_msg_size=max_bytes, protocols=protocols)
    # A proxy has to pass the headers on, and this one as well.
    socket.headers["x-request-id"] = f"req_{uuid.uuid4().hex}"
    await socket.prepare(request)
    fault = faults.take(_CLOSE)
    if fault is not None:
        await socket.close(code=fault.number)
        return socket
    answering = Answering(request, socket, request.app[ACCOUNT], request.app[FAULT_MODES], faults)
    await DemoConnection(socket, answering).run()
    return socket


async def _refuse(request: web.Request, fault: WebSocketFault) -> web.StreamResponse:
    if fault.name == "upgrade_silence":
        await request.app[WEBSOCKET_FAULTS].hold(asyncio.Event())
    if fault.name == "upgrade_reset":
        reset(request)
    why = "there is no WebSocket here; POST instead"
    return error_response(RESPONSES, ErrorReply(fault.number or 426, why))
