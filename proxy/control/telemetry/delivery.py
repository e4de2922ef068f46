"""One request to a receiver of OTLP over HTTP, and what its answer means."""

import gzip
import ssl
from typing import NamedTuple

import aiohttp

from cab.proxy.control.telemetry.encoding import CONTENT_TYPES
from cab.proxy.control.telemetry.target import SignalTarget
from cab.proxy.errors import BadConfig

_RETRYABLE = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may be sent again, by the specification; after any other it must not."""
_MOST_ANSWER_BYTES = 1 << 16
_LONGEST_WAIT_S = 300.0
_REASON_CHARS = 200


class Delivered(NamedTuple):
    """What became of a request."""

    body: bytes
    """The receiver's answer to what it has taken."""
    failure: str | None = None
    """Why it was not taken."""
    again: bool = False
    """Whether the same request may be sent again."""
    wait_s: float | None = None
    """How long the receiver asks to wait before that."""


class Delivery:
    """Sends requests of one signal.

    Args:
        target: Where to, and how.

    Raises:
        BadConfig: The certificates cannot be read.
    """

    def __init__(self, target: SignalTarget) -> None:
        self.target = target
        connector = aiohttp.TCPConnector(limit=1, ssl=receiver_tls(target) or True)
        limit = aiohttp.ClientTimeout(total=target.timeout_s)
        self._session = aiohttp.ClientSession(connector=connector, timeout=limit)
        self._headers = {**target.headers, "Content-Type": CONTENT_TYPES[target.protocol]}
        if target.gzip:
            self._headers["Content-Encoding"] = "gzip"

    def packed(self, body: bytes) -> bytes:
        """Return a request's body as it is sent."""
        return gzip.compress(body, 1, mtime=0) if self.target.gzip else body

    async def send(self, packed: bytes) -> Delivered:
        """Send a request that `packed` has packed."""
        sent = self._session.post(
            self.target.url, data=packed, headers=self._headers, allow_redirects=False
        )
        try:
            async with sent as answer:
                body = await _answered(answer)
                wait_s = _wait_s(answer.headers.get("Retry-After"))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return Delivered(b"", f"the receiver cannot be reached: {_reason(error)}", again=True)
        if 200 <= answer.status < 300:
            return Delivered(body)
        again = answer.status in _RETRYABLE
        return Delivered(b"", f"the receiver answers with status {answer.status}", again, wait_s)

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()


async def _answered(answer: aiohttp.ClientResponse) -> bytes:
    """Return the beginning of an answer's body, in however many parts it comes."""
    body = b""
    async for part in answer.content.iter_any():
        body += part[: _MOST_ANSWER_BYTES - len(body)]
        if len(body) == _MOST_ANSWER_BYTES:
            answer.close()  # whatever follows, there is no end to wait for
            break
    return body


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        # Its text is what the receiver sent; anybody may read the state of the export.
        return "its answer is not valid HTTP"
    return (str(error) or type(error).__name__)[:_REASON_CHARS]


def _wait_s(text: str | None) -> float | None:
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    return min(float(text[:6]), _LONGEST_WAIT_S)


def receiver_tls(target: SignalTarget) -> ssl.SSLContext | None:
    """Return how a receiver is verified; None: by the certificates of the system.

    Raises:
        BadConfig: The certificates cannot be read.
    """
    if target.ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=target.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise BadConfig(
            f"OTEL_EXPORTER_OTLP_CERTIFICATE: {target.ca_file} holds no certificates that can be read"
        ) from error
