"""`cab adapters list`: all agents, and those that are not supported."""

import argparse
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from cab.adapters.agents.base import Adapter
from cab.adapters.agents.registry import ADAPTERS, LEFT_OUT, load_adapter
from cab.adapters.install.install import find_installed
from cab.adapters.ui.cell_table import wide_console
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import JSON_LINES

DESCRIPTION = "List the agents, and those that are left out, with the reason."

OPTIONS = (JSON_LINES,)


def run(args: argparse.Namespace) -> int:
    """Print all agents; return the exit code."""
    rows = [adapter_row(load_adapter(name)) for name in sorted(ADAPTERS)]
    if args.json:
        print_json(*rows, *_left_out_rows())
        return 0
    console = wide_console()
    console.print(_table(rows))
    left_out = Table(box=box.SIMPLE_HEAD)
    left_out.add_column("left out")
    left_out.add_column("because", overflow="fold")
    for name, reason in LEFT_OUT.items():
        left_out.add_row(name, reason)
    console.print(left_out)
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


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("name", "version", "dialects", "own token report", "state"):
        table.add_column(column)
    for row in rows:
        report = row["token_report"] or "none"
        cells = (row["name"], row["version"], ", ".join(row["dialects"]), report, row["state"])
        table.add_row(*map(Text, cells))
    return table
