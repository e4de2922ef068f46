"""`cab adapters install`: installs agents on this machine."""

import argparse
import sys

from cab.adapters.agents.base import AgentFacts
from cab.adapters.agents.registry import ADAPTERS, load_adapter
from cab.adapters.errors import AdapterError, InstallFailed
from cab.adapters.install.install import find_installed, install
from cab.adapters.ui.command import Option
from cab.adapters.ui.options import AGENTS
from cab.adapters.ui.progress import progress
from cab.scoring.printable import printable

DESCRIPTION = "Install agents, each into a folder of its own."

EPILOG = """\
An agent from PyPI needs a Python version that it supports, or uv, which downloads one. An agent from
npm needs npm; if no Node.js on the PATH is new enough, one is installed from npm too. Everything of an
agent is in one folder: remove the folder, and the agent is gone.

exit codes: 0 all are installed, 2 one could not be installed, or an agent is unknown
"""

OPTIONS = (AGENTS, Option("--all", action="store_true", help="all agents of the list"))


def run(args: argparse.Namespace) -> int:
    """Install the named agents, or all; return the exit code.

    If one fails, the others are installed all the same.

    Raises:
        AdapterError: An agent is unknown, or none is named.
    """
    if bool(args.names) == args.all:
        raise AdapterError(
            "name the agents to install, or give --all; cab adapters list shows them"
        )
    # All names first: a misspelt last one should be reported at once, not after minutes.
    every = [load_adapter(name).facts for name in (sorted(ADAPTERS) if args.all else args.names)]
    states = [_install(facts) for facts in every]
    return 0 if all(states) else 2


def _install(facts: AgentFacts) -> bool:
    """Install one agent; return whether it is installed now."""
    if facts.install is None:
        print(f"{facts.name} {facts.version} comes with this package")
        return True
    there = find_installed(facts) is not None
    try:
        with progress(f"installing {facts.install.package} {facts.version}", sys.stderr):
            installed = install(facts)
    except InstallFailed as error:
        print(printable(f"cab: {' '.join(str(error).split())}"), file=sys.stderr)
        return False
    state = "is installed already" if there else "installed"
    print(printable(f"{facts.name} {installed.version} {state}: {installed.executable}"))
    return True
