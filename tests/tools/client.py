"""A client for one request: it sees what is really on the wire, and can leave before the end."""

import asyncio
import contextlib

import orjson

from tests.tools.raw import Answer, Leave, connected, read_answer, request

__all__ = ["Leave", "Seen", "post"]

Seen = Answer


async def post(
    url: str,
    target: str,
    body: object,
    *headers: str,
    leave: Leave | None = None,
    method: str = "POST",
) -> Seen:
    """Send one request on a connection of its own and return what came.

    Args:
        url: Where to, without a path.
        target: Path and query.
        body: JSON value, or bytes.
        *headers: Further header lines.
        leave: Hang up as soon as this says so; asked once more when the head is there.
        method: The method.
    """
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    answer = Answer()
    async with connected(url) as line:
        named = any(header.lower().startswith("content-type:") for header in headers)
        typed = [] if named else ["Content-Type: application/json"]
        line.send(request(target, raw, *typed, *headers, method=method))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            async with asyncio.timeout(30):
                answer = await read_answer(line.reader, method, leave)
    return answer
