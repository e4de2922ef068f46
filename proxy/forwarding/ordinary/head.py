"""What follows from the heads of an ordinary call, and the head of its answer as the client gets it."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from yarl import URL

from cab.proxy.accounting.admission import AdmissionRequest
from cab.proxy.auth.attribution import Caller, Target
from cab.proxy.forwarding.exchange import Begun, Exchange
from cab.proxy.forwarding.response import CALL_ID_HEADER, Client
from cab.proxy.forwarding.services import ProxyServices
from cab.proxy.forwarding.upstream import Upstream
from cab.proxy.http.headers import Headers, as_sent, request_headers
from cab.proxy.http.wire.answer_head import AnswerHead, AnswerShape
from cab.proxy.http.wire.endpoint_pool import EndpointPool
from cab.proxy.http.wire.request_bytes import request_head_bytes
from cab.proxy.http.wire.request_head import RequestHead
from cab.proxy.ledger.call_records import CallContext
from cab.proxy.meter import CallMeter, Dialect
from cab.proxy.redaction import Redactor
from cab.scoring.ledger.records import Endpoint

_MARK = secrets.token_hex(16).encode()
"""Stands in no head: it marks places in one."""
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


class HeadTemplate(NamedTuple):
    """A head with places for values."""

    first: bytes
    """What stands before the first value."""
    rest: tuple[tuple[int, bytes], ...]
    """For each place the number of its value, and what stands behind it."""

    def filled(self, values: tuple[bytes, ...]) -> bytes:
        """Return the head with these values."""
        pieces = [self.first]
        for number, behind in self.rest:
            pieces += (values[number], behind)
        return b"".join(pieces)


class Way:
    """How calls whose heads have one shape go on to an endpoint.

    Args:
        upstream: The endpoint.
        pool: Its connections.
        facts: What follows from the shape.
        keep_credentials: Whether the client's own key may pass where the proxy holds none.
    """

    def __init__(
        self, upstream: Upstream, pool: EndpointPool, facts: "ShapeFacts", *, keep_credentials: bool
    ) -> None:
        self.upstream = upstream
        self.pool = pool
        self.authority = f"//{upstream.base.raw_authority}".lower().encode()
        """The endpoint's host and port, in small letters, behind two slashes."""
        self._facts = facts
        self._keep_credentials = keep_credentials
        self.path_qs, _ = self.request(facts.bare)
        self.url = upstream.url(self.path_qs, None)
        self._template: HeadTemplate | None = None
        """The head to the endpoint, with places for what is passed on."""

    def request(self, head: RequestHead) -> tuple[str, Headers]:
        """Return target and headers for the endpoint."""
        headers = request_headers(as_sent(head.raw_headers))
        path_qs = self.upstream.prepare(
            headers,
            self._facts.target.path_qs,
            self._facts.endpoint,
            keep_credentials=self._keep_credentials,
        )
        headers["Accept-Encoding"] = "identity"
        return path_qs, headers

    def head_bytes(self, head: RequestHead) -> bytes | None:
        """Return the head to the endpoint as far as it does not depend on the body; None if it has no safe form."""
        if self._template is None:
            return self._learned(head)
        return self._template.filled(head.values or ())

    @property
    def is_learned(self) -> bool:
        """Whether it is known where in the head to the endpoint the values that are passed on stand."""
        return self._template is not None

    def _learned(self, head: RequestHead) -> bytes | None:
        """Return a head to the endpoint, put together anew; remember it if it is certain where its values stand."""
        made, values = self._made(head), head.values or ()
        marks = tuple(b"%b.%d." % (_MARK, number) for number in range(len(values)))
        marked = self._made(RequestHead(head.shape, marks))
        if marked is not None:
            first, *rest = re.split(rb"%b\.(\d+)\." % _MARK, marked)
            places = zip(map(int, rest[::2]), rest[1::2], strict=True)
            template = HeadTemplate(first, tuple(places))
            self._template = template if template.filled(values) == made else None
        return made

    def _made(self, head: RequestHead) -> bytes | None:
        return request_head_bytes(head.method, self.url, self.request(head)[1].items())


class Forward:
    """How a call goes on to an endpoint.

    Args:
        way: How calls with such a head go.
        request: The head of its request.
        head: The head to the endpoint, as far as it does not depend on the body.
    """

    __slots__ = ("authority", "head", "pool", "request", "way")

    def __init__(self, way: Way, request: RequestHead, head: bytes) -> None:
        self.way = way
        self.pool = way.pool
        self.authority = way.authority
        self.request = request
        self.head = head

    @property
    def upstream(self) -> Upstream:
        """The endpoint."""
        return self.way.upstream

    @property
    def url(self) -> URL:
        """Where the request goes."""
        return self.way.url

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
        way = self.way.upstream, client, *self.way.request(self.request)
        return Exchange(services, context, meter, admission, *way, begun=begun)


