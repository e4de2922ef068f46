"""The upgrade towards the endpoint: whether it speaks WebSocket, and with which headers it says so."""

import asyncio
from dataclasses import dataclass

import aiohttp
from aiohttp import hdrs, web

from cab.proxy.forwarding.failures import UpstreamFailed, name_failure
from cab.proxy.forwarding.response import checked
from cab.proxy.forwarding.upstream import Upstream
from cab.proxy.forwarding.websocket.sockets import CLOSE_LIMIT_S, UpstreamSocket
from cab.proxy.http.headers import Headers, as_sent, end_to_end, request_headers

LIMIT_S = 10.0
"""How long the endpoint may take; codex gives up after 15 s, and then tries again."""
_CLEARLY_NOT = frozenset({200, 400, 404, 405, 426, 501})
"""Statuses with which a server says that it does not know this upgrade."""
_HANDSHAKE = frozenset(
    {
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
    }
)


class NoWebSocket(UpstreamFailed):
    """The endpoint did not take the upgrade.

    Args:
        message: Why.
        status: What it answered; None if nothing.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(426, "upstream_unreachable", "websocket_unsupported", message)
        self.answered = status
        self.is_clear = status in _CLEARLY_NOT
        """Whether it would say so again."""


@dataclass(frozen=True, slots=True)
class UpgradeOffer:
    """What a client offers in its upgrade."""

    headers: Headers
    """End-to-end headers, those of the handshake not among them."""
    protocols: tuple[str, ...]

    @classmethod
    def of(cls, request: web.BaseRequest) -> "UpgradeOffer":
        """Return what an upgrade offers."""
        sent = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
        protocols = [name.strip() for name in ",".join(sent).split(",")]
        headers = request_headers(as_sent(request.raw_headers))
        for name in _HANDSHAKE:
            headers.popall(name, None)
        offered = tuple(name for name in protocols if name)
        return cls(headers, offered)


def answered_headers(answer: aiohttp.ClientResponse) -> Headers:
    """Return the headers of the endpoint's answer as they go to the client."""
    hop = frozenset({"connection", "upgrade", "transfer-encoding", "keep-alive"})
    return end_to_end(as_sent(answer.raw_headers), hop | _HANDSHAKE)


async def connect(  # noqa: PLR0913 - the parts of a request
    upstream: Upstream,
    path_qs: str,
    model: str | None,
    offer: UpgradeOffer,
    *,
    max_message_bytes: int,
    limit_s: float,
) -> UpstreamSocket:
    """Return a connection to the endpoint.

    Args:
        upstream: The endpoint.
        path_qs: Target.
        model: The model, for the layout of the target.
        offer: What the client offers, with the endpoint's credentials.
        max_message_bytes: The largest message that is taken.
        limit_s: How long the endpoint may take.

    Raises:
        NoWebSocket: It did not take the upgrade, or not in time.
    """
    host = upstream.base.authority
    answers: list[aiohttp.ClientResponse] = []
    try:
        async with (
            asyncio.timeout(limit_s),
            upstream.session(_tracing(answers)) as session,
        ):
            socket = await session.ws_connect(
                upstream.url(path_qs, model),
                protocols=offer.protocols,
                headers=offer.headers,
                compress=0,  # as for HTTP: what is unpacked at once has no bound
                proxy=upstream.route.http_proxy,
                timeout=aiohttp.ClientWSTimeout(
                    ws_close=CLOSE_LIMIT_S  # pyright: ignore[reportCallIssue] - a class of attrs
                ),
                autoclose=False,
                autoping=False,
                max_msg_size=max_message_bytes,
            )
        return UpstreamSocket(socket, checked(answers[-1]))
    except aiohttp.WSServerHandshakeError as error:
        message = f"{host}: the endpoint does not speak WebSocket (status {error.status})"
        raise NoWebSocket(message, error.status) from error
    except UpstreamFailed as error:
        raise NoWebSocket(str(error)) from error
    except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
        raise NoWebSocket(str(name_failure(error, host))) from error


def _tracing(answers: list[aiohttp.ClientResponse]) -> aiohttp.TraceConfig:
    """Return what hands out the answer to the upgrade, and keeps a redirect from being followed."""
    config = aiohttp.TraceConfig()

    async def answered(_s: object, _c: object, seen: aiohttp.TraceRequestEndParams) -> None:
        answers.append(seen.response)

    async def redirected(_s: object, _c: object, seen: aiohttp.TraceRequestRedirectParams) -> None:
        answer = seen.response
        answer.close()
        raise aiohttp.WSServerHandshakeError(
            answer.request_info, answer.history, status=answer.status, message="redirect"
        )

    config.on_request_end.append(answered)
    config.on_request_redirect.append(redirected)
    return config
