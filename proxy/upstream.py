"""The endpoint: where it is, with which key, and how its failures are named."""

import io
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp
from yarl import URL

from cab.proxy.config import Settings
from cab.proxy.errors import CabProxyError
from cab.proxy.headers import Headers
from cab.scoring.records import EndReason

_LARGE_BODY_BYTES = 1 << 20
"""From here on aiohttp wants a file rather than bytes, so as not to hold up the loop."""
_NO_AUTO_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""aiohttp adds these where a client sent none; the endpoint must see the client, not us."""


class UpstreamFailed(CabProxyError):
    """The endpoint gave no answer head."""

    def __init__(self, status: int, end_reason: EndReason, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.end_reason: EndReason = end_reason
        self.code = code


class _Named(NamedTuple):
    status: int
    end_reason: EndReason
    code: str
    text: str


# In this order: the first class that fits names the failure.
_FAILURES: Mapping[type[BaseException], _Named] = {
    aiohttp.ClientConnectorDNSError: _Named(
        502, "upstream_unreachable", "upstream_dns", "the endpoint's name cannot be resolved"
    ),
    aiohttp.ClientConnectorCertificateError: _Named(
        502, "upstream_unreachable", "upstream_tls", "the endpoint's certificate does not verify"
    ),
    aiohttp.ClientConnectorSSLError: _Named(
        502, "upstream_unreachable", "upstream_tls", "TLS with the endpoint failed"
    ),
    aiohttp.ConnectionTimeoutError: _Named(
        504, "timeout", "upstream_connect_timeout", "no connection to the endpoint in time"
    ),
    aiohttp.ClientConnectorError: _Named(
        502, "upstream_unreachable", "upstream_refused", "the endpoint refused the connection"
    ),
    TimeoutError: _Named(
        504, "timeout", "upstream_headers_timeout", "the endpoint sent no answer in time"
    ),
    aiohttp.ClientConnectionError: _Named(
        502, "upstream_unreachable", "upstream_reset", "the endpoint closed without an answer"
    ),
    aiohttp.ClientError: _Named(
        502, "upstream_unreachable", "upstream_bad_http", "the endpoint's answer is no valid HTTP"
    ),
    OSError: _Named(
        502, "upstream_unreachable", "upstream_reset", "the connection to the endpoint broke"
    ),
}


def name_failure(error: BaseException, host: str) -> UpstreamFailed:
    """Return what a client is told, and the record says, of a failure before the answer's head."""
    for kind, named in _FAILURES.items():
        if isinstance(error, kind):
            return UpstreamFailed(*named[:3], f"{host}: {named.text}")
    return UpstreamFailed(502, "upstream_unreachable", "upstream_failed", f"{host}: {error}")


def join(base: URL, path_qs: str) -> URL:
    """Return the endpoint's URL for a request target.

    The base counts without a trailing `/v1`, so that `http://h`, `http://h/v1` and
    `https://h/api/v1` all do what one expects. The target's own escapes are kept as they are.
    """
    prefix = base.raw_path.rstrip("/").removesuffix("/v1")
    return URL(f"{base.scheme}://{base.raw_authority}{prefix}{path_qs}", encoded=True)


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """Return a body in the form that aiohttp sends best: a large one in pieces."""
    if not body:
        return None
    return body if len(body) < _LARGE_BODY_BYTES else io.BytesIO(body)


class Upstream:
    """A pool of connections to one endpoint.

    Args:
        url: Base URL.
        key: Its key, or None.
        settings: Time limits.
    """

    def __init__(self, url: str, key: str | None, settings: Settings) -> None:
        self.base = URL(url)
        self.key = key
        self.refuses_stream_options = False
        """Learned from its answers: no usage can be asked for in streams."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            # No total limit: a long generation is legal. Headers and silence have their own.
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.connect_timeout_s, sock_read=None
            ),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NO_AUTO_HEADERS,
            max_line_size=1 << 16,
            max_field_size=1 << 16,
        )

    async def send(
        self, method: str, path_qs: str, headers: Headers, body: bytes
    ) -> aiohttp.ClientResponse:
        """Return the endpoint's answer, head read, body not.

        Raises:
            UpstreamFailed: There was none; says why.
        """
        try:
            return await self._session.request(
                method,
                join(self.base, path_qs),
                headers=headers,
                data=_payload(body),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise name_failure(error, self.base.authority) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
