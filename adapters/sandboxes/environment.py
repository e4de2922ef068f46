"""The environment of an agent, built from nothing: no variable of the parent is inherited.

Every agent gets the same few variables; the adapter's launch adds its own. The keys of the endpoint
and of the signer, and everything else in the operator's shell, stay outside.
"""

import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

from cab.adapters.processes.search_path import DEFAULT_PATH, absolute_parts

_GIT_IDENTITY = """\
[user]
	name = cab
	email = cab@localhost
[init]
	defaultBranch = main
[safe]
	directory = *
[commit]
	gpgSign = false
"""

_PIPES = {"TERM": "dumb", "NO_COLOR": "1"}
_TERMINAL = {"TERM": "xterm-256color"}


class Places(NamedTuple):
    """The folders of one run."""

    workdir: Path
    """The workspace: where the agent works."""
    home: Path
    temporary: Path
    output: Path
    """Where the agent's output is stored, without secrets, until it is in the bundle."""


def agent_environment(
    places: Places,
    tools: Mapping[str, str],
    declared: Mapping[str, str],
    *,
    terminal: bool = False,
) -> dict[str, str]:
    """Return the whole environment of an agent on this machine.

    Args:
        places: The run's folders.
        tools: Where the task's compilers are found once HOME is another.
        declared: What the adapter's launch adds; it may replace what all agents get.
        terminal: Whether the agent writes to terminals.
    """
    return {
        "PATH": absolute_parts(os.environ.get("PATH", DEFAULT_PATH)),
        **_common(places.home, places.workdir, places.temporary),
        **(_TERMINAL if terminal else _PIPES),
        **tools,
        **declared,
    }


def container_environment(home: PurePath, workdir: PurePath, temporary: PurePath) -> dict[str, str]:
    """Return what every agent gets in a container, beside what its image sets, such as PATH.

    Args:
        home: HOME inside.
        workdir: The workspace inside.
        temporary: TMPDIR inside.
    """
    return {**_common(home, workdir, temporary), **_PIPES}


def _common(home: PurePath, workdir: PurePath, temporary: PurePath) -> dict[str, str]:
    return {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        # Some tmux-based agents would join another run's server.
        "TMUX_TMPDIR": str(temporary),
        "XDG_CONFIG_HOME": f"{home}/.config",
        "XDG_CACHE_HOME": f"{home}/.cache",
        "XDG_DATA_HOME": f"{home}/.local/share",
        "XDG_STATE_HOME": f"{home}/.local/state",
        "LANG": "C.UTF-8",
        # Whatever would wait for a person returns at once.
        "BROWSER": "true",
        "EDITOR": "true",
        "PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        # The operator's settings and repositories are none of the agent's.
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(workdir.parent),
    }


def write_home(home: Path, files: Mapping[str, str]) -> None:
    """Write a run's HOME: a git identity, and the files that the launch asks for.

    Args:
        home: The folder, empty.
        files: Path below it, and content.
    """
    for name, content in {".gitconfig": _GIT_IDENTITY, **files}.items():
        target = home / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
