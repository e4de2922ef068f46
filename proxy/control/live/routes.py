"""The live view over HTTP: its page, and a stream of states as server-sent events."""

import asyncio
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs

from aiohttp import web

from cab.proxy.control.live.access import COOKIE, SESSION_S, LiveAccess
from cab.proxy.control.live.feed import LiveFeed, LiveState, TooManyViewers
from cab.proxy.control.live.files import ASSETS
from cab.proxy.http.error_responses import RequestFailed

_TYPES = {".css": "text/css", ".js": "text/javascript", ".html": "text/html"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_SILENCE_S = 5.0
"""So long nothing is sent at most while nothing changes: then a comment shows that the proxy is there."""


class LiveView:
    """Answers requests for the live view.

    Args:
        feed: Its states.
        access: Who may look.
        stopping: Whether the proxy stops.
    """

    def __init__(self, feed: LiveFeed, access: LiveAccess, stopping: Callable[[], bool]) -> None:
        self._feed = feed
        self._access = access
        self._stopping = stopping

    async def page(self, request: web.BaseRequest, query: str) -> web.StreamResponse:
        """Answer with the page; with a token, with a cookie for it and the way to the page.

        Raises:
            RequestFailed: The caller may not look.
        """
        token = parse_qs(query).get("token")
        if token is None:
            self._access.require(request)
            return self.asset("live.html")
        cookie = await asyncio.to_thread(self._access.redeem, token[0])
        if cookie is None:
            message = "this address was used already, or is too old; restart cab-proxy for another"
            raise RequestFailed(401, "live_view_closed", message)
        answer = web.Response(status=303, headers={**_HEADERS, "Location": "/cab/"})
        kept = {"max_age": SESSION_S, "path": "/cab/", "httponly": True, "samesite": "Strict"}
        answer.set_cookie(COOKIE, cookie, **kept, secure=request.secure)  # type: ignore[arg-type]
        return answer

    def asset(self, name: str) -> web.Response:
        """Return a file of the page."""
        headers = {**_HEADERS, "Content-Type": f"{_TYPES[Path(name).suffix]}; charset=utf-8"}
        return web.Response(headers=headers, body=_content(name))

    async def events(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer with states until the caller goes, or the proxy stops.

        Raises:
            RequestFailed: The caller may not look, or too many do.
        """
        self._access.require(request)
        try:
            async with self._feed.viewer() as states:
                headers = {**_HEADERS, "Content-Type": "text/event-stream"}
                answer = web.StreamResponse(headers=headers)
                await answer.prepare(request)
                await self._send(answer, states)
                return answer
        except TooManyViewers:
            message = "too many look at the live view; close another one"
            raise RequestFailed(503, "too_many_viewers", message, retry=True) from None

    async def _send(
        self, answer: web.StreamResponse, states: "asyncio.Queue[LiveState | None]"
    ) -> None:
        loop = asyncio.get_running_loop()
        last, sent_s = -1, loop.time()
        while not self._stopping() and (state := await states.get()) is not None:
            if state.number != last:
                await answer.write(state.event)
            elif loop.time() - sent_s > _SILENCE_S:
                await answer.write(b": nothing new\n\n")
            else:
                continue
            last, sent_s = state.number, loop.time()


@cache
def _content(name: str) -> bytes:
    return (ASSETS / name).read_bytes()
