"""The users inside an image, and its folders. Only the standard library: container root imports this."""

from pathlib import Path
from typing import Final, NamedTuple

AGENT: Final = "agent"
CHECKS: Final = "checks"
CAB: Final = "cab"

UIDS: Final = {AGENT: 902, CHECKS: 903}
"""Role -> user and group of what is measured; images have users of these names."""
CAB_UID: Final = 901
"""User and group of cab where the folder of runs belongs to root."""
SENDER_UID: Final = 900
"""Nobody's: container root has it as its real user while it sends a signal."""

PREFIX: Final = Path("/opt/cab")
"""Where cab is in an image."""
RUNS: Final = Path("/runs")
"""Where the bundles go: mounted from the host."""
SCRATCH: Final = Path("/cell")
"""HOME and temporary folder of cab; the workspaces are below it. Container root makes it."""

NAME: Final = "inside"
"""Of the sandbox, in a cell."""
IMAGE_VARIABLE: Final = "CAB_IMAGE"
"""Names the image: set by the image itself, or by who starts it, with its digest."""
DESCRIPTOR: Final = "CAB_INSIDE_FD"
"""Variable with which cab is given the number of its socket to container root; `shared`: there is no root."""
SHARED: Final = "shared"


class CabUser(NamedTuple):
    """Who cab runs as."""

    uid: int
    gid: int


def cab_user(owner: int, group: int) -> CabUser:
    """Return who cab runs as, by the owner of the folder of runs.

    The owner, so that each file of a bundle is theirs from its first byte, also after SIGKILL; but
    never root, and never who the agent or the checks are.
    """
    if owner in {0, SENDER_UID, *UIDS.values()}:
        return CabUser(CAB_UID, CAB_UID)
    return CabUser(owner, CAB_UID if group in {0, *UIDS.values()} else group)
