"""The command `cab`: everything around the meter. A command's module is imported when it is run."""

import argparse
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from cab.adapters.errors import AdapterError, nearest
from cab.adapters.ui.argparse_ext import OneLineParser

_DESCRIPTION = """\
Measure what coding agents really spend.

An agent runs on a task against a model endpoint, through a metering proxy that
writes one record per model call; the run, a cell, is scored from what was
measured. The proxy alone is the command cab-proxy.
"""

_EPILOG = """\
environment:
  CAB_ENDPOINT      base URL of the model endpoint
  CAB_KEY           its key; stays with the proxy, agents never see it
  CAB_SIGNING_KEY   only with run-cell --proxy: what that proxy checks keys with

first steps:
  cab run-cell --tui scripted --upstream demo --task polyglot/python-error-handling
  cab adapters install aider
  CAB_ENDPOINT=https://host/v1 CAB_KEY=... \\
    cab run-cell --tui aider --model MODEL --task polyglot/python-error-handling

exit codes: 0 done, 1 the thing checked does not hold, 2 wrong usage or configuration
"""


class Command(NamedTuple):
    """A subcommand: where it lives, and what `cab --help` says of it."""

    module: str
    help: str


COMMANDS = {
    "run-cell": Command("cab.adapters.commands.run_cell", "run one agent on one task and score it"),
    "check": Command("cab.adapters.commands.check", "whether an endpoint does, and is metered"),
    "sweep": Command("cab.adapters.commands.sweep", "a matrix of cells, resumable"),
    "score": Command("cab.adapters.commands.score", "score cells again, offline"),
    "compare": Command("cab.adapters.commands.compare", "A against B, and how sure that is"),
    "reconcile": Command("cab.adapters.commands.reconcile", "how wrong agents count themselves"),
    "export": Command(
        "cab.adapters.commands.export", "cells for other tools: Inspect, Harbor, SWE-bench"
    ),
    "adapters": Command("cab.adapters.commands.adapters", "list, install, show and examine agents"),
    "tasks": Command("cab.adapters.commands.tasks", "list, show and check tasks"),
    "keys": Command("cab.adapters.commands.keys", "make and revoke the keys that agents hold"),
    "ledger": Command(
        "cab.adapters.commands.ledger", "verify, read, watch, seal and export an audit log"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cab` and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in arguments if not word.startswith("-")), None)
    parser = make_parser(command)
    if not arguments:
        parser.print_help()
        return 0
    if command is not None and command not in COMMANDS:
        near = nearest(command, COMMANDS)
        parser.error(f"no command {command!r}{f'; did you mean {near!r}?' if near else ''}")
    return _run(parser.parse_args(arguments))


def make_parser(command: str | None) -> argparse.ArgumentParser:
    """Return the parser of `cab`, complete for one command and with a line for each other."""
    parser = OneLineParser(
        prog="cab",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    version = importlib.metadata.version("coding-agent-bench")
    parser.add_argument("--version", action="version", version=f"cab {version}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        if name == command:
            importlib.import_module(module).add(subparsers)
        else:
            subparsers.add_parser(name, help=text)
    return parser


def _run(args: argparse.Namespace) -> int:
    # Imported late, so that --help does not wait for them.
    from cab.proxy.errors import CabProxyError  # noqa: PLC0415
    from cab.scoring.errors import ScoringError  # noqa: PLC0415

    try:
        return int(args.run(args))
    except (AdapterError, CabProxyError, ScoringError) as error:
        return _complain(str(error))
    except BrokenPipeError:
        # Whoever read us has enough; Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _complain(f"{error.filename or 'the system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        return 130


def _complain(message: str) -> int:
    line = " ".join(message.split())
    print(f"cab: {line}", file=sys.stderr)  # noqa: T201 - the one line of an error
    return 2
