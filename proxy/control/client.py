"""A client of the control API, for a proxy in this process or anywhere else."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import orjson
from yarl import URL

from cab.proxy.accounting.admission import IN_FLIGHT
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.errors import BadConfig, ProxyRefused

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
        token: The proxy's admin token, or a cell's key, which is good for that cell only.

    Raises:
        BadConfig: The address is not one of these, or the token cannot be sent.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address = address
        self._base, self._socket = _parse(address)
        if token is not None and not token.isprintable():
            raise BadConfig("the key for the control API has a line end in it; take that out")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        limits = aiohttp.ClientTimeout(total=_ANSWER_LIMIT_S, sock_connect=_CONNECT_LIMIT_S)
        connector = None if self._socket is None else aiohttp.UnixConnector(self._socket)
        self._session = aiohttp.ClientSession(connector=connector, timeout=limits)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def health(self) -> dict[str, Any]:
        """Return the proxy's state; `ready` says whether it takes calls."""
        health = _object(self.address, *await self._exchange("GET", "health"))
        if not isinstance(health.get("ready"), bool):
            raise _not_a_proxy(self.address, 200)
        return health

    async def require_ready(self) -> None:
        """Return if the proxy takes calls."""
        health = await self.health()
        if not health["ready"]:
            why = health.get("ledger_failure") or "it is stopping"
            raise ProxyRefused(self.address, f"it takes no calls now ({why})")

    async def mint(
        self, cell_id: str, ttl_s: int, limits: KeyLimits | None = None
    ) -> dict[str, Any]:
        """Return a new key of a cell, as `key`, with its id and its expiry; for the admin only.

        Args:
            cell_id: The cell that pays for calls with it.
            ttl_s: Seconds until it expires, 1 or more.
            limits: What the cell may spend.
        """
        body = {"cell_id": cell_id, "ttl_s": ttl_s, **(limits or KeyLimits()).claims()}
        return await self._json("POST", "keys", body)

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
        return await self._json("POST", "keys/revoke", body)

    async def cells(self, prefix: str = "") -> AsyncIterator[dict[str, Any]]:
        """Yield the totals of all cells whose id begins with a text, by id; for the admin only."""
        after: dict[str, str] = {}
        while True:
            page = await self._json("GET", f"cells?{urlencode({'prefix': prefix, **after})}")
            for cell in page["cells"]:
                yield cell
            if page["next_after"] is None:
                return
            after = {"after": page["next_after"]}

    async def totals(self, cell_id: str) -> dict[str, Any]:
        """Return what a cell has spent so far; a sum of which a part is unknown is None."""
        return await self._json("GET", _path(cell_id))

    async def calls(self, cell_id: str) -> bytes:
        """Return a cell's lines of the ledger, START and END records, as they stand there."""
        return await self._answer("GET", _path(cell_id, "/calls"))

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

    async def seal(self, cell_id: str) -> SealedCell:
        """Close a cell once its calls have ended; later ones are refused.

        Raises:
            ProxyRefused: The cell is sealed already, its calls do not end within some minutes, or its
                lines are not those that the seal states; or see the class.
        """
        seal = _object(self.address, 200, await self._seal(cell_id))
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

    async def _json(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        return _object(self.address, 200, await self._answer(method, path, body))

    async def _answer(self, method: str, path: str, body: object = None) -> bytes:
        status, answer = await self._exchange(method, path, body)
        if status < 300:
            return answer
        try:
            error = orjson.loads(answer)["error"]
            code, message = str(error["code"]), str(error["message"])
        except (ValueError, LookupError, TypeError) as error:
            raise _not_a_proxy(self.address, status) from error
        if (status, code) == (404, "not_found"):
            message = (
                "its control API has an address of its own; give that (--control, CAB_CONTROL)"
            )
        raise ProxyRefused(self.address, f"{message} (status {status})", code)

    async def _exchange(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        assert self._session is not None, "use the client as a context manager"
        url = URL(f"{self._base}/cab/{path}", encoded=True)
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._session.request(
                method, url, data=data, headers=self._headers
            ) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            why = str(error) or "no answer in time"
            raise ProxyRefused(
                self.address, f"cannot be reached ({why}); start cab-proxy there"
            ) from error


def _parse(address: str) -> tuple[str, str | None]:
    """Return the base of all URLs, and the socket to connect to where it is not a host's."""
    if address.startswith(_UNIX) and len(address) > len(_UNIX):
        return "http://cab-proxy", address.removeprefix(_UNIX)
    base = address.rstrip("/").removesuffix("/v1")
    try:
        parts = urlsplit(base)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise BadConfig(f"{address!r} is not an http(s) URL, nor unix: and the path of a socket")
    return base, None


def _path(cell_id: str, what: str = "") -> str:
    return f"cells/{quote(cell_id, safe='')}{what}"  # quoted whole: a cell's id holds slashes


def _object(address: str, status: int, answer: bytes) -> dict[str, Any]:
    try:
        return dict(orjson.loads(answer))
    except (ValueError, TypeError) as error:
        raise _not_a_proxy(address, status) from error


def _not_a_proxy(address: str, status: int) -> ProxyRefused:
    return ProxyRefused(address, f"what answers there is not a cab-proxy (status {status})")
