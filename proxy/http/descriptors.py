"""How many connections of clients the descriptors of this process allow."""

import resource
from pathlib import Path
from typing import NamedTuple

from cab.proxy.errors import BadConfig

_RESERVED = 64
"""For the files of the ledger, the control API's own address, and the watch for clients that hang up."""
_MOST_CONNECTIONS = 16_384
"""The default where descriptors are no limit."""
_LARGEST_BACKLOG = 128
_SMALLEST_BACKLOG = 8


class ConnectionRoom(NamedTuple):
    """What a listener may take."""

    connections: int
    """How many connections may be open at a time."""
    backlog: int
    """How many may be accepted in one go, before any of them is counted."""


def connection_room(wanted: int | None, per_connection: int) -> ConnectionRoom:
    """Return how many connections there may be, with a reserve for the ledger.

    Args:
        wanted: What the settings say; None takes as many as there can be.
        per_connection: Descriptors that a connection may need: its own, and one to the endpoint.

    Raises:
        BadConfig: The process may not open as many files; says how many it may.
    """
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return ConnectionRoom(wanted or _MOST_CONNECTIONS, _LARGEST_BACKLOG)
    backlog = max(_SMALLEST_BACKLOG, min(_LARGEST_BACKLOG, allowed // 8))
    in_use = len(list(Path("/dev/fd").iterdir()))
    most = max(1, (allowed - in_use - _RESERVED - backlog) // per_connection)
    if wanted is not None and wanted > most:
        raise BadConfig(
            f"max_connections is {wanted}, and the limit of open files, {allowed}, allows {most}; "
            "lower it, or raise that limit (ulimit -n)"
        )
    return ConnectionRoom(wanted or min(most, _MOST_CONNECTIONS), backlog)
