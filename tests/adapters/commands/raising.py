"""A command that fails as it is told, plugged in as any command is."""

import argparse
from argparse import _SubParsersAction

from cab.adapters.errors import AdapterError
from cab.proxy.errors import BadConfig
from cab.scoring.errors import BadRecord

ERRORS: dict[str, BaseException] = {
    "adapter": AdapterError("the agent\n  is gone"),
    "proxy": BadConfig("the port is taken"),
    "scoring": BadRecord("calls.jsonl", 3, "no JSON"),
    "disk": OSError(28, "No space left on device", "runs/cell.json"),
    "unnamed": OSError("something broke"),
    "interrupt": KeyboardInterrupt(),
}


def add(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `cab`."""
    parser = subparsers.add_parser("raising")
    parser.add_argument("error", choices=ERRORS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fail."""
    raise ERRORS[args.error]
