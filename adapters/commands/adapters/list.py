"""`cab adapters list`: all agents, and those that are left out."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import orjson
from rich import box
from rich.table import Table
from rich.text import Text

from cab.adapters.agents.base import Adapter
from cab.adapters.agents.registry import ADAPTERS, LEFT_OUT, found_adapters, load_adapter
from cab.adapters.entry_points import UnusableExtension
from cab.adapters.errors import UnknownAdapter
from cab.adapters.install.install import find_installed
from cab.adapters.ui.cell_table import printable, wide_console

BUILT_IN = "cab"
"""Origin of the adapters of this package."""


def run_list(args: argparse.Namespace) -> int:
    """Print all agents; return the exit code. An adapter that is broken is one line."""
    rows = [_row(name, BUILT_IN) for name in sorted(ADAPTERS)]
    found = found_adapters()
    broken = list(found.unusable)
    for name, path, origin in found.usable.values():
        try:
            rows.append(_row(name, origin))
        except UnknownAdapter as error:
            broken.append(UnusableExtension(name, origin, f"{path}: {error.reason}"))
        except Exception as error:  # noqa: BLE001 - somebody else's adapter may fail in any way
            broken.append(
                UnusableExtension(name, origin, f"{path}: {type(error).__name__}: {error}")
            )
    if args.json:
        print_json([*rows, *(_broken_row(each) for each in broken), *_left_out_rows()])
        return 0
    console = wide_console()
    console.print(_table(rows))
    left_out = Table(box=box.SIMPLE_HEAD)
    left_out.add_column("left out")
    left_out.add_column("because", overflow="fold")
    for name, reason in LEFT_OUT.items():
        left_out.add_row(name, reason)
    console.print(left_out)
    for name, origin, reason in broken:
        line = printable(" ".join(f"{name} of {origin} cannot be used: {reason}".split()))
        print(f"cab: {line}", file=sys.stderr)
    return 0


def _row(name: str, origin: str) -> dict[str, Any]:
    return {**adapter_row(load_adapter(name)), "origin": origin}


def adapter_row(adapter: Adapter) -> dict[str, Any]:
    """Return what the list says of one agent."""
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


def print_json(rows: Sequence[dict[str, Any]]) -> None:
    """Print one JSON object per line."""
    for row in rows:
        sys.stdout.buffer.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def _broken_row(broken: UnusableExtension) -> dict[str, Any]:
    return {**broken._asdict(), "state": "broken"}


def _left_out_rows() -> list[dict[str, Any]]:
    return [
        {"name": name, "state": "left out", "reason": reason} for name, reason in LEFT_OUT.items()
    ]


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    columns = ["name", "version", "dialects", "own token report", "state"]
    if any(row["origin"] != BUILT_IN for row in rows):
        columns.append("from")
    for column in columns:
        table.add_column(column)
    for row in rows:
        report = row["token_report"] or "none"
        cells = [row["name"], row["version"], ", ".join(row["dialects"]), report, row["state"]]
        cells.append("" if row["origin"] == BUILT_IN else row["origin"])
        table.add_row(*(Text(printable(str(cell))) for cell in cells[: len(columns)]))
    return table
