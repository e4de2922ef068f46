"""Reads the body of a request, within a size and at a pace."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from cab.proxy.http.error_responses import RequestFailed

Hold = Callable[[int], Awaitable[None]]
_LEAST_BYTES = 1024
"""What must come within the time limit: a body that comes byte by byte makes no progress."""


async def read_body(
    request: web.BaseRequest,
    max_bytes: int,
    progress_timeout_s: float,
    hint: str = "",
    *,
    hold: Hold | None = None,
) -> bytes:
    """Return the body of a request.

    Args:
        request: The request.
        max_bytes: The largest body that is read.
        progress_timeout_s: How many seconds the next 1024 bytes, or the end, may take.
        hint: What to do about a body that is larger, for the error.
        hold: Returns once there is room for so many bytes of the body; that takes none of its time.

    Raises:
        RequestFailed: 413, it is larger; 408, it stopped coming, and the connection ends with the answer.
    """
    too_large = f"the request body is over {max_bytes} bytes{hint}"
    if (request.content_length or 0) > max_bytes:
        raise RequestFailed(413, "request_too_large", too_large)
    if hold is not None:
        await hold(request.content_length or 0)
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the interim answer is no part of the response
    try:
        body = await _read(request, max_bytes, progress_timeout_s, hold)
    except TimeoutError:
        request.protocol.close()  # what still comes is not read
        message = (
            f"less than {_LEAST_BYTES} bytes of the request body came in {progress_timeout_s:g} s"
        )
        raise RequestFailed(408, "request_timeout", message, retry=True) from None
    if body is None:
        raise RequestFailed(413, "request_too_large", too_large)
    return body


async def _read(
    request: web.BaseRequest, max_bytes: int, progress_timeout_s: float, hold: Hold | None
) -> bytes | None:
    """Return the body; None if it is larger."""
    pieces: list[bytes] = []
    size, due = 0, _LEAST_BYTES
    is_here, loop = request.content.is_eof(), asyncio.get_running_loop()
    async with asyncio.timeout(None if is_here else progress_timeout_s) as limit:
        async for piece in request.content.iter_any():
            size += len(piece)
            if size > max_bytes:
                return None
            pieces.append(piece)
            if hold is not None and size > (request.content_length or 0):
                limit.reschedule(None)
                await hold(size)
                due = size
            if size >= due and not is_here:
                due = size + _LEAST_BYTES
                limit.reschedule(loop.time() + progress_timeout_s)
    return b"".join(pieces)
