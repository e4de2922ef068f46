"""`cab adapters show`: one agent, and how to point it at an endpoint by hand."""

import argparse
import sys
from pathlib import Path

from cab.adapters.agents.base import AgentFacts, Launch
from cab.adapters.agents.registry import load_adapter
from cab.adapters.agents.shell_snippet import placeholder_run, shell_snippet, with_variables
from cab.adapters.commands.adapters.list import adapter_row, print_json
from cab.adapters.install.install import find_installed

PROMPT = "Say hello."
"""What the agent is asked where nothing else is said."""


def run_show(args: argparse.Namespace) -> int:
    """Print one agent and how to wire it up by hand; return the exit code."""
    adapter = load_adapter(args.name)
    facts = adapter.facts
    run = placeholder_run(_executable(facts), args.endpoint, args.model, args.prompt)
    launch = adapter.launch(run)
    if args.json:
        print_json([{**adapter_row(adapter), "wiring": _as_object(launch)}])
        return 0
    if not args.paste:
        print("\n".join([*_about(facts, adapter_row(adapter)["state"]), ""]))
    print(shell_snippet(launch))
    return 0


def _executable(facts: AgentFacts) -> Path:
    """Return what starts the agent: ours if it is installed, else whatever the PATH has."""
    installed = find_installed(facts)
    if installed is not None:
        return installed.executable
    return Path(facts.install.executable if facts.install else sys.executable)


def _about(facts: AgentFacts, state: str) -> list[str]:
    """Return lines for people; as comments, so that they may be pasted along."""
    lines = [
        f"{facts.name} {facts.version}: {state}",
        f"calls {', '.join(facts.dialects)}",
        f"leaves in the workspace: {', '.join(facts.scratch) or 'nothing'}",
        f"own token report: {facts.token_report or 'none'}",
        *([f"published image: {facts.image}"] if facts.image else []),
        *facts.notes,
    ]
    return [f"# {line}" for line in lines]


def _as_object(launch: Launch) -> dict[str, object]:
    return {
        "argv": [with_variables(word) for word in launch.argv],
        "env": {name: with_variables(value) for name, value in launch.env.items()},
        "files": {
            with_variables(name): with_variables(text) for name, text in launch.files.items()
        },
    }
