"""How it is named that an endpoint gave no answer."""

from collections.abc import Mapping

import aiohttp

from cab.proxy.errors import CabProxyError
from cab.scoring.ledger.records import EndReason


class UpstreamFailed(CabProxyError):
    """The endpoint gave no answer head."""

    def __init__(
        self, status: int, end_reason: EndReason, code: str, message: str, *, retry: bool = True
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry = retry
        self.end_reason: EndReason = end_reason
        self.code = code


class StaleConnection(CabProxyError):
    """The endpoint had closed an idle connection before it could read the request."""


_TEXTS: Mapping[str, str] = {
    "upstream_dns": "the endpoint's name cannot be resolved",
    "upstream_certificate": "the endpoint's certificate does not verify",
    "upstream_tls": "TLS with the endpoint failed",
    "upstream_connect_timeout": "no connection to the endpoint in time",
    "upstream_refused": "the endpoint refused the connection",
}
# In this order: the first class that fits names the failure. What ends in `timeout` is a 504.
_FAILURES: Mapping[type[BaseException], tuple[str, str]] = {
    aiohttp.ClientConnectorDNSError: ("upstream_dns", _TEXTS["upstream_dns"]),
    aiohttp.ClientConnectorCertificateError: ("upstream_tls", _TEXTS["upstream_certificate"]),
    aiohttp.ClientConnectorSSLError: ("upstream_tls", _TEXTS["upstream_tls"]),
    aiohttp.ConnectionTimeoutError: (
        "upstream_connect_timeout",
        _TEXTS["upstream_connect_timeout"],
    ),
    aiohttp.ClientConnectorError: ("upstream_refused", _TEXTS["upstream_refused"]),
    TimeoutError: ("upstream_headers_timeout", "the endpoint sent no answer in time"),
    aiohttp.ClientConnectionError: ("upstream_reset", "the endpoint closed without an answer"),
    aiohttp.ClientError: ("upstream_bad_http", "the endpoint's answer is not valid HTTP"),
    OSError: ("upstream_reset", "the connection to the endpoint broke"),
}
# No connection: the endpoint cannot have seen the request. After all others it may have worked on it.
_NOT_SENT = frozenset(
    {"upstream_dns", "upstream_tls", "upstream_connect_timeout", "upstream_refused"}
)


def name_failure(error: BaseException, host: str) -> UpstreamFailed:
    """Return how the client and the record see a failure before the answer's head."""
    found = (named for kind, named in _FAILURES.items() if isinstance(error, kind))
    return _failed(*next(found, ("upstream_failed", type(error).__name__)), host)


def cause_of(error: UpstreamFailed) -> str:
    """Return what was behind a failure, for the log: the text of the first error, which clients do not see."""
    first: BaseException = error
    while first.__cause__ is not None:
        first = first.__cause__
    return error.code if first is error else f"{type(first).__name__}: {first}"


def drop_tracebacks(error: BaseException) -> None:
    """Take the tracebacks off an error that was dealt with, and off all that are behind it.

    They hold the frames of the call, which may hold the error or a task that failed with it: in such a
    circle a failed call would stay in memory until the garbage collector comes.
    """
    behind: list[BaseException | None] = [error]
    seen: set[int] = set()
    while behind:
        each = behind.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            behind += each.__cause__, each.__context__


def not_connected(code: str, host: str) -> UpstreamFailed:
    """Return how they see that there was no connection.

    Args:
        code: The step that failed, see `NotConnected`.
        host: The endpoint.
    """
    text = _TEXTS[code]
    return _failed("upstream_tls" if code == "upstream_certificate" else code, text, host)


def _failed(code: str, text: str, host: str) -> UpstreamFailed:
    late, message = code.endswith("timeout"), f"{host}: {text}"
    if code in _NOT_SENT:
        return UpstreamFailed(504 if late else 502, "upstream_unreachable", code, message)
    return UpstreamFailed(
        504 if late else 502, "timeout" if late else "upstream_cut", code, message
    )
