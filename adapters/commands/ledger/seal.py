"""`cab ledger seal`: closes a cell at the proxy that meters it."""

import argparse
import asyncio
import os
import sys
from typing import Any

import aiohttp

from cab.adapters.errors import AdapterError
from cab.adapters.runs.metering import Meter
from cab.adapters.ui.cell_table import printable
from cab.adapters.ui.command import Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import JSON
from cab.adapters.ui.progress import progress

DESCRIPTION = "Wait for the cell's calls in flight, close the cell, and print its seal."

EPILOG = """\
environment:
  CAB_CELL_KEY     the cell's own key
  CAB_ADMIN_TOKEN  the admin token of the proxy, used if CAB_CELL_KEY is unset
"""

OPTIONS = (
    Option("cell", metavar="CELL", help="the cell's id"),
    Option("--proxy", required=True, metavar="URL", help="the cab-proxy that meters the cell"),
    JSON,
)

_LIMIT_S = 60.0
"""A seal waits up to half of it for calls in flight."""


def run(args: argparse.Namespace) -> int:
    """Seal the cell that the arguments name, print the seal; return the exit code.

    Raises:
        AdapterError: There is neither key nor token, or the proxy does not seal the cell.
    """
    token = os.environ.get("CAB_CELL_KEY") or os.environ.get("CAB_ADMIN_TOKEN")
    if not token:
        raise AdapterError("set CAB_CELL_KEY to the cell's key, or CAB_ADMIN_TOKEN to the proxy's")
    base = args.proxy.rstrip("/").removesuffix("/v1")
    if not base.startswith(("http://", "https://")):
        raise AdapterError(f"--proxy {args.proxy!r} is not an http(s) URL")
    with progress(f"sealing {printable(args.cell)}", sys.stderr):
        seal = asyncio.run(_seal(base, args.cell, token))
    if args.json:
        print_json(seal)
    else:
        _print(seal)
    return 0


async def _seal(base: str, cell_id: str, token: str) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(total=_LIMIT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return (await Meter(base, cell_id, token, session).seal()).seal


def _print(seal: dict[str, Any]) -> None:
    for name, value in seal.items():
        shown = "not measured" if value is None else printable(str(value))
        print(f"{name + ':':<20}{shown}")
