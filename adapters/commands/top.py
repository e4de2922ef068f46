"""`cab top`: what a proxy does now, in a terminal."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from rich.console import Console
from rich.live import Live

from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import Option
from cab.adapters.ui.control_option import CONTROL, CONTROL_HELP, control_address
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.live_state import screen
from cab.proxy.control.client import ControlClient

DESCRIPTION = """\
Watch what a proxy does now: running cells with their calls and tokens, and of
the last minute tokens, cost, time to first token and failed calls.

The same is shown in a browser, at the address that cab-proxy prints at its start.
"""
EPILOG = f"""\
environment:
  CAB_ADMIN_TOKEN  admin token of the proxy; not needed over its control socket
{CONTROL_HELP}
examples:
  cab top
  cab top --proxy http://host:31415
  cab top --control unix:/run/cab/control.sock
  cab top --json | head -1

keys: Ctrl-C ends it.
"""
_DEFAULT = "http://127.0.0.1:31415"

OPTIONS = (
    Option("--proxy", default=None, metavar="URL", help=f"the proxy ({_DEFAULT})"),
    CONTROL,
    Option("--once", action="store_true", help="print one state, and end"),
    Option("--json", action="store_true", help="print each state as a line of JSON"),
)


def run(args: argparse.Namespace) -> int:
    """Follow a proxy until it ends or Ctrl-C; return the exit code.

    Raises:
        AdapterError: There is no admin token.
        CabProxyError: The proxy cannot be reached, or does not let in.
    """
    address = control_address(args) or _DEFAULT
    token = os.environ.get("CAB_ADMIN_TOKEN") or None
    if token is None and not address.startswith("unix:"):
        raise AdapterError(
            f"set CAB_ADMIN_TOKEN to the admin token of the proxy at {address}, or give its control "
            "socket with --control unix:PATH"
        )
    try:
        asyncio.run(_follow(address, token, once=args.once, as_json=args.json))
    except KeyboardInterrupt:  # how following ends
        return 0
    return 0


async def _follow(address: str, token: str | None, *, once: bool, as_json: bool) -> None:
    console = Console()
    async with ControlClient(address, token) as control, aclosing(control.states()) as states:
        if once or as_json or not console.is_terminal:
            await _print(states, console, once=once, as_json=as_json)
            return
        with Live(console=console, screen=True, auto_refresh=False) as live:
            async for state in states:
                live.update(screen(state, console.width, console.height), refresh=True)


async def _print(
    states: AsyncIterator[dict[str, Any]], console: Console, *, once: bool, as_json: bool
) -> None:
    async for state in states:
        if as_json:
            print_json(state)
            sys.stdout.flush()
        else:
            console.print(screen(state, console.width, None))
        if once:
            return
