"""The search path that agents and checks get: only folders that do not depend on where they run."""

import os

DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
"""What they get where there is none."""


def absolute_parts(path: str) -> str:
    """Return a search path without its relative parts.

    A relative part would make a program of the workspace shadow one of the system.

    >>> absolute_parts("/usr/bin::bin:/bin")
    '/usr/bin:/bin'
    """
    parts = [part for part in path.split(os.pathsep) if part.startswith("/")]
    return os.pathsep.join(parts) or DEFAULT_PATH
