"""The options that say where the endpoint's key comes from."""

from pathlib import Path

from cab.adapters.ui.command import OneOf, Option
from cab.proxy.cli.flags import KEY_FD_HELP, KEY_FILE_HELP

KEY_FROM = OneOf(
    Option("--key-file", type=Path, metavar="FILE", help=KEY_FILE_HELP),
    Option("--key-fd", type=int, metavar="N", help=KEY_FD_HELP),
)
