"""The exclusive lock of a file, held by a process until it closes the file."""

import fcntl
from typing import IO, Any


def lock_file(file: int | IO[Any], *, blocking: bool = False) -> bool:
    """Take the lock of an open file; return whether it was taken.

    Args:
        file: The file, or its descriptor. Closing it, or the end of the process, gives the lock back.
        blocking: Wait while another process has the lock; then it is always taken.

    Raises:
        OSError: The file cannot be locked at all.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if blocking else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
