"""Listening sockets that a service manager hands over (sd_listen_fds(3)): it holds the port while no proxy runs."""

import contextlib
import os
import socket
from collections.abc import MutableMapping
from typing import Any, NamedTuple

from cab.proxy.config import ProxySettings, parse_settings
from cab.proxy.errors import BadConfig

CONTROL = "control"
"""Name of the socket (`FileDescriptorName=`) that is for the control API; any other is for agents."""
_FIRST = 3


class InheritedSockets(NamedTuple):
    """Sockets that listen already."""

    agents: socket.socket | None = None
    """In place of `host` and `port`."""
    control: socket.socket | None = None
    """In place of `control_host` and `control_port`."""


NO_SOCKETS = InheritedSockets()


def inherited_sockets(
    environment: MutableMapping[str, str], first: int = _FIRST
) -> InheritedSockets:
    """Return the sockets that an environment names, and take its variables out of it.

    Args:
        environment: Variables; `LISTEN_PID` must name this process.
        first: Number of the first descriptor.

    Raises:
        BadConfig: There are too many of them, or one is not a TCP socket that listens.
    """
    pid, count = environment.pop("LISTEN_PID", ""), environment.pop("LISTEN_FDS", "")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return InheritedSockets()
    found: dict[str, socket.socket] = {}
    for number in range(int(count)):
        name = CONTROL if number < len(names) and names[number] == CONTROL else "agents"
        if name in found:
            raise BadConfig(
                f"the service manager hands over two sockets for {name}; give one for the agents, and one "
                f"with FileDescriptorName={CONTROL} for the control API"
            )
        found[name] = listening_socket(first + number)
    return InheritedSockets(found.get("agents"), found.get(CONTROL))


def listening_socket(descriptor: int) -> socket.socket:
    """Return the socket of a descriptor, which child processes do not inherit.

    Raises:
        BadConfig: It is not a TCP socket that listens.
    """
    try:
        found = socket.socket(fileno=descriptor)
    except OSError as error:
        raise _unusable(descriptor, (error.strerror or "").lower()) from error
    listens = 0
    with contextlib.suppress(OSError):
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if found.family not in (socket.AF_INET, socket.AF_INET6) or not listens:
        found.detach()  # it is not ours to close
        raise _unusable(descriptor, "it is not a TCP socket that listens")
    found.setblocking(False)
    found.set_inheritable(False)
    return found


def _unusable(descriptor: int, why: str) -> BadConfig:
    return BadConfig(f"descriptor {descriptor} of the service manager cannot be used: {why}")


def bound_settings(settings: ProxySettings, sockets: InheritedSockets) -> ProxySettings:
    """Return settings that name the addresses of inherited sockets in place of their own.

    Raises:
        BadConfig: Other machines can reach a socket, and the settings do not allow that.
    """
    values: dict[str, Any] = {}
    if sockets.agents is not None:
        values["host"], values["port"] = sockets.agents.getsockname()[:2]
    if sockets.control is not None:
        values["control_host"], values["control_port"] = sockets.control.getsockname()[:2]
    if not values:
        return settings
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return parse_settings({**given, **values}, "socket of the service manager")
