"""`cab ledger tail`: the last records of a ledger, and with -f those that are written from now on."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from cab.adapters.commands.ledger.filters import filter_of, records_path
from cab.adapters.commands.ledger.follow import Follower
from cab.adapters.commands.ledger.rows import call_title, record_line
from cab.adapters.errors import AdapterError
from cab.scoring.ledger.filters import Filter
from cab.scoring.ledger.records import parse_fields

_LOOK_EVERY_S = 0.2
_MANY_LINES = 10_000
"""Looked at to find the last few that are wanted."""


class _Record(NamedTuple):
    at: str
    line: bytes
    fields: dict[str, Any]


def run(args: argparse.Namespace) -> int:
    """Print the last records, and follow if asked; return the exit code.

    Raises:
        AdapterError: The path is no ledger's folder, or the number is none.
        BadRecord: The ledger cannot be read.
    """
    if args.count < 0:
        raise AdapterError(f"-n {args.count} is below 0")
    if not args.path.is_dir():
        raise AdapterError(f"{args.path} is no folder; give a ledger's")
    if not args.follow:
        records_path(args.path)
    with closing(Follower(args.path)) as follower:
        try:
            _print_last(follower, args)
            while args.follow:
                _print(_wanted(follower.new(), args), args)
                time.sleep(_LOOK_EVERY_S)
        except KeyboardInterrupt:  # how following ends
            return 0
    return 0


def _print_last(follower: Follower, args: argparse.Namespace) -> None:
    if not args.json:
        print(call_title())
    # What is not wanted stands between, so more is looked at than is printed.
    records = list(_wanted(follower.last(max(args.count, _MANY_LINES)), args))
    records.sort(key=_at)
    _print(records[len(records) - min(args.count, len(records)) :], args)


def _wanted(lines: Iterable[bytes], args: argparse.Namespace) -> Iterator[_Record]:
    where: Filter = filter_of(args)
    for line in lines:
        fields = parse_fields(line, str(args.path))
        if (args.json or fields.get("kind") != "start") and where.admits(fields):
            yield _Record(_time_of(fields), line, fields)


def _at(record: _Record) -> str:
    return record.at


def _time_of(fields: dict[str, Any]) -> str:
    """Return when a record was written, as it says itself; such texts sort as times do."""
    kind = "started_at" if fields.get("kind") == "start" else "ended_at"
    return str(fields.get(kind) or fields.get("sealed_at") or fields.get("at") or "")


def _print(records: Iterable[_Record], args: argparse.Namespace) -> None:
    for record in records:
        if args.json:
            sys.stdout.buffer.write(record.line)
        else:
            sys.stdout.write(f"{record_line(record.fields)}\n")
    sys.stdout.flush()
    sys.stdout.buffer.flush()
