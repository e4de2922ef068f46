"""Makes what was written to a file durable."""

import os
import sys


def sync_data(descriptor: int) -> None:
    """Return when the data of an open file is on the disk.

    Raises:
        OSError: The disk does not take it.
    """
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - only there

        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync leaves it in the disk's cache there
        except OSError:
            os.fsync(descriptor)  # a file system without it, such as one of the network
    else:
        os.fdatasync(descriptor)
