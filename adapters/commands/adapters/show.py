"""`cab adapters show`: one agent, and how to connect it to an endpoint by hand."""

import argparse
import sys
from pathlib import Path

from cab.adapters.agents.base import AgentFacts, Launch
from cab.adapters.agents.registry import load_adapter
from cab.adapters.agents.shell_snippet import placeholder_run, shell_snippet, with_variables
from cab.adapters.commands.adapters.list import adapter_row
from cab.adapters.install.install import find_installed
from cab.adapters.ui.command import OneOf, Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import JSON, MODEL
from cab.proxy.config import parse_settings

DESCRIPTION = "Show how an agent is started, as bash commands to copy and paste."

EPILOG = """\
The commands run the agent in a HOME of its own: a new folder, or the one that
AGENT_HOME names. It works in the folder work below that, or in the one that
AGENT_WORKDIR names; nothing else is changed. The key stays the variable CAB_KEY.
With cab-proxy in between, give the proxy's URL and the key that it prints.

examples:
  cab adapters show codex --endpoint https://host/v1 --model gpt-5
  CAB_KEY=... bash -c "$(cab adapters show aider --endpoint https://host/v1 --model m --paste)"
"""

OPTIONS = (
    Option("name", metavar="NAME", help="the agent; cab adapters list shows all"),
    Option("--endpoint", metavar="URL", help="base URL; if unset, the variable CAB_ENDPOINT"),
    MODEL(help="model, as the endpoint names it; if unset, the variable CAB_MODEL"),
    Option("--prompt", default="Say hello.", metavar="TEXT", help="what the agent is asked to do"),
    OneOf(Option("--paste", action="store_true", help="print only the bash commands"), JSON),
)


def run(args: argparse.Namespace) -> int:
    """Print one agent and how to connect it by hand; return the exit code."""
    adapter = load_adapter(args.name)
    facts = adapter.facts
    if args.endpoint is not None:
        parse_settings({"upstream": args.endpoint}, "--endpoint")
    run = placeholder_run(_executable(facts), args.endpoint, args.model, args.prompt)
    launch = adapter.launch(run)
    if args.json:
        print_json({**adapter_row(adapter), "wiring": _as_object(launch)})
        return 0
    if not args.paste:
        print("\n".join([*_about(facts, adapter_row(adapter)["state"]), ""]))
    print(shell_snippet(launch, workdir=True))
    return 0


def _executable(facts: AgentFacts) -> Path:
    """Return what starts the agent: the installed one, or else its name, to be found on the PATH."""
    installed = find_installed(facts)
    if installed is not None:
        return installed.executable
    return Path(facts.install.executable if facts.install else sys.executable)


def _about(facts: AgentFacts, state: str) -> list[str]:
    """Return lines for people, as comments: they can be pasted together with the commands."""
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
