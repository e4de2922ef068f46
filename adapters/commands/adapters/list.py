"""`cab adapters list`: all agents, and those that are not supported."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from cab.adapters.agents.base import Adapter
from cab.adapters.agents.registry import ADAPTERS, LEFT_OUT, found_adapters, load_adapter
from cab.adapters.entry_points import UnusableExtension
from cab.adapters.errors import UnknownAdapter
from cab.adapters.install.install import find_installed
from cab.adapters.ui.cell_table import print_sentence
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.layout import Column
from cab.adapters.ui.options import JSON_LINES
from cab.adapters.ui.tables import print_rows
from cab.scoring.printable import printable

DESCRIPTION = "List the agents, and those that are left out, with the reason."

OPTIONS = (JSON_LINES,)


BUILT_IN = "cab"
"""Origin of the adapters of this package."""

_COLUMNS = (
    Column("name", "name"),
    Column("version", "name", rank=1),
    Column("state", "name"),
    Column("dialects", "text", rank=3),
    Column("own token report", "text", rank=2),
    Column("from", "text", rank=1),
)


def run(args: argparse.Namespace) -> int:
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
        print_json(*rows, *(_broken_row(each) for each in broken), *_left_out_rows())
        return 0
    print_rows(*_texts(rows))
    print("\nLeft out:")
    for name, why in LEFT_OUT.items():
        print_sentence(f"- {name}: {why}")
    for name, origin, reason in broken:
        line = printable(" ".join(f"{name} of {origin} cannot be used: {reason}".split()))
        print(f"cab: {line}", file=sys.stderr)
    return 0


def _row(name: str, origin: str) -> dict[str, Any]:
    return {**adapter_row(load_adapter(name)), "origin": origin}


def _broken_row(broken: UnusableExtension) -> dict[str, Any]:
    return {**broken._asdict(), "state": "broken"}


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


def _texts(rows: Sequence[dict[str, Any]]) -> tuple[Sequence[Column], list[list[str]]]:
    """Return columns and rows of the table; where an adapter is from only if one is from elsewhere."""
    shown = [
        [
            *(row["name"], row["version"], row["state"], ", ".join(row["dialects"])),
            row["token_report"] or "none",
            "" if row["origin"] == BUILT_IN else row["origin"],
        ]
        for row in rows
    ]
    width = len(_COLUMNS) if any(row[-1] for row in shown) else len(_COLUMNS) - 1
    return _COLUMNS[:width], [row[:width] for row in shown]
