"""The option `--control`: where the control API of a running proxy is."""

import argparse
import os

from cab.adapters.ui.command import Option

CONTROL = Option(
    "--control",
    metavar="URL",
    help="its control API, where that has an address of its own: a URL, or unix:PATH",
)

CONTROL_HELP = """\
  CAB_CONTROL      control API of the proxy, as --control: a URL, or unix: and the
                   path of its socket, where it is not at the proxy's own URL
"""
"""For the list of environment variables in a command's help."""


def control_address(args: argparse.Namespace) -> str | None:
    """Return where the control API is: `--control`, `CAB_CONTROL`, else the proxy's own URL."""
    proxy: str | None = args.proxy
    if proxy is not None and proxy.startswith("unix:"):  # nothing else is at a socket
        return args.control or proxy
    return args.control or os.environ.get("CAB_CONTROL") or proxy
