"""A client of the control API, for a proxy in this process or anywhere else."""

import hashlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self, cast
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import orjson
from yarl import URL

from cab.proxy.accounting.admission import IN_FLIGHT
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.control.schemas import mint_request
from cab.proxy.errors import BadConfig, CabProxyError, ProxyRefused
from cab.proxy.http.headers import header_fault
from cab.proxy.redaction import Redactor

_UNIX = "unix:"
_CONNECT_LIMIT_S = 10.0
_ANSWER_LIMIT_S = 60.0
"""A seal waits up to half of it for calls in flight."""
_SEAL_TRIES = 5


class SealedCell(NamedTuple):
    """A cell whose calls are final."""

    seal: dict[str, Any]
    """What the proxy states of the lines: the members of a `cell_seal` record."""
    lines: bytes
    """The cell's lines of the ledger, verbatim; their digest is the seal's."""


class ControlClient:
    """The control API of a running proxy; use it as `async with ControlClient(...) as control`.

    What its methods return are the answers of the API; docs/control-api.md describes their members.
    Every method raises `ProxyRefused`, which names the address and what to do, if the proxy cannot be
    reached, if something else answers there, or if the proxy does not do what it is asked.

    Args:
        address: The proxy's URL, with or without `/v1`; where its control API has an address of its
            own, that one: a URL, or `unix:` and the path of its socket.
        token: The proxy's admin token, or a key of a cell, which is good for that cell only; to open
            or seal a cell takes its seal key.
        tls: How an `https` address is verified; None does it with the system's certificates.

    Raises:
        BadConfig: The address is not one of these, or the token cannot be sent.
    """

    def __init__(
        self, address: str, token: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._base, self._socket = _parse(address)
        self.address = address
        if token is not None and not isinstance(token, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            raise BadConfig(f"the key for the control API must be text, not {type(token).__name__}")
        if token is not None and (fault := header_fault(token)):
            raise BadConfig(f"the key for the control API {fault}")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        limits = aiohttp.ClientTimeout(total=_ANSWER_LIMIT_S, sock_connect=_CONNECT_LIMIT_S)
        connector: aiohttp.BaseConnector | None = None
        if self._socket is not None:
            connector = aiohttp.UnixConnector(self._socket)
        elif self._tls is not None:
            connector = aiohttp.TCPConnector(ssl=self._tls)
        self._session = aiohttp.ClientSession(connector=connector, timeout=limits)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def health(self) -> dict[str, Any]:
        """Return the proxy's state; `ready` says whether it takes calls."""
        status, answer = await self._exchange("GET", "health")
        return _object(self.address, status, answer, ready=bool)

    async def require_ready(self) -> None:
        """Return if the proxy takes calls."""
        health = await self.health()
        if not health["ready"]:
            why = health.get("ledger_failure") or "it is stopping"
            raise ProxyRefused(self.address, f"it takes no calls now ({why})")

    async def mint(
        self, cell_id: str, ttl_s: int, limits: KeyLimits | None = None
    ) -> dict[str, Any]:
        """Return new keys of a cell, with their ids and expiry; for the admin only.

        `key` is for the agent's calls; `seal_key` opens and seals the cell, and stays with whoever runs the agent.

        Args:
            cell_id: The cell that pays for calls with it.
            ttl_s: Seconds until they expire, 1 to 316,224,000 (ten years).
            limits: What the cell may spend.

        Raises:
            BadConfig: A value is not a valid one; it is named.
        """
        body = mint_request(cell_id, ttl_s, limits).model_dump(exclude_none=True)
        return await self._json("POST", "keys", body, key=str, key_id=str, seal_key=str)

    async def revoke(
        self, *, key: str | None = None, key_id: str | None = None, cell_id: str | None = None
    ) -> dict[str, Any]:
        """Revoke one key, or all keys that a cell has now; for the admin only.

        Args:
            key: The key itself.
            key_id: Or its id.
            cell_id: Or the cell.
        """
        named = {"key": key, "key_id": key_id, "cell_id": cell_id}
        body = {name: value for name, value in named.items() if value is not None}
        answer = await self._json("POST", "keys/revoke", body)
        if not {"key_id", "cell_id"} <= answer.keys():
            raise _not_a_proxy(self.address, 200)
        return answer

    async def keys(self, prefix: str = "") -> AsyncIterator[dict[str, Any]]:
        """Yield what is known of the keys that were minted in the proxy's state folder; for the admin only.

        Args:
            prefix: Only of cells whose id begins with this text.
        """
        async for key in self._pages("keys", "key_id", prefix):
            yield key

    async def cells(self, prefix: str = "") -> AsyncIterator[dict[str, Any]]:
        """Yield the totals of all cells whose id begins with a text, by id; for the admin only."""
        async for cell in self._pages("cells", "cell_id", prefix):
            yield cell

    async def _pages(self, what: str, name: str, prefix: str) -> AsyncIterator[dict[str, Any]]:
        after: dict[str, str] = {}
        while True:
            query = urlencode({"prefix": _text("prefix", prefix), **after})
            page = await self._json("GET", f"{what}?{query}", **{what: list})
            found, next_after = page[what], page.get("next_after")
            if not all(isinstance(each, dict) and name in each for each in found):
                raise _not_a_proxy(self.address, 200)
            for each in found:
                yield each
            if not isinstance(next_after, str):
                return
            after = {"after": next_after}

    async def totals(self, cell_id: str) -> dict[str, Any]:
        """Return what a cell has spent so far; a sum of which a part is unknown is None.

        A cell that was never opened or called is refused (`no_such_cell`): unknown is not zero.
        """
        return await self._json("GET", _path(cell_id), cell_id=str, calls=int)

    async def calls(self, cell_id: str) -> bytes:
        """Return a cell's lines of the ledger, START and END records, as they stand there."""
        lines = await self._answer("GET", _path(cell_id, "/calls"))
        if lines and not (lines.startswith(b'{"') and lines.endswith(b"}\n")):
            raise _not_a_proxy(self.address, 200)
        return lines

    async def require_unused(self, cell_id: str) -> None:
        """Return if a cell has no calls yet: a second run would be added to the first."""
        try:
            lines = await self.calls(cell_id)
        except ProxyRefused as error:
            if error.code != "no_such_cell":
                raise
            return
        if lines:
            why = (
                f"its ledger has calls of {cell_id} already; name another cell (run-cell: --run N)"
            )
            raise ProxyRefused(self.address, why)

    async def open_cell(self, cell_id: str) -> dict[str, Any]:
        """Record that a cell without calls is metered from now on; return its id and the time.

        Raises:
            ProxyRefused: The cell has calls, or is sealed; or see the class.
        """
        return await self._json("POST", _path(cell_id, "/open"), cell_id=str, opened_at=str)

    async def states(self) -> AsyncGenerator[dict[str, Any]]:
        """Yield what the proxy does now, up to twice a second, until it ends; for the admin only.

        Over the control API's socket no token is needed: only the proxy's user can open it.
        """
        url, limits = self._url("live/events"), aiohttp.ClientTimeout(sock_read=_ANSWER_LIMIT_S)
        with self._reaching():
            async with self._open().get(url, headers=self._headers, timeout=limits) as response:
                if response.status != 200:
                    raise self._refusal(response.status, await response.read())
                pending = b""
                async for data in response.content.iter_any():
                    *events, pending = (pending + data).split(b"\n\n")
                    for event in events:
                        if event.startswith(b"data: "):
                            yield _object(self.address, 200, event[6:], at_ms=int, cells=list)

    async def seal(self, cell_id: str) -> SealedCell:
        """Close a cell once its calls have ended; later ones are refused.

        Raises:
            ProxyRefused: The cell is sealed already, its calls do not end within some minutes, or its
                lines are not those that the seal states; or see the class.
        """
        seal = _object(self.address, 200, await self._seal(cell_id), cell_id=str, digest=str)
        lines = await self.calls(cell_id)
        if seal.get("digest") != f"sha256:{hashlib.sha256(lines).hexdigest()}":
            raise ProxyRefused(self.address, f"the lines of {cell_id} are not what its seal states")
        return SealedCell(seal, lines)

    async def _seal(self, cell_id: str) -> bytes:
        path = _path(cell_id, "/seal")
        for _ in range(_SEAL_TRIES - 1):
            try:
                return await self._answer("POST", path)
            except ProxyRefused as error:
                if error.code != IN_FLIGHT:
                    raise
        return await self._answer("POST", path)  # each try has waited already

    async def _json(
        self, method: str, path: str, body: object = None, **members: type
    ) -> dict[str, Any]:
        return _object(self.address, 200, await self._answer(method, path, body), **members)

    async def _answer(self, method: str, path: str, body: object = None) -> bytes:
        status, answer = await self._exchange(method, path, body)
        if status >= 300:
            raise self._refusal(status, answer)
        return answer

    def _refusal(self, status: int, answer: bytes) -> ProxyRefused:
        try:
            error = orjson.loads(answer)["error"]
            code, message = str(error["code"]), str(error["message"])
        except (ValueError, LookupError, TypeError):
            return _not_a_proxy(self.address, status)
        if (status, code) == (404, "not_found"):
            message = "its control API has an address of its own; give that address"
        return ProxyRefused(self.address, f"{message} (status {status})", code)

    async def _exchange(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        session, url = self._open(), self._url(path)
        try:
            data = None if body is None else orjson.dumps(body)
        except TypeError as error:  # no text of JSON: the message of orjson holds no value
            raise BadConfig(f"a value cannot be sent to the control API: {error}") from error
        with self._reaching():
            async with session.request(method, url, data=data, headers=self._headers) as response:
                return response.status, await response.read()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise CabProxyError(
                "this ControlClient is not open; use it inside: async with ControlClient(...) as control"
            )
        return self._session

    def _url(self, path: str) -> URL:
        return URL(f"{self._base}/cab/{path}", encoded=True)

    @contextmanager
    def _reaching(self) -> Generator[None]:
        """Turn what goes wrong on the way into one error that names the proxy."""
        try:
            yield
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            why = str(error) or "no answer in time"
            raise ProxyRefused(
                self.address, f"cannot be reached ({why}); start cab-proxy there"
            ) from error


def _parse(address: object) -> tuple[str, str | None]:
    """Return the base of all URLs, and the socket to connect to where it is not a host's."""
    text = address if isinstance(address, str) else ""
    if text.startswith(_UNIX) and len(text) > len(_UNIX) and "\0" not in text:
        return "http://localhost", text.removeprefix(_UNIX)
    base = text.rstrip("/").removesuffix("/v1")
    try:
        parts = urlsplit(base)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not one, too
        valid = False
    else:
        if "@" in parts.netloc:
            raise BadConfig(
                "the URL of the control API holds a user or password; give the key as token"
            )
        valid = valid and not parts.query and not parts.fragment and base.isprintable()
    if not valid:
        shown = repr(Redactor().sentence(text) if text else address)
        raise BadConfig(f"{shown} is not an http(s) URL, nor unix: and the path of a socket")
    return base, None


def _text(name: str, value: object) -> str:
    """Return a value that can be a part of a URL."""
    try:
        if isinstance(value, str):
            value.encode()
            return value
    except UnicodeEncodeError:
        pass
    raise BadConfig(f"{name} must be valid text; {ascii(value)[:80]} is not")


def _path(cell_id: str, what: str = "") -> str:
    if not cell_id:
        raise BadConfig("cell_id is empty; give the cell's id")
    # Quoted whole: a cell's id holds slashes.
    return f"cells/{quote(_text('cell_id', cell_id), safe='')}{what}"


def _object(address: str, status: int, answer: bytes, **members: type) -> dict[str, Any]:
    """Return an answer that is an object with these members: else something else answers there."""
    try:
        value = orjson.loads(answer)
    except ValueError as error:
        raise _not_a_proxy(address, status) from error
    if not isinstance(value, dict):
        raise _not_a_proxy(address, status)
    found = cast("dict[str, Any]", value)
    if not all(isinstance(found.get(name), kind) for name, kind in members.items()):
        raise _not_a_proxy(address, status)
    return found


def _not_a_proxy(address: str, status: int) -> ProxyRefused:
    return ProxyRefused(address, f"what answers there is not a cab-proxy (status {status})")
