"""The option `--control`: where the control API of a running proxy is."""

import argparse
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # argparse has no public name for what parsers and their groups have in common
    from argparse import _ActionsContainer  # pyright: ignore[reportPrivateUsage]

CONTROL_HELP = """\
  CAB_CONTROL      control API of the proxy, as --control: a URL, or unix: and the
                   path of its socket, where it is not at the proxy's own URL
"""
"""For the list of environment variables in a command's help."""


def add_control(parser: "_ActionsContainer") -> None:
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
