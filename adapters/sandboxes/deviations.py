"""How a run was less confined than it could be: a stable word each, and a sentence."""

from collections.abc import Iterable
from typing import Final

from cab.adapters.errors import AdapterError, nearest
from cab.scoring.cells.cell import Deviation

NO_BOUNDARY: Final = "no-boundary"
ROOT: Final = "root"
SOCKET: Final = "docker-socket"
WRITABLE: Final = "writable-root"
NETWORK: Final = "open-network"
NO_LIMITS: Final = "no-limits"
HOST_CHECKS: Final = "host-checks"
PLACED: Final = "given-network"
SHARED_UID: Final = "shared-uid"
CONTAINER_CHECKS: Final = "same-container-checks"
KEY_READABLE: Final = "key-readable"
KEY_IN_PARENT: Final = "key-in-parent"
KEY_IN_FILE: Final = "key-in-file"

SENTENCES: Final = {
    NO_BOUNDARY: "the agent was a process of this machine, and could do what its user may",
    ROOT: "the agent ran as root",
    SOCKET: "the agent could command the container engine, which is as good as root here",
    WRITABLE: "the agent could write to the container's file system outside the workspace",
    NETWORK: "the agent could reach other hosts than the proxy",
    NO_LIMITS: "no resource limit held the agent",
    HOST_CHECKS: "the hidden checks ran what the agent wrote outside the container",
    PLACED: "the agent shared its network with whatever else was on it",
    SHARED_UID: "the agent ran as the user of cab and of the hidden checks, and could change what was measured",
    CONTAINER_CHECKS: "the hidden checks ran what the agent wrote in the container that the agent ran in",
    KEY_READABLE: "cab ran as root, from which nothing keeps the endpoint's key in its memory",
    KEY_IN_PARENT: "a process that cab was started from showed the endpoint's key",
    KEY_IN_FILE: "the endpoint's key was in a file that the user of cab can read",
}
"""Word -> what it means."""

ALLOWED: Final = (ROOT, SOCKET, WRITABLE, HOST_CHECKS)
"""Those that may be allowed for a container, for images that do not run without, or tasks whose checks do not."""


def named(words: Iterable[str]) -> list[Deviation]:
    """Return deviations by their words, in the order of `SENTENCES`."""
    known = frozenset(words)
    return [Deviation(name=word, what=what) for word, what in SENTENCES.items() if word in known]


def require_allowed(words: Iterable[str]) -> frozenset[str]:
    """Return the words as a set.

    Raises:
        AdapterError: One of them cannot be allowed.
    """
    found = frozenset(words)
    for word in sorted(found - set(ALLOWED)):
        near = nearest(word, ALLOWED)
        hint = f"did you mean {near!r}? " if near else ""
        raise AdapterError(f"no deviation {word!r}; {hint}known: {', '.join(ALLOWED)}")
    return found
