"""Namespaces for one agent: network, processes, mounts. What happens there ends with them.

The examining process is started inside, so that proxy, fake endpoint and agent share a loopback without
other networks, and is the first process there: when it ends, the kernel ends all the others.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

INSIDE = "CAB_DOCTOR_INSIDE"
"""Set in the process that runs inside."""

_RESOLVER = "/etc/resolv.conf"
_TRY_LIMIT_S = 60.0
_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def isolated_command(command: Sequence[str], resolver: Path) -> list[str]:
    """Return the command that runs another one in namespaces of its own.

    Args:
        command: Program and arguments.
        resolver: File to mount over the system's list of name servers.
    """
    # The shell only mounts and executes the command; no names from outside are evaluated by it.
    script = f'mount --bind "$1" {_RESOLVER} && shift && exec "$@"'
    spaces = ("--user", "--map-root-user", "--net", "--mount", "--pid", "--mount-proc")
    return [
        "unshare",
        *spaces,
        "--fork",
        "--kill-child",
        "--",
        "sh",
        "-c",
        script,
        "sh",
        str(resolver),
        *command,
    ]


def why_not_isolated() -> str | None:
    """Return why an agent cannot have namespaces of its own here; None if it can."""
    if sys.platform != "linux":
        return "namespaces need Linux"
    if shutil.which("unshare") is None:
        return "unshare is missing (Debian: util-linux)"
    # Without an agent, the examining process sets up its namespaces and does no more.
    command = [sys.executable, "-P", "-m", "cab.adapters.doctor"]
    probe = isolated_command(command, Path(os.devnull))
    try:
        done = subprocess.run(
            probe,
            env={**os.environ, INSIDE: "1"},
            capture_output=True,
            text=True,
            timeout=_TRY_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return lines[-1] if done.returncode else None


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, so that no daemon is missed; no effect but on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)


def write_resolver(path: Path) -> None:
    """Write the list of name servers for the inside: ours, with a short timeout and no retries."""
    path.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
