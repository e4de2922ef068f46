"""The endpoint: where it is, with which key, and how its failures are named."""

import fnmatch
import io
import ssl
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from cab.proxy.accounting.prices import EndpointPrices
from cab.proxy.config import ProxySettings, Route, Wire
from cab.proxy.errors import BadConfig
from cab.proxy.forwarding.answers import (
    HEAD_LINE_BYTES,
    DirectBody,
    EndpointAnswer,
    from_aiohttp,
    from_direct,
    read_odd,
)
from cab.proxy.forwarding.connections import Attempt, PeekingConnector
from cab.proxy.forwarding.failures import StaleConnection, name_failure, not_connected
from cab.proxy.forwarding.usage_requests import UsageRequests
from cab.proxy.http.headers import (
    OVERRIDES,
    Headers,
    header_fault,
    may_hold_secret,
    replace_credentials,
)
from cab.proxy.http.query_key import query_key, without_query_key
from cab.proxy.http.wire.endpoint_connection import EndpointConnection
from cab.proxy.http.wire.endpoint_pool import EndpointPool, NotConnected
from cab.proxy.http.wire.request_bytes import request_bytes
from cab.scoring.ledger.records import Endpoint
from cab.scoring.prices.table import PriceTable

_LARGE_BODY_BYTES = 1 << 20
"""From here on aiohttp wants a file rather than bytes, so as not to hold up the loop."""
_NO_AUTO_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""aiohttp adds these where a client sent none; the endpoint must see the client, not us."""


_REMEMBERED_NS = 600 * 1_000_000_000


class Refusals:
    """When an endpoint last said that it does not speak WebSocket; it may be upgraded."""

    def __init__(self) -> None:
        self._until_ns = 0

    def recently(self, now_ns: int) -> bool:
        """Return whether that was not long ago."""
        return now_ns < self._until_ns

    def note(self, now_ns: int) -> None:
        """Remember it for a while."""
        self._until_ns = now_ns + _REMEMBERED_NS


def join(base: URL, path_qs: str) -> URL:
    """Return the endpoint's URL for a request target.

    The base counts without a trailing `/v1`, so that `http://h`, `http://h/v1` and
    `https://h/api/v1` all do what one expects. The target's own escapes are kept as they are.
    """
    return URL(f"{base.scheme}://{base.raw_authority}{prefix_of(base)}{path_qs}", encoded=True)


def prefix_of(base: URL) -> str:
    """Return the path that all requests to an endpoint begin with."""
    return base.raw_path.rstrip("/").removesuffix("/v1")


def mapped(route: Route, path_qs: str, model: str | None) -> str:
    """Return a request target in the endpoint's own layout.

    >>> azure = Route(models=["*"], upstream="http://h", path="/openai/deployments/{model}",
    ...               query={"api-version": "2024-10-21"})
    >>> mapped(azure, "/v1/chat/completions", "gpt-5")
    '/openai/deployments/gpt-5/chat/completions?api-version=2024-10-21'
    """
    if route.path is not None and path_qs.startswith("/v1/"):
        path_qs = route.path.replace("{model}", quote(model or "", safe="")) + path_qs[3:]
    if not route.query:
        return path_qs
    return f"{path_qs}{'&' if '?' in path_qs else '?'}{urlencode(route.query)}"


def _verification(route: Route) -> ssl.SSLContext | bool:
    """Return the TLS settings of an endpoint; certificates are always verified.

    Raises:
        BadConfig: The file of certificates cannot be used.
    """
    if not route.upstream.startswith("https:"):
        return True  # loading the system's certificates takes time
    if route.ca_file is not None and route.ca_file.is_fifo():  # to open it may take for ever
        raise BadConfig(f"ca_file {route.ca_file} is a pipe; give a regular file")
    try:
        return ssl.create_default_context(cafile=route.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise BadConfig(f"ca_file {route.ca_file} cannot be used: {error.strerror}") from error


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    if not body:
        return None
    return body if len(body) < _LARGE_BODY_BYTES else io.BytesIO(body)


class Upstream:
    """A pool of connections to one endpoint.

    Args:
        route: The endpoint.
        key: Its key, or None.
        connect_timeout_s: Limit for a connection.
        keepalive_timeout_s: How long an idle connection is kept.
        wire: Who speaks HTTP with it; aiohttp does in any case where a proxy is between.
        number: Of the route in the settings; None: it is `upstream`.
        table: The operator's table of prices.

    Raises:
        BadConfig: Its file of certificates cannot be used, or its key cannot stand in a header.
    """

    def __init__(  # noqa: PLR0913 - it is put together in one place
        self,
        route: Route,
        key: str | None,
        connect_timeout_s: float,
        keepalive_timeout_s: float,
        wire: Wire = "direct",
        table: PriceTable | None = None,
        number: int | None = None,
    ) -> None:
        if key is not None and (fault := header_fault(key)):
            raise BadConfig(f"{route.key_env} {fault}")
        self.route = route
        self.number = number
        self._how = connect_timeout_s, keepalive_timeout_s, wire
        self.base = URL(route.upstream)
        self.key = key
        self.prices = EndpointPrices(table, route.provider, route.upstream)
        self.usage_requests = UsageRequests()
        self.refused_websockets = Refusals()
        # No total limit: a long generation is legal. Headers and silence have their own.
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_timeout_s, sock_read=None
        )
        tls = _verification(route)
        self._connector = PeekingConnector(tls, keepalive_timeout_s)
        self.pool = (
            EndpointPool(self.base, tls, connect_timeout_s, keepalive_timeout_s)
            if wire == "direct" and route.http_proxy is None
            else None
        )
        """Our own connections; None where aiohttp has them all."""
        self._session = self.session()
        # aiohttp sends a GET again by itself where a kept connection was closed under it. No request
        # may reach an endpoint twice without its record, and the client knows best what to repeat.
        self._session._retry_connection = False  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    def is_as(self, other: "Upstream") -> bool:
        """Return whether another one would do all as this one does; a file of certificates may have changed."""
        mine, others = ((u.route, u.key, u.number, u._how) for u in (self, other))  # noqa: SLF001
        return mine == others and self.route.ca_file is None

    def take_prices(self, other: "Upstream") -> None:
        """Go by the prices of another one that is as this one, if its table says something else."""
        if self.prices.table_source != other.prices.table_source:
            self.prices = other.prices

    @property
    def holds_key(self) -> bool:
        """Whether requests get a key that is not the client's, here or in the route's own headers."""
        return self.key is not None or any(map(may_hold_secret, self._named()))

    def _named(self) -> dict[str, str]:
        return {**self.route.headers, **self.route.query}

    def session(self, *traces: aiohttp.TraceConfig) -> aiohttp.ClientSession:
        """Return a session on the pool of this endpoint; closing it leaves the pool open."""
        return aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            timeout=self._timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NO_AUTO_HEADERS,
            trace_configs=list(traces),
            max_line_size=HEAD_LINE_BYTES,
            max_field_size=HEAD_LINE_BYTES,
        )

    def url(self, path_qs: str, model: str | None) -> URL:
        """Return where a request for a model goes."""
        return join(self.base, mapped(self.route, path_qs, model))

    def secrets(self) -> Iterator[str]:
        """Yield the secrets: the key, and what the settings name as one."""
        yield self.key or ""
        yield from (value for name, value in self._named().items() if may_hold_secret(name))
        yield URL(self.route.http_proxy or "").password or ""

    def prepare(
        self, headers: Headers, path_qs: str, endpoint: Endpoint, *, keep_credentials: bool
    ) -> str:
        """Give a request what this endpoint wants: its key, and its own headers.

        Args:
            headers: The client's end-to-end headers; changed in place.
            path_qs: The client's target.
            endpoint: The dialect.
            keep_credentials: Whether the client's own key may pass where the proxy holds none.

        Returns:
            The target, without a key where the endpoint's own takes its place.
        """
        if self.key is not None or not keep_credentials:
            if sent := query_key(path_qs):
                # Whoever takes a key in the query takes it in this header too, and headers are
                # logged by fewer.
                headers.setdefault("x-goog-api-key", sent)
            path_qs = without_query_key(path_qs)
            key_header = self.route.key_header
            replace_credentials(headers, endpoint, None if key_header else self.key)
            if key_header and self.key is not None:
                headers[key_header] = self.key
        if self.holds_key:
            for name in OVERRIDES:
                headers.popall(name, None)
        headers.update(self.route.headers)
        return path_qs

    async def send(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        target: str | URL,
        headers: Headers,
        body: bytes,
        model: str | None,
        *,
        fresh: bool = False,
    ) -> EndpointAnswer:
        """Return the endpoint's answer, head read, body not.

        Args:
            method: HTTP method.
            target: The client's target, or where the endpoint redirects to.
            headers: All headers.
            body: The body, empty if there is none.
            model: The model, for the layout of the target.
            fresh: Whether it goes on a new connection.

        Raises:
            StaleConnection: The endpoint cannot have read the request; send it once more, fresh.
            UpstreamFailed: There was no answer; says why.
        """
        url = self.url(target, model) if isinstance(target, str) else target
        if self.pool is not None:
            parts = request_bytes(method, url, headers.items(), body)
            if parts is not None:
                return await self._send_direct(self.pool, method, url, parts, fresh=fresh)
        return await self._send_by_aiohttp(method, url, headers, body, fresh=fresh)

    async def _send_direct(
        self, pool: EndpointPool, method: str, url: URL, parts: tuple[bytes, ...], *, fresh: bool
    ) -> EndpointAnswer:
        connection = None if fresh else pool.take()
        if connection is None:
            try:
                connection = await pool.connect()
            except NotConnected as error:
                raise not_connected(error.code, self.base.authority) from error
        body = DirectBody(connection)
        connection.send(parts, body, is_bodiless=method == "HEAD")
        return await self.answer_on(pool, method, url, connection, body)

    async def answer_on(
        self,
        pool: EndpointPool,
        method: str,
        url: URL,
        connection: EndpointConnection,
        body: DirectBody,
    ) -> EndpointAnswer:
        """Return the answer to a request that was sent on a connection of ours; see `send`."""
        try:
            head = await body.wait_head()
            if isinstance(head, bytes):
                return await read_odd(method, url, connection.transport, head)
            return from_direct(method, url, head, body)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            body.close()
            if pool.found_stale(connection) and not isinstance(error, TimeoutError):
                raise StaleConnection from error
            raise name_failure(error, self.base.authority) from error
        except BaseException:
            body.close()
            raise

    async def _send_by_aiohttp(
        self, method: str, url: URL, headers: Headers, body: bytes, *, fresh: bool
    ) -> EndpointAnswer:
        with Attempt(fresh=fresh) as attempt:
            try:
                return from_aiohttp(
                    await self._session.request(
                        method,
                        url,
                        headers=headers,
                        data=_payload(body),
                        allow_redirects=False,
                        proxy=self.route.http_proxy,
                    )
                )
            except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
                if attempt.found_stale(error):
                    raise StaleConnection from error
                raise name_failure(error, self.base.authority) from error

    async def close(self) -> None:
        """Close all connections."""
        if self.pool is not None:
            self.pool.close()
        await self._session.close()
        await self._connector.close()


def require_route_keys(routes: Sequence[Route], keys: Mapping[str, str]) -> None:
    """Return if each route that names a key has it.

    Raises:
        BadConfig: One has not: its endpoint would get the clients' own keys.
    """
    for number, route in enumerate(routes):
        if "key_env" in route.model_fields_set and not keys.get(route.key_env):
            raise BadConfig(
                f"{route.key_env} is not set, and routes.{number} ({', '.join(route.models)}) names it as its "
                "key_env; set it, or remove key_env"
            )


def _completed(route: Route, settings: ProxySettings) -> Route:
    """Return a route with what the settings say for all of them."""
    paths, ca_file = [*settings.paths, *route.paths], route.ca_file or settings.ca_file
    return route.model_copy(update={"paths": paths, "ca_file": ca_file})


class Upstreams:
    """All endpoints, and which one serves a model.

    Args:
        settings: Names the endpoints.
        default_url: Base URL for models that no route names.
        default_key: Key for that one.
        keys: Names of environment variables to keys, for the routes.
        table: The operator's table of prices.
    """

    def __init__(
        self,
        settings: ProxySettings,
        default_url: str,
        default_key: str | None,
        keys: Mapping[str, str],
        table: PriceTable | None = None,
    ) -> None:
        times_s = settings.connect_timeout_s, settings.keepalive_timeout_s
        how = *times_s, settings.wire, table
        default = Route(
            models=["*"],
            upstream=default_url,
            key_env=settings.upstream_key_env,
            ca_file=settings.ca_file,
            paths=settings.paths,
            provider=settings.provider,
        )
        self._retired: list[Upstream] = []
        self.default = Upstream(default, default_key, *how)
        self._routed = [
            Upstream(_completed(route, settings), keys.get(route.key_env) or None, *how, number)
            for number, route in enumerate(settings.routes)
        ]

    def take_over(self, new: "Upstreams") -> list[Upstream]:
        """Serve the next calls as others would; return which of theirs are not needed, to be closed.

        An endpoint for which nothing has changed keeps its connections. Those that are no longer served are
        kept until the end: calls may be under way there.
        """
        old, unused, kept = [self.default, *self._routed], list[Upstream](), list[Upstream]()
        for each in (new.default, *new._routed):  # noqa: SLF001
            same = next((one for one in old if one.is_as(each)), None)
            kept.append(same or each)
            if same is not None:
                same.take_prices(each)
                unused.append(each)
        self._retired += [each for each in old if each not in kept]
        self.default, *self._routed = kept
        return unused

    def addresses(self) -> Iterator[tuple[str, int]]:
        """Yield the hosts and ports that connections go to."""
        for upstream in self.all:
            url = (
                upstream.base
                if upstream.route.http_proxy is None
                else URL(upstream.route.http_proxy)
            )
            if url.host is not None and url.port is not None:
                yield url.host, url.port

    @property
    def all(self) -> list[Upstream]:
        """All endpoints: the default one, and those of the routes."""
        return [self.default, *self._routed]

    def for_model(self, model: str | None) -> Upstream:
        """Return the endpoint that serves a model."""
        for upstream in self._routed:
            if any(fnmatch.fnmatchcase(model or "", p) for p in upstream.route.models):
                return upstream
        return self.default

    def for_connection(self, model: str | None) -> Upstream | None:
        """Return the endpoint of a connection; None if it depends on a model that is not named."""
        upstream = self.for_model(model)
        if model is not None:
            return upstream
        # Of the patterns before the one for all models, each may be meant.
        first = next(iter((*self._routed, self.default)))
        in_path = "{model}" in (upstream.route.path or "")
        return upstream if upstream is first and not in_path else None

    def connections(self) -> Iterator[tuple[str, int, int]]:
        """Yield host and port of each endpoint with its own connections: busy ones, idle ones.

        Those that aiohttp has are not among them.
        """
        for upstream in (self.default, *self._routed):
            if upstream.pool is not None:
                yield upstream.base.authority, *upstream.pool.connections

    @property
    def hold_key(self) -> bool:
        """Whether there is a key that a client could spend without having one."""
        return any(upstream.holds_key for upstream in (self.default, *self._routed))

    def secrets(self) -> tuple[str, ...]:
        """Return the secrets of all endpoints."""
        return tuple(s for u in (self.default, *self._routed) for s in u.secrets())

    async def close_retired(self) -> None:
        """Close the connections to endpoints that are not served any more; no call may be under way there."""
        retired, self._retired = self._retired, []
        for upstream in retired:
            await upstream.close()

    async def close(self) -> None:
        """Close all connections."""
        await self.close_retired()
        for upstream in self.all:
            await upstream.close()
