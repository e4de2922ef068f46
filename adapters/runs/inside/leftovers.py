"""Empties the temporary folders that all users of a container share, of what one of them left there."""

import os
import sys
from pathlib import Path
from typing import Final

from cab.adapters.runs.inside import emptying
from cab.adapters.runs.inside.session import RoleStart, Supervision

SHARED_FOLDERS: Final = ("/tmp", "/var/tmp", "/dev/shm")

_LIMIT_S = 60.0


async def remove_leftovers(session: Supervision, role: str) -> None:
    """Remove what a role left in the shared temporary folders; what follows must not find it.

    That role removes it and not container root: what it may not remove is not its own.

    Raises:
        RunFailed: Its processes cannot be ended.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        process = await session.start(
            RoleStart(
                role=role,
                argv=(sys.executable, "-P", "-m", emptying.__name__, *SHARED_FOLDERS),
                cwd=Path("/"),
                env={},
                streams=(nowhere, nowhere, nowhere),
                limits={},
                grace_s=0.0,
            )
        )
        await process.wait(_LIMIT_S)
        await process.end()
    finally:
        os.close(nowhere)
