"""A command that fails as it is asked to, plugged in as any command is."""

import argparse

from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import Option
from cab.proxy.errors import BadConfig
from cab.scoring.errors import BadRecord

ERRORS: dict[str, BaseException] = {
    "adapter": AdapterError("the agent\n  is gone"),
    "proxy": BadConfig("the port is taken"),
    "scoring": BadRecord("calls.jsonl", 3, "no JSON"),
    "disk": OSError(28, "No space left on device", "runs/cell.json"),
    "disk behind": AdapterError("the journal cannot be written"),
    "unnamed": OSError("something broke"),
    "interrupt": KeyboardInterrupt(),
}


ERRORS["disk behind"].__cause__ = OSError(28, "No space left on device")

DESCRIPTION = "Fail."

OPTIONS = (Option("error", choices=ERRORS),)


def run(args: argparse.Namespace) -> int:
    """Fail."""
    raise ERRORS[args.error]
