"""Finds a Node that is new enough for an agent: agents often need a newer one than the system's."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import NamedTuple

from cab.adapters.install.build_steps import program_output

# The real program behind a version manager's wrapper, which would choose by the current folder.
_PROBE = "console.log(process.version, process.execPath)"
_ANSWER = re.compile(r"v(\d+)\.(\d+)\.(\d+)\S* (/.+)\n")


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
    answer = _ANSWER.fullmatch(program_output([path, "-e", _PROBE], "NODE_") or "")
    if answer is None:
        return None
    return Node(Path(answer[4]), (int(answer[1]), int(answer[2]), int(answer[3])))
