"""What follows from the heads of an ordinary call, and the head of its answer as the client gets it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from yarl import URL

from cab.proxy.accounting.admission import AdmissionRequest
from cab.proxy.auth.attribution import Caller, Target
from cab.proxy.forwarding.exchange import Begun, Exchange
from cab.proxy.forwarding.response import CALL_ID_HEADER, Client
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.upstream import Upstream
from cab.proxy.http.headers import Headers, as_sent, request_headers
from cab.proxy.http.wire.answer_head import AnswerHead
from cab.proxy.http.wire.endpoint_pool import EndpointPool
from cab.proxy.http.wire.request_bytes import request_head_bytes
from cab.proxy.http.wire.request_head import RequestHead
from cab.proxy.ledger.call_records import CallContext
from cab.proxy.meter import CallMeter, Dialect
from cab.proxy.redaction import Redactor

_CALL_ID = CALL_ID_HEADER.encode()
_NOT_PASSED = frozenset({b"connection", b"keep-alive", b"transfer-encoding"})
_NOT_PLAIN = frozenset(
    {
        *(b"location", b"content-location", b"operation-location", b"azure-asyncoperation"),
        *(b"link", b"refresh", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"upgrade"),
    }
)
"""Headers that may hold an address of the endpoint, or are between it and us: looked at one by one."""


@dataclass(frozen=True, slots=True)
class Forward:
    """How a call with a certain head goes on to an endpoint."""

    upstream: Upstream
    pool: EndpointPool
    path_qs: str
    headers: Headers
    url: URL
    head: bytes
    """The request's head as far as it does not depend on the body."""
    authority: bytes
    """The endpoint's host and port, in small letters, behind two slashes."""

    def exchange(  # noqa: PLR0913 - a call is put together in one place
        self,
        services: ProxyServices,
        context: CallContext,
        meter: CallMeter,
        admission: AdmissionRequest,
        client: Callable[[Callable[[], None]], Client],
        begun: Begun | None = None,
    ) -> Exchange:
        """Return a call that goes this way."""
        way = self.upstream, client, self.path_qs, self.headers
        return Exchange(services, context, meter, admission, *way, begun=begun)


@dataclass(slots=True)
class KnownHead:
    """What follows from the head of a request."""

    head: RequestHead
    target: Target
    dialect: Dialect | None
    """None if it is not a call that our own wire serves."""
    redactor: Redactor
    content_type: str
    caller: Caller | None = None
    """Who sends it, once that was found out; a key must still be valid each time."""
    _forwards: dict[tuple[int, bool], Forward | None] = field(
        default_factory=dict[tuple[int, bool], Forward | None]
    )

    def forward(self, upstream: Upstream, *, keep_credentials: bool) -> Forward | None:
        """Return how a call with this head goes on to an endpoint; None if that depends on the call.

        Args:
            upstream: The endpoint.
            keep_credentials: Whether the client's own key may pass where the proxy holds none.
        """
        place = id(upstream), keep_credentials
        if place not in self._forwards:
            self._forwards[place] = self._made(upstream, keep_credentials=keep_credentials)
        return self._forwards[place]

    def _made(self, upstream: Upstream, *, keep_credentials: bool) -> Forward | None:
        if upstream.pool is None or upstream.route.path is not None or self.dialect is None:
            return None
        headers = request_headers(as_sent(self.head.raw_headers))
        path_qs = upstream.prepare(
            headers, self.target.path_qs, self.dialect.name, keep_credentials=keep_credentials
        )
        headers["Accept-Encoding"] = "identity"
        url = upstream.url(path_qs, None)
        head = request_head_bytes(self.head.method, url, headers.items())
        if head is None:
            return None
        authority = f"//{upstream.base.raw_authority}".lower().encode()
        return Forward(upstream, upstream.pool, path_qs, headers, url, head, authority)


def answer_bytes(
    head: AnswerHead, authority: bytes, call_id: str, *, is_sized: bool
) -> bytes | None:
    """Return the head of an answer as the client gets it; None if one of its headers must be looked at.

    Args:
        head: The endpoint's.
        authority: The endpoint's host and port behind two slashes: they are not passed on.
        call_id: The call's id, for a header of the answer.
        is_sized: Whether its length is known; else it is chunked.
    """
    lines = [b"HTTP/1.1 %d %b" % (head.status, head.reason)]
    for name, value in head.raw_headers:
        lower = name.lower()
        if lower in _NOT_PASSED or (lower == b"content-length" and not is_sized):
            continue
        if lower in _NOT_PLAIN or lower == _CALL_ID or authority in value.lower():
            return None
        lines.append(b"%b: %b" % (name, value))
    lines.append(b"%b: %b" % (_CALL_ID, call_id.encode()))
    if not is_sized:
        lines.append(b"Transfer-Encoding: chunked")
    return b"\r\n".join((*lines, b"", b""))
