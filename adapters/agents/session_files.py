"""Reads files that an agent left below its home: it may have put anything in their place."""

import os
import stat
from pathlib import Path
from typing import Final

from cab.adapters.errors import BadSelfReport

LARGEST_BYTES: Final = 256 << 20
"""As large as a file of a session may be."""

_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK


def read_kept(path: Path, agent: str, largest_bytes: int = LARGEST_BYTES) -> bytes:
    """Return what a regular file holds; nothing else is waited for, or read without end.

    Args:
        path: The file.
        agent: The agent's name, for the error.
        largest_bytes: As large as it may be.

    Raises:
        BadSelfReport: It cannot be read, is a link or no regular file, or is too large.
    """
    try:
        data = _read(path, largest_bytes + 1)  # it may grow, so its size says little
    except (OSError, MemoryError) as error:
        raise BadSelfReport(f"{agent}'s {path.name} cannot be read: {error}") from error
    if len(data) > largest_bytes:
        raise BadSelfReport(
            f"{agent}'s {path.name} cannot be read: it has over {largest_bytes} bytes"
        )
    return data


def _read(path: Path, most_bytes: int) -> bytes:
    with open(path, "rb", opener=_opened) as handle:
        return handle.read(most_bytes)


def _opened(name: str, flags: int) -> int:
    file = os.open(name, flags | _FLAGS)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError("it is no regular file")
    return file
