"""`cab ledger`: verify, read, watch, seal and export an audit log."""

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from cab.adapters.commands.ledger.filters import add_filters, add_path
from cab.adapters.ui.control_option import CONTROL_HELP, add_control

if TYPE_CHECKING:
    # argparse has no public name for what add_subparsers returns
    from argparse import _SubParsersAction  # pyright: ignore[reportPrivateUsage]

    Actions = _SubParsersAction[argparse.ArgumentParser]

_VERIFY_EPILOG = """\
The end of a chain shows in no chain: note the heads that this command prints, somewhere else, and
give them back with --head.

exit codes: 0 it holds, 1 it does not, 2 wrong usage

examples:
  cab ledger verify cab-ledger --head 5f3c...
  cab ledger verify runs/local/aider/gpt-5/polyglot/python-error-handling
  cab ledger verify calls.jsonl --seal seal.json --public-key seal.pub
"""

_CALLS_EPILOG = """\
examples:
  cab ledger calls --cell my-sweep/aider/ --since 24h
  cab ledger calls --by-cell --csv > cells.csv
  cab ledger calls runs/local/aider/gpt-5/polyglot/python-error-handling --json | jq .usage_raw
"""

_SEAL_EPILOG = (
    """\
environment:
  CAB_CELL_KEY     the cell's own key
  CAB_ADMIN_TOKEN  the admin token of the proxy, where there is no CAB_CELL_KEY
"""
    + CONTROL_HELP
)


def add(subparsers: "Actions") -> None:
    """Add the command to the parser of `cab`."""
    parser = subparsers.add_parser(
        "ledger",
        help="verify, read, watch, seal and export an audit log",
        description="The audit log: one record per model call, in hash chains that show any change. "
        "docs/ledger.md describes it.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_verify(actions)
    _add_calls(actions)
    _add_tail(actions)
    _add_seal(actions)
    _add_export(actions)


def _add_verify(actions: "Actions") -> None:
    parser = actions.add_parser(
        "verify",
        help="find any edit, deletion, insertion, reordering or cut",
        description="Verify the chains of a ledger, or the calls of a bundle against their seal.",
        epilog=_VERIFY_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_path(parser, "a ledger's folder, a bundle, or a calls.jsonl (cab-ledger)")
    parser.add_argument(
        "--head",
        action="append",
        default=[],
        metavar="HEX",
        help="a head noted earlier; repeatable",
    )
    parser.add_argument(
        "--seal", type=Path, metavar="FILE", help="verify the lines of the cell that it closes"
    )
    parser.add_argument(
        "--public-key", type=Path, metavar="FILE", help="the seal must be signed with this key"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run, action="verify")


def _add_calls(actions: "Actions") -> None:
    parser = actions.add_parser(
        "calls",
        help="list calls, or sums by cell",
        description="List the calls of a ledger, of a bundle, or of one file, in the ledger's order.",
        epilog=_CALLS_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_path(parser, "a ledger's folder, a bundle, a segment or a calls.jsonl (cab-ledger)")
    add_filters(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="at most N lines")
    parser.add_argument("--by-cell", action="store_true", help="one line per cell, with its sums")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the records as they are, one per line")
    form.add_argument("--csv", action="store_true", help="comma-separated, with a header")
    parser.set_defaults(run=run, action="calls")


def _add_tail(actions: "Actions") -> None:
    parser = actions.add_parser("tail", help="the last records, and those to come")
    add_path(parser, "a ledger's folder (cab-ledger)")
    add_filters(parser)
    parser.add_argument("-n", type=int, default=10, metavar="N", dest="count", help="lines (10)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="all records, as they are")
    parser.set_defaults(run=run, action="tail")


def _add_seal(actions: "Actions") -> None:
    parser = actions.add_parser(
        "seal",
        help="close a cell: its calls are final",
        description="Wait for the cell's calls in flight, close it, and print its seal.",
        epilog=_SEAL_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cell", metavar="CELL", help="the cell's id")
    parser.add_argument("--proxy", metavar="URL", help="the cab-proxy that meters it")
    add_control(parser)
    parser.add_argument("--json", action="store_true", help="print the seal as one JSON object")
    parser.set_defaults(run=run, action="seal")


def _add_export(actions: "Actions") -> None:
    parser = actions.add_parser(
        "export",
        help="write the calls to a SQLite or Parquet file",
        description="Write calls to a file with one typed column per member. A SQLite file may be "
        "there already: its table `calls` takes new calls and keeps the others.",
    )
    add_path(parser, "a ledger's folder, a bundle, a segment or a calls.jsonl (cab-ledger)")
    add_filters(parser)
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--sqlite", type=Path, metavar="FILE", help="add to this SQLite file")
    form.add_argument("--parquet", type=Path, metavar="FILE", help="write this Parquet file")
    parser.set_defaults(run=run, action="export")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments ask for; return the exit code."""
    # Imported late: a seal needs an HTTP client, and reading should not wait for it.
    return int(importlib.import_module(f"cab.adapters.commands.ledger.{args.action}").run(args))
