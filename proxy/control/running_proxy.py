"""A running proxy as the program that runs it sees it."""

from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from threading import Event
from typing import TYPE_CHECKING, Any

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth import cell_keys
from cab.proxy.auth.cell_keys import CellKeys
from cab.proxy.auth.key_register import KeyRegister
from cab.proxy.auth.revocations import Revocations
from cab.proxy.auth.signing_keys import KeyRing
from cab.proxy.clock import Clock
from cab.proxy.control.client import ControlClient, SealedCell
from cab.proxy.control.schemas import mint_request
from cab.proxy.errors import ProxyRefused

if TYPE_CHECKING:
    from cab.proxy.demo import Demo

_KEY_TTL_S = 300
"""Of the keys that questions about a cell are asked with."""


@dataclass(frozen=True, slots=True)
class OpenCell:
    """A cell that takes calls, and its keys."""

    cell_id: str
    key: str = field(repr=False)
    """Calls are made with it: the agent's."""
    url: str
    """Where clients of Anthropic's and Google's APIs send their calls."""
    seal_key: str = field(repr=False)
    """The cell is opened and sealed with it; no agent may have it."""

    @property
    def base_url(self) -> str:
        """Base URL for clients of OpenAI's API: with `/v1`."""
        return f"{self.url}/v1"

    @property
    def headers(self) -> dict[str, str]:
        """Headers that make a request a call of this cell."""
        return {"Authorization": f"Bearer {self.key}"}


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """A running proxy: keys for its cells, what they have spent, and their seals.

    Once it has ended, every method raises `ProxyRefused`.
    """

    url: str
    """Where it listens, without `/v1`. With `host="0.0.0.0"` it holds that address, which a container
    cannot call: give containers the name or the address under which they reach this machine."""
    upstream_url: str
    """Where it forwards to."""
    ledger_dir: Path
    """Where its records are."""
    demo: "Demo | None"
    """The built-in model server, where that is the upstream."""
    control_url: str
    """Where the control API is: `url`, or its own address."""
    _ring: KeyRing
    _clock: Clock
    _ended: Event
    _tls: SSLContext | None
    """How its own listener is verified, where that speaks TLS."""
    _revocations: Revocations
    """Of the state folder, which lists the keys that are minted too."""

    def mint_key(self, cell_id: str, ttl_s: int, limits: KeyLimits | None = None) -> str:
        """Return a new key for calls of a cell; see `mint_keys`."""
        return self.mint_keys(cell_id, ttl_s, limits).call

    def mint_keys(self, cell_id: str, ttl_s: int, limits: KeyLimits | None = None) -> CellKeys:
        """Return new keys of a cell: `call` is the agent's, `seal` stays with whoever runs it.

        Args:
            cell_id: The cell that pays for calls with it.
            ttl_s: Seconds until it expires, 1 to 316,224,000 (ten years).
            limits: What the cell may spend.

        Raises:
            BadConfig: A value is not one that the control API takes for a key, and it is named; or the
                cell's keys of this second were revoked.
            ProxyRefused: The proxy has ended.
        """
        if self._ended.is_set():
            raise ended(self.url)
        wanted = mint_request(cell_id, ttl_s, limits)
        now_s = self._clock.wall_ns() // 1_000_000_000
        register = KeyRegister(self._ring, self._revocations)
        return register.mint_both(cell_id, wanted.ttl_s, now_s, wanted.limits())

    async def open_cell(
        self, cell_id: str, ttl_s: int, limits: KeyLimits | None = None
    ) -> OpenCell:
        """Return a cell that has no calls yet, with new keys; the arguments are those of `mint_keys`.

        The ledger records it: what the cell does not call from now on is a measured zero.

        Raises:
            BadConfig: As for `mint_keys`.
            ProxyRefused: The ledger has calls of the cell already, or its seal, or cannot be written.
        """
        keys = self.mint_keys(cell_id, ttl_s, limits)
        async with self._client(keys.seal) as control:
            await control.open_cell(cell_id)
        return OpenCell(cell_id, keys.call, self.url, keys.seal)

    async def totals(self, cell_id: str) -> dict[str, Any]:
        """Return what a cell has spent so far, in the words of the control API.

        A sum of which a part is unknown is None.

        Raises:
            ProxyRefused: The cell was never opened or called, so that nothing is known of it.
        """
        async with self._control(cell_id) as control:
            return await control.totals(cell_id)

    async def seal(self, cell_id: str) -> SealedCell:
        """Close a cell once its calls have ended; return its seal and its lines of the ledger.

        Raises:
            ProxyRefused: It was never opened or called, it is sealed already, or its calls do not end
                within some minutes.
        """
        async with self._control(cell_id) as control:
            return await control.seal(cell_id)

    def _control(self, cell_id: str) -> ControlClient:
        if self._ended.is_set():
            raise ended(self.url)
        wanted = mint_request(cell_id, _KEY_TTL_S)
        now_s = self._clock.wall_ns() // 1_000_000_000
        key = cell_keys.mint(self._ring, cell_id, wanted.ttl_s, now_s, scope="seal")
        return self._client(key)

    def _client(self, seal_key: str) -> ControlClient:
        return ControlClient(self.control_url, seal_key, self._tls)


def ended(url: str) -> ProxyRefused:
    """Return the error of a proxy of this program that runs no more."""
    return ProxyRefused(url, "it has ended; use it inside its with block")
