"""The option `--control`: where the control API of a running proxy is."""

import argparse
import os

from cab.adapters.errors import AdapterError

CONTROL_HELP = """\
  CAB_CONTROL      control API of the proxy, as --control: a URL, or unix: and the
                   path of its socket, where it is not at the proxy's own URL
"""
"""For the list of environment variables in a command's help."""


def add_control(parser: argparse._ActionsContainer) -> None:
    """Add the option to a parser, or to a group of one."""
    parser.add_argument(
        "--control",
        metavar="URL",
        help="its control API, where that has an address of its own: a URL, or unix:PATH",
    )


def control_address(args: argparse.Namespace) -> str | None:
    """Return where the control API is: `--control`, `CAB_CONTROL`, else the proxy's own URL."""
    proxy: str | None = args.proxy
    if proxy is not None and proxy.startswith("unix:"):  # nothing else is at a socket
        return args.control or proxy
    return args.control or os.environ.get("CAB_CONTROL") or proxy


def admin_token(address: str) -> str:
    """Return the admin token of a proxy.

    Raises:
        AdapterError: There is none.
    """
    token = os.environ.get("CAB_ADMIN_TOKEN")
    if not token:
        raise AdapterError(f"set CAB_ADMIN_TOKEN to the admin token of the proxy at {address}")
    return token
