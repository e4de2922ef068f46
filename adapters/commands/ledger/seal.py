"""`cab ledger seal`: closes a cell at the proxy that meters it."""

import argparse
import asyncio
import os
import sys
from typing import Any

from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import Option
from cab.adapters.ui.control_option import CONTROL, CONTROL_HELP, control_address
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import JSON
from cab.adapters.ui.progress import progress
from cab.proxy.control.client import ControlClient
from cab.scoring.printable import printable

DESCRIPTION = "Wait for the cell's calls in flight, close the cell, and print its seal."

EPILOG = f"""\
environment:
  CAB_SEAL_KEY     the cell's seal key (cab keys mint --scope seal)
  CAB_ADMIN_TOKEN  the admin token of the proxy, used if CAB_SEAL_KEY is unset
{CONTROL_HELP}"""

OPTIONS = (
    Option("cell", metavar="CELL", help="the cell's id"),
    Option("--proxy", metavar="URL", help="the cab-proxy that meters the cell"),
    CONTROL,
    JSON,
)


def run(args: argparse.Namespace) -> int:
    """Seal the cell that the arguments name, print the seal; return the exit code.

    Raises:
        AdapterError: There is no address, or neither key nor token.
        CabProxyError: The proxy does not seal the cell.
    """
    address = control_address(args)
    if address is None:
        raise AdapterError("no proxy; give its URL with --proxy, or set CAB_CONTROL")
    token = os.environ.get("CAB_SEAL_KEY") or os.environ.get("CAB_ADMIN_TOKEN")
    if not token:
        raise AdapterError(
            "set CAB_SEAL_KEY to the cell's seal key, or CAB_ADMIN_TOKEN to the proxy's"
        )
    with progress(f"sealing {printable(args.cell)}", sys.stderr):
        seal = asyncio.run(_seal(address, args.cell, token))
    if args.json:
        print_json(seal)
    else:
        for name, value in seal.items():
            shown = "not measured" if value is None else printable(str(value))
            print(f"{name + ':':<20}{shown}")
    return 0


async def _seal(address: str, cell_id: str, token: str) -> dict[str, Any]:
    async with ControlClient(address, token) as control:
        return (await control.seal(cell_id)).seal
