"""`cab capture prune`: removes what is too old, or too much."""

import argparse
import re
import time

from cab.adapters.commands.capture.places import PATH, folder_of
from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import Option
from cab.adapters.ui.options import duration_s
from cab.proxy.ledger.capture.retention import prune
from cab.scoring.printable import counted

DESCRIPTION = """\
Delete the cells that were last written too long ago; and then, while the rest is too
large, the cell that was written longest ago.
"""

OPTIONS = (
    PATH,
    Option("--older-than", metavar="TIME", help="such as 12h or 30d"),
    Option("--max-bytes", metavar="N", help="bytes of the rest at most, such as 500M or 2G"),
)

_SIZE = re.compile(r"([0-9]{1,15})([KMGT]?)")
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def run(args: argparse.Namespace) -> int:
    """Delete cells; return the exit code.

    Raises:
        AdapterError: Neither bound is given, or one is not valid.
    """
    if args.older_than is None and args.max_bytes is None:
        raise AdapterError("nothing to delete by; give --older-than TIME or --max-bytes N")
    before_ns = None if args.older_than is None else time.time_ns() - _age_ns(args.older_than)
    max_bytes = None if args.max_bytes is None else _size_bytes(args.max_bytes)
    gone = prune(folder_of(args.path), before_ns=before_ns, max_bytes=max_bytes)
    size = sum(cell.bytes for cell in gone)
    print(f"deleted {counted(len(gone), 'cell')}, {size:,} bytes")
    return 0


def _age_ns(text: str) -> int:
    age_s = duration_s(text)
    if age_s is None:
        raise AdapterError(f"--older-than {text} is not a time such as 12h or 30d")
    return age_s * 1_000_000_000


def _size_bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise AdapterError(f"--max-bytes {text} is not a size such as 500M or 2G")
    return int(match[1]) * _FACTORS[match[2]]
