"""`cab adapters`: which agents there are, how to get one, how to wire one up by hand."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from cab.adapters.base import Adapter, AgentFacts, Launch, Run
from cab.adapters.install import agents_folder, find_installed, install
from cab.adapters.progress import progress
from cab.adapters.registry import ADAPTERS, load_adapter

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns
    from argparse import _SubParsersAction  # pyright: ignore[reportPrivateUsage]

_KEY_VARIABLE = "CAB_KEY"
_HOME_VARIABLE = "HOME"


def add(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `cab`."""
    parser = subparsers.add_parser(
        "adapters",
        help="list, install and show agents",
        description="The agent CLIs that cells can be run with. Each is installed into an "
        f"environment of its own below {agents_folder()}.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="all agents: version, dialect, state")
    listing.add_argument("--json", action="store_true", help="print one JSON object per agent")
    listing.set_defaults(run=run_list)
    installing = actions.add_parser("install", help="install agents; those that are there stay")
    installing.add_argument("names", nargs="+", metavar="NAME", help="see cab adapters list")
    installing.set_defaults(run=run_install)
    showing = actions.add_parser("show", help="what an adapter does, as a command line to paste")
    showing.add_argument("name", metavar="NAME", help="see cab adapters list")
    showing.add_argument("--endpoint", default="$YOUR_ENDPOINT", metavar="URL")
    showing.add_argument("--model", default="$YOUR_MODEL", metavar="NAME")
    showing.add_argument("--json", action="store_true", help="print one JSON object")
    showing.set_defaults(run=run_show)


def run_list(args: argparse.Namespace) -> int:
    """Print all agents; return the exit code."""
    rows = [_row(load_adapter(name)) for name in sorted(ADAPTERS)]
    if args.json:
        _print_json(rows)
        return 0
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("name", "version", "dialects", "own token report", "state"):
        table.add_column(column)
    for row in rows:
        report = row["token_report"] or "none"
        table.add_row(row["name"], row["version"], ", ".join(row["dialects"]), report, row["state"])
    Console().print(table)
    return 0


def run_install(args: argparse.Namespace) -> int:
    """Install the named agents; return the exit code."""
    # All names first: a typing error in the last one should not come after minutes.
    for facts in [load_adapter(name).facts for name in args.names]:
        if facts.install is None:
            print(f"{facts.name} {facts.version} comes with this package")
            continue
        there = find_installed(facts) is not None
        with progress(f"installing {facts.install.package} {facts.version}", sys.stderr):
            installed = install(facts)
        state = "is installed already" if there else "installed"
        print(f"{facts.name} {installed.version} {state}: {installed.executable}")
    return 0


def run_show(args: argparse.Namespace) -> int:
    """Print one agent and how to wire it up by hand; return the exit code."""
    adapter = load_adapter(args.name)
    launch = adapter.launch(_run_to_show(adapter.facts, args.endpoint, args.model))
    if args.json:
        wiring = {"argv": launch.argv, "env": dict(launch.env), "files": dict(launch.files)}
        _print_json([{**_row(adapter), "wiring": wiring}])
        return 0
    print(f"{adapter.facts.name} {adapter.facts.version}: {_row(adapter)['state']}")
    print(f"leaves in the workspace: {', '.join(adapter.facts.scratch) or 'nothing'}")
    print("\n".join(["", *_wiring(launch)]))
    return 0


def _row(adapter: Adapter) -> dict[str, Any]:
    facts = adapter.facts
    installed = find_installed(facts)
    state = "installed" if installed else "not installed"
    return {
        "name": facts.name,
        "version": facts.version,
        "installed": installed.version if installed else None,
        "dialects": list(facts.dialects),
        "token_report": facts.token_report,
        "scratch": list(facts.scratch),
        "state": state if facts.install else "built in",
    }


def _run_to_show(facts: AgentFacts, endpoint: str, model: str) -> Run:
    executable = facts.install.executable if facts.install else sys.executable
    return Run(
        base_url=endpoint.rstrip("/").removesuffix("/v1"),
        key=f"${_KEY_VARIABLE}",
        model=model,
        prompt="<prompt>",
        home=Path(f"${_HOME_VARIABLE}"),
        executable=Path(executable),
    )


def _wiring(launch: Launch) -> list[str]:
    """Return the lines that start the agent by hand; the key stays a variable."""
    files = [f"# in HOME: {name}: {content.strip()}" for name, content in launch.files.items()]
    exports = [f"export {name}={_shell_word(value)}" for name, value in launch.env.items()]
    return [*files, *exports, _shell_line(launch.argv)]


def _shell_line(argv: Sequence[str]) -> str:
    return " ".join(_shell_word(word) for word in argv)


def _shell_word(word: str) -> str:
    # A variable must be left for the shell to fill in; nothing else of the word is the shell's.
    return f'"{word}"' if "$" in word and '"' not in word else shlex.quote(word)


def _print_json(rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        sys.stdout.buffer.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
