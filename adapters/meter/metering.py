"""The proxies of a metered command, and what the command gets to know of them."""

import logging
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from cab.adapters.agents.base import ApiAddress, UserStart, Wired, Wiring
from cab.adapters.agents.registry import OWN_SETTINGS_ONLY, PROGRAMS, load_adapter
from cab.adapters.errors import AdapterError
from cab.adapters.meter.clients import client_variables, unproxied
from cab.adapters.meter.endpoints import PROVIDERS, MeteredEndpoint, providers_inside
from cab.proxy import BlockingProxy, ProxyRefused, start_proxy
from cab.proxy.accounting.admission import USED
from cab.proxy.auth.held_secrets import SECRET_VARIABLES, shows
from cab.proxy.errors import BadConfig

_OURS: Final = frozenset(name for name in SECRET_VARIABLES if name.startswith("CAB_"))
_SECRET_CHARS: Final = 16
_KEY_TTL_S: Final = 366 * 86_400
"""A command may run for days. What signs its key ends with it in any case."""


class MeteringPlan(NamedTuple):
    """How a command is metered."""

    argv: Sequence[str]
    """The command."""
    endpoints: Sequence[MeteredEndpoint]
    cell_id: str
    ledger: Path
    grace_s: float
    """How long calls may go on when it has ended."""
    settings: Mapping[str, Any]
    """Of all proxies."""

    @property
    def ledgers(self) -> Sequence[Path]:
        """The folder of each endpoint's audit log."""
        if len(self.endpoints) == 1:
            return [self.ledger]
        return [self.ledger / each.name for each in self.endpoints]

    @property
    def program(self) -> str:
        """Name of the command without its folder."""
        return os.path.basename(self.argv[0])  # noqa: PTH119 - a path would drop a last slash

    @property
    def agent(self) -> str | None:
        """The adapter of the agent that it is; None if none knows it."""
        return PROGRAMS.get(self.program)


class MeteredStart(NamedTuple):
    """A command as it is to be started."""

    argv: Sequence[str]
    environment: Mapping[str, str]


@contextmanager
def metered_start(
    plan: MeteringPlan, environment: Mapping[str, str], secrets: Sequence[str]
) -> Generator[MeteredStart]:
    """Run a proxy for each endpoint; on leaving, calls in flight have the plan's grace time.

    Args:
        plan: What to meter.
        environment: What the command would have had.
        secrets: What it must not get, under whatever name.

    Raises:
        AdapterError: The command is an agent that can call none of the endpoints.
        BadConfig: An endpoint is not a URL, or a ledger cannot be written.
        ProxyRefused: The cell is sealed.
    """
    _keep_terminal_clean()
    addresses = dict[str, ApiAddress]()
    with ExitStack() as stack:
        for endpoint, ledger in zip(plan.endpoints, plan.ledgers, strict=True):
            try:
                proxy = stack.enter_context(_proxy(plan, endpoint, ledger, environment))
            except BadConfig as error:
                reason = without_origin(error)
                of = f"the key of {endpoint.upstream}: " if reason.startswith("key ") else ""
                raise BadConfig(f"{of}{reason}") from error
            opened = _opened(proxy, plan.cell_id)
            key = None if endpoint.clients_keep_keys else opened
            addresses |= {api.name: ApiAddress(proxy.url, key) for api in endpoint.apis}
        child = child_environment(plan, addresses, environment, secrets)
        folder = Path(stack.enter_context(temporary_folder()))
        yield _wired(plan, UserStart(addresses, plan.argv[1:], child, folder))


def temporary_folder() -> TemporaryDirectory[str]:
    """Return a folder that nobody else may read, and that is removed on leaving."""
    return TemporaryDirectory(prefix="cab-meter-", ignore_cleanup_errors=True)


def without_origin(error: Exception) -> str:
    """Return an error of `start_proxy` for people who have called a command and not this function."""
    return str(error).removeprefix("start_proxy: ")


def _proxy(
    plan: MeteringPlan, endpoint: MeteredEndpoint, ledger: Path, environment: Mapping[str, str]
) -> AbstractContextManager[BlockingProxy]:
    # Without a key nothing is at stake, and clients that keep theirs cannot send another one.
    auth = {"auth": "keys"} if endpoint.key is not None else {"cell": plan.cell_id}
    settings = {**plan.settings, **endpoint.settings(environment), **auth}
    return start_proxy(key=endpoint.key, ledger=ledger, grace_s=plan.grace_s, **settings)


def _opened(proxy: BlockingProxy, cell_id: str) -> str:
    """Return a key of a cell, which may have calls of earlier commands."""
    try:
        return proxy.open_cell(cell_id, _KEY_TTL_S).key
    except ProxyRefused as error:
        if error.code != USED:
            raise
        return proxy.mint_key(cell_id, _KEY_TTL_S)


def child_environment(
    plan: MeteringPlan,
    addresses: Mapping[str, ApiAddress],
    environment: Mapping[str, str],
    secrets: Sequence[str],
) -> dict[str, str]:
    """Return the environment of a command: as it would have been, but for addresses and keys.

    Args:
        plan: How it is metered.
        addresses: What it may call, by API.
        environment: What it would have had.
        secrets: What it must not get.
    """
    # A short key, as that of a local endpoint may be, is no secret: other variables may have that value.
    long = [secret for secret in secrets if len(secret) >= _SECRET_CHARS]
    child = {
        name: value
        for name, value in environment.items()
        if name not in _OURS and not shows(value, long)
    }
    named_one = len(plan.endpoints) == 1 and len(plan.endpoints[0].apis) > 1
    child[PROVIDERS] = providers_inside(plan.endpoints, for_all=named_one)
    child |= unproxied(environment)
    for endpoint in plan.endpoints:
        for api in endpoint.apis:
            child |= client_variables(api, *addresses[api.name], environment)
    if named_one:  # whatever else of CAB it runs is metered too
        url, key = addresses["openai"]
        child["CAB_ENDPOINT"] = f"{url}/v1"
        child |= {} if key is None else {"CAB_KEY": key}
    return child


def _wired(plan: MeteringPlan, start: UserStart) -> MeteredStart:
    """Return the command with what its agent's adapter adds."""
    if plan.agent in OWN_SETTINGS_ONLY:
        raise AdapterError(
            f"{plan.agent} takes its endpoint from its settings alone, which cab meter leaves as they are; "
            f"cab run-cell --tui {plan.agent} runs it in a HOME of its own"
        )
    adapter = None if plan.agent is None else load_adapter(plan.agent)
    wiring: Wiring | None = adapter.wire(start) if isinstance(adapter, Wired) else Wiring()
    if wiring is None:
        raise AdapterError(
            f"{plan.agent} cannot call {' or '.join(start.apis)}, for which alone there is a key; "
            "set the key of its own provider, or CAB_ENDPOINT and CAB_KEY"
        )
    for name, text in wiring.files.items():
        (start.folder / name).write_text(text, encoding="utf-8")
    child = {**start.environment, **wiring.env}
    environment = {name: value for name, value in child.items() if value is not None}
    return MeteredStart([plan.argv[0], *wiring.arguments, *start.arguments], environment)


def _keep_terminal_clean() -> None:
    """Have the proxies log nothing: the terminal is the command's. The records say what happened."""
    logger = logging.getLogger("cab")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
