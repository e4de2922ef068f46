"""Finds a Node that an agent runs on: agents are often ahead of the one that is here."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import NamedTuple

# The program behind a version manager's stand-in, which would choose by the folder it is called in.
_PROBE = "console.log(process.version, process.execPath)"
_ANSWER = re.compile(r"v(\d+)\.(\d+)\.(\d+)\S* (/.+)\n")
_PROBE_LIMIT_S = 10.0


class Node(NamedTuple):
    """A Node on this machine."""

    path: Path
    version: tuple[int, int, int]


def find_node(node_min: tuple[int, ...]) -> Node | None:
    """Return the newest Node on the PATH that is not older than `node_min`; None if there is none."""
    found = filter(None, map(_probe, _candidates()))
    fitting = [each for each in found if each.version[: len(node_min)] >= node_min]
    return max(fitting, key=lambda each: each.version, default=None)


def node_text(node_min: tuple[int, ...]) -> str:
    """Return the supported versions for a person.

    >>> node_text((22, 12))
    'Node.js 22.12 or newer'
    """
    return f"Node.js {'.'.join(map(str, node_min))} or newer"


def _candidates() -> Iterator[Path]:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = which("node", path=folder) if folder else None
        if path is not None:
            yield Path(path)


def _probe(path: Path) -> Node | None:
    """Return a Node with its version; a wrapper that leads nowhere is none."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("NODE_")}
    try:
        done = subprocess.run(
            [path, "-e", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_LIMIT_S,
            check=True,
            env=env,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    answer = _ANSWER.fullmatch(done.stdout)
    if answer is None:
        return None
    return Node(Path(answer[4]), (int(answer[1]), int(answer[2]), int(answer[3])))
