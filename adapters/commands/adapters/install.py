"""`cab adapters install`: puts agents onto this machine."""

import argparse
import sys

from cab.adapters.agents.base import AgentFacts
from cab.adapters.agents.registry import ADAPTERS, load_adapter
from cab.adapters.errors import AdapterError, InstallFailed
from cab.adapters.install.install import find_installed, install
from cab.adapters.ui.progress import progress


def run_install(args: argparse.Namespace) -> int:
    """Install the named agents, or all; return the exit code.

    One that fails does not keep the others from being installed.

    Raises:
        AdapterError: There is no such agent, or none is named.
    """
    if bool(args.names) == args.all:
        raise AdapterError("name the agents to install, or give --all; cab adapters list has them")
    # All names first: a typing error in the last one should not come after minutes.
    every = [load_adapter(name).facts for name in (sorted(ADAPTERS) if args.all else args.names)]
    states = [_install(facts) for facts in every]
    return 0 if all(states) else 2


def _install(facts: AgentFacts) -> bool:
    """Install one agent; tell whether it is there."""
    if facts.install is None:
        print(f"{facts.name} {facts.version} comes with this package")
        return True
    there = find_installed(facts) is not None
    try:
        with progress(f"installing {facts.install.package} {facts.version}", sys.stderr):
            installed = install(facts)
    except InstallFailed as error:
        print(f"cab: {' '.join(str(error).split())}", file=sys.stderr)
        return False
    state = "is installed already" if there else "installed"
    print(f"{facts.name} {installed.version} {state}: {installed.executable}")
    return True