class KnownHead:
    """A request's head, and what follows from it.

    Args:
        head: The head.
        facts: What follows from its shape.
    """

    __slots__ = ("_forward", "facts", "head")

    def __init__(self, head: RequestHead, facts: "ShapeFacts") -> None:
        self.head = head
        self.facts = facts
        self._forward: Forward | None = None

    def forward(self, upstream: Upstream, *, keep_credentials: bool) -> Forward | None:
        """Return how a call with this head goes on to an endpoint; see `ShapeFacts.way`."""
        way = self.facts.way(upstream, keep_credentials=keep_credentials)
        if way is None:
            return None
        if self._forward is None or self._forward.way is not way:
            head = way.head_bytes(self.head)
            self._forward = None if head is None else Forward(way, self.head, head)
        return self._forward


@dataclass(slots=True, eq=False)
class ShapeFacts:
    """What follows from the shape of a request's head; see `HeadShape`."""

    bare: RequestHead
    target: Target
    dialect: Dialect | None
    """None if it is not a call that our own wire serves."""
    redactor: Redactor
    content_type: str
    caller: Caller | None = None
    """Who sends it, once that was found out; a key must still be valid each time."""
    generation: object = None
    """Of the settings that it follows from."""
    trace_at: int | None = None
    """Which of a head's values is its `traceparent`."""
    _last: KnownHead | None = None
    _ways: dict[tuple[int, bool], Way | None] = field(
        default_factory=dict[tuple[int, bool], "Way | None"]
    )

    @property
    def endpoint(self) -> Endpoint:
        """The dialect's name."""
        return self.dialect.name if self.dialect is not None else "other"

    def traceparent(self, head: RequestHead) -> str | None:
        """Return that header of a head of this shape."""
        if self.trace_at is None or head.values is None:
            return None
        return head.values[self.trace_at].decode("latin-1")

    def known(self, head: RequestHead) -> KnownHead:
        """Return a head of this shape with what follows; the same for a head that came just before."""
        last = self._last
        if last is None or last.head is not head:
            last = self._last = KnownHead(head, self)
        return last

    def way(self, upstream: Upstream, *, keep_credentials: bool) -> Way | None:
        """Return how such calls go on to an endpoint; None if that depends on the call.

        Args:
            upstream: The endpoint.
            keep_credentials: Whether the client's own key may pass where the proxy holds none.
        """
        place = id(upstream), keep_credentials
        if place not in self._ways:
            way = None
            if upstream.pool is not None and upstream.route.path is None and self.dialect:
                way = Way(upstream, upstream.pool, self, keep_credentials=keep_credentials)
            self._ways[place] = way
        return self._ways[place]


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
    known, place = head.shape.derived, (authority, is_sized)
    if place not in known:
        known[place] = _answer_template(head.shape, authority, is_sized=is_sized)
    template = known[place]
    if not isinstance(template, HeadTemplate) or authority in b"\n".join(head.values).lower():
        return None
    return template.filled((*head.values, call_id.encode()))


def _answer_template(
    shape: AnswerShape, authority: bytes, *, is_sized: bool
) -> HeadTemplate | None:
    """Return the head for clients of answers of a shape; the call's id stands behind their own values."""
    lines, place = [b"HTTP/1.1 %d %b" % (shape.status, shape.reason)], 0
    parts, places = list[bytes](), list[int]()
    for name, value in shape.headers:
        lower = name.lower()
        if lower in _NOT_PLAIN or lower == _CALL_ID or authority in (value or b"").lower():
            return None
        is_passed = lower not in _NOT_PASSED and (is_sized or lower != b"content-length")
        if is_passed and value is None:
            parts.append(b"\r\n".join((*lines, name + b": ")))
            places.append(place)
            lines = [b""]
        elif is_passed and value is not None:
            lines.append(b"%b: %b" % (name, value))
        place += value is None
    parts.append(b"\r\n".join((*lines, _CALL_ID + b": ")))
    places.append(place)
    framing = [] if is_sized else [b"Transfer-Encoding: chunked"]
    parts.append(b"\r\n".join((b"", *framing, b"", b"")))
    return HeadTemplate(parts[0], tuple(zip(places, parts[1:], strict=True)))
