"""`cab adapters list`: all agents, and those that are not supported."""

import argparse
from typing import Any

from cab.adapters.agents.base import Adapter
from cab.adapters.agents.registry import ADAPTERS, LEFT_OUT, load_adapter
from cab.adapters.install.install import find_installed
from cab.adapters.ui.cell_table import wide_console
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import JSON_LINES
from cab.adapters.ui.tables import text_table

DESCRIPTION = "List the agents, and those that are left out, with the reason."

OPTIONS = (JSON_LINES,)


def run(args: argparse.Namespace) -> int:
    """Print all agents; return the exit code."""
    rows = [adapter_row(load_adapter(name)) for name in sorted(ADAPTERS)]
    if args.json:
        print_json(*rows, *_left_out_rows())
        return 0
    console = wide_console()
    columns = ("name", "version", "dialects", "own token report", "state")
    console.print(text_table(columns, map(_texts, rows)))
    console.print(text_table(("left out", "because"), LEFT_OUT.items()))
    return 0


def adapter_row(adapter: Adapter) -> dict[str, Any]:
    """Return the entry of one agent."""
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
        "image": facts.image,
        "notes": list(facts.notes),
        "state": state if facts.install else "built in",
    }


def _left_out_rows() -> list[dict[str, Any]]:
    return [
        {"name": name, "state": "left out", "reason": reason} for name, reason in LEFT_OUT.items()
    ]


def _texts(row: dict[str, Any]) -> tuple[str, ...]:
    report = row["token_report"] or "none"
    return row["name"], row["version"], ", ".join(row["dialects"]), report, row["state"]
