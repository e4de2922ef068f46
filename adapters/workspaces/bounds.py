"""How much of a workspace is looked at, and the words for what is not."""

from dataclasses import dataclass
from typing import Final

PIPE: Final = "pipe"
SOCKET: Final = "socket"
DEVICE: Final = "device"
UNREADABLE: Final = "unreadable"
CHANGED: Final = "changed"
FILE_SIZE: Final = "file-size"
TOTAL_SIZE: Final = "total-size"
DEPTH: Final = "depth"
OTHER_DISK: Final = "other-disk"
SAME_NAME: Final = "same-name"
ENTRIES: Final = "entries"
LISTING: Final = "listing"
TIME: Final = "time"
REPLACED: Final = "replaced"

CUT_SHORT: Final = (ENTRIES, LISTING, TIME, REPLACED, UNREADABLE)
"""Words that end a pass early: what comes after was not looked at."""

SENTENCES: Final = {
    ENTRIES: "it has more files and folders than are looked at",
    LISTING: "the names in it are longer than are listed",
    TIME: "looking at it took too long",
    REPLACED: "the folder is not the one that the agent was given",
    UNREADABLE: "the folder cannot be read",
}
"""Why a pass ended early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceBounds:
    """Limits of one pass over a workspace."""

    entries: int = 100_000
    """Files, links and folders."""
    listing_bytes: int = 32 << 20
    """Names and link targets as a manifest writes them: readers take files of 256 MiB at most."""
    path_bytes: int = 4096
    """A longer path cannot be opened by its name."""
    depth: int = 2000
    """Folders in folders."""
    file_bytes: int = 1 << 30
    """Size of a file that is read."""
    total_bytes: int = 4 << 30
    """Sum of all that is read."""
    time_s: float = 120.0


BOUNDS: Final = WorkspaceBounds()
"""What holds for every run."""
