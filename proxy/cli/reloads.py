"""SIGHUP: settings and keys are read once more, and the running proxy takes over what it can."""

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cab.proxy.accounting.prices import priced_by
from cab.proxy.app import ProxySecrets, secrets_from
from cab.proxy.auth.held_secrets import read_key
from cab.proxy.cli.sources import ConfigFile, load_settings
from cab.proxy.config import ProxySettings
from cab.proxy.errors import CabProxyError
from cab.proxy.lifecycle.inherited_sockets import InheritedSockets, bound_settings
from cab.proxy.lifecycle.reload_rules import Reload
from cab.proxy.lifecycle.service_manager import ServiceManager
from cab.proxy.logs import RedactingLogger, set_log_level

log = RedactingLogger()


class Reloads(Protocol):
    """A running proxy that can take over other settings."""

    async def reload(self, wanted: ProxySettings, secrets: ProxySecrets) -> Reload:
        """Take over settings and keys.

        Raises:
            BadConfig: Something cannot be used; nothing has changed then.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the command has its settings and keys from, to read them once more."""

    config: Path | None
    flags: Mapping[str, Any]
    environment: Mapping[str, str] = field(repr=False)
    """As it was at the start: that of a running process does not change."""
    key_file: Path | None
    key: str | None = field(repr=False)
    """Of `--key-file` or `--key-fd`."""
    sockets: InheritedSockets
    config_file: ConfigFile = field(default_factory=ConfigFile)

    def read(self) -> tuple[ProxySettings, ProxySecrets]:
        """Return the settings and keys as they are now.

        Raises:
            BadConfig: A file cannot be read, or a setting is wrong.
        """
        read = load_settings(self.config, self.flags, self.environment, self.config_file)
        settings = bound_settings(read, self.sockets)
        return settings, secrets_from(self._with_key(settings), settings)

    def _with_key(self, settings: ProxySettings) -> Mapping[str, str]:
        key, file = self.key, self.key_file
        if file is not None and file.is_file():  # a pipe was read to its end
            key = read_key(file, None)
        return (
            self.environment
            if key is None
            else {**self.environment, settings.upstream_key_env: key}
        )


async def reload(proxy: Reloads, sources: Sources, manager: ServiceManager) -> None:
    """Read all once more, have a proxy take it over, and log what became of it."""
    manager.reloading()
    try:
        # In a thread: calls do not wait for a slow disk.
        wanted, secrets = await asyncio.to_thread(sources.read)
        done = await proxy.reload(wanted, secrets)
    except CabProxyError as error:
        log.error("reload_refused", reason=str(error), settings="as before")
        manager.ready(f"reload refused, settings as before: {error}")
        return
    except Exception:
        log.exception("reload_failed")
        manager.ready("a reload has failed; see the log")
        return
    set_log_level(done.settings.log_level)
    changed, restart = ", ".join(done.changed) or "none", ", ".join(done.needs_restart) or "none"
    prices = priced_by(done.settings)
    log.warning(
        "reloaded", changed=changed, needs_restart=restart, keys="read again", prices=prices
    )
    manager.ready("reloaded")


def on_hangup(reloads: asyncio.Event, stop: asyncio.Event) -> None:
    """Set an event with each SIGHUP on the running loop; the other one if it says that the terminal is gone."""
    terminals = [number for number in (0, 1, 2) if _is_terminal(number)]

    def handle() -> None:
        gone = bool(terminals) and not any(map(_is_terminal, terminals))
        (stop if gone else reloads).set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, handle)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
