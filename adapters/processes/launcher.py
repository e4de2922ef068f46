"""Becomes a program under resource limits: run as a script, by file name.

    python -I -S launcher.py STATUS-FD LIMITS-AS-JSON PROGRAM ARGUMENT...

Setting limits between fork and exec would run Python in a process that threads were copied into.
Only the standard library is imported: this runs before every agent.
"""

import json
import os
import resource
import sys
from collections.abc import Mapping


def main(argv: list[str]) -> None:
    """Become the program; if that fails, write the reason to the status pipe."""
    status = int(argv[1])
    os.set_inheritable(status, False)
    try:
        set_limits(json.loads(argv[2]))
        os.execvp(argv[3], argv[3:])
    except (OSError, ValueError, OverflowError) as error:
        os.write(status, (getattr(error, "strerror", None) or str(error)).encode())
    sys.exit(127)


def set_limits(limits: Mapping[str, int]) -> None:
    """Set limits of this process, none above its hard limits."""
    for name, value in limits.items():
        which = getattr(resource, name)
        _, hard = resource.getrlimit(which)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (allowed, allowed))


if __name__ == "__main__":
    main(sys.argv)
