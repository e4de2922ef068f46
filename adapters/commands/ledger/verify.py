"""`cab ledger verify`: checks that a ledger, or the slice of a cell, is what was written."""

import argparse
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cab.adapters.commands.ledger.filters import PATH
from cab.adapters.errors import AdapterError
from cab.adapters.ui.command import Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.options import JSON
from cab.adapters.ui.progress import progress
from cab.adapters.ui.tables import ResultTable, write
from cab.scoring.cells.bundle import CALLS_FILE, SEAL_FILE
from cab.scoring.errors import BadRecord
from cab.scoring.files import read_object
from cab.scoring.ledger.findings import Fault, Verification
from cab.scoring.ledger.seals import load_seal
from cab.scoring.ledger.segments import segment_files
from cab.scoring.ledger.signatures import load_public_key, signature_fault
from cab.scoring.ledger.verify import verify_ledger, verify_slice
from cab.scoring.printable import printable

DESCRIPTION = """\
Verify the chains of a ledger, or the calls of a bundle against their seal.
"""

EPILOG = """\
A chain does not show that its end was cut off. Keep the heads that this command
prints in another place, and give them back with --head.

exit codes: 0 it holds, 1 it does not, 2 wrong usage

examples:
  cab ledger verify cab-ledger --head 5f3c...
  cab ledger verify runs/local/aider/gpt-5/polyglot/python-error-handling
  cab ledger verify calls.jsonl --seal seal.json --public-key seal.pub
"""

OPTIONS = (
    PATH(help="a ledger's folder, a bundle, or a calls.jsonl"),
    Option(
        "--head",
        action="append",
        default=[],
        metavar="HEX",
        help="a head that was printed earlier; may be repeated",
    ),
    Option(
        "--seal", type=Path, metavar="FILE", help="verify the calls of the cell that this closes"
    ),
    Option("--public-key", type=Path, metavar="FILE", help="the seal must be signed with this key"),
    JSON,
)

_HEAD = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)


def run(args: argparse.Namespace) -> int:
    """Verify what the arguments name; return 0 if it holds, 1 if not.

    Raises:
        AdapterError: The arguments do not fit what is there.
        ScoringError: A file cannot be read.
    """
    heads = [_head(text) for text in args.head]
    path: Path = args.path
    seal = args.seal or _seal_beside(path)
    if seal is None and args.public_key is not None:
        raise AdapterError("--public-key checks a seal; give it with --seal FILE")
    if seal is None:
        with progress(_title(path), sys.stderr):
            found = verify_ledger(path, heads)
    elif heads:
        raise AdapterError("--head is for ledgers; a slice is verified against its seal")
    else:
        found = _verify_slice(path, seal, args.public_key)
    print_json(_as_dict(path, found)) if args.json else _print_result(path, found)
    return 0 if found.holds else 1


def _head(text: str) -> str:
    match = _HEAD.fullmatch(text)
    if match is None:
        raise AdapterError(
            f"--head {text!r} is not a head: give 64 hex digits, as verify prints them"
        )
    return match[1].lower()


def _seal_beside(path: Path) -> Path | None:
    """Return the seal of a bundle or of a slice, None for a ledger.

    Raises:
        AdapterError: It is a slice without a seal.
        BadRecord: There is nothing at the path.
    """
    if not path.exists():
        raise BadRecord(str(path), None, "No such file or directory")
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and not (path / CALLS_FILE).exists() and not (path / SEAL_FILE).exists():
        return None
    if (folder / SEAL_FILE).exists():
        return folder / SEAL_FILE
    raise AdapterError(
        f"{path} has no {SEAL_FILE} beside it; give it with --seal, or verify the ledger's folder"
    )


def _verify_slice(path: Path, seal: Path, public_key: Path | None) -> Verification:
    calls = path / CALLS_FILE if (path / SEAL_FILE).exists() else path
    with progress(_title(calls), sys.stderr):
        found = verify_slice(calls, load_seal(seal))
    fault = None if public_key is None else _signature_fault(seal, public_key)
    if fault is None:
        return found
    return Verification(
        (*found.faults, Fault(seal, None, fault)),
        found.fault_count + 1,
        found.heads,
        found.segments,
        found.records,
        found.size_bytes,
    )


def _signature_fault(seal: Path, public_key: Path) -> str | None:
    key = load_public_key(public_key.read_bytes(), str(public_key))
    return signature_fault(read_object(seal), key)


def _title(path: Path) -> str:
    files = segment_files(path) if path.is_dir() else [path]
    size_mb = sum(file.stat().st_size for file in files if file.exists()) / 1e6
    return f"verifying {printable(str(path))}, {size_mb:,.0f} MB on disk"


def _as_dict(path: Path, found: Verification) -> dict[str, Any]:
    faults = [{**fault._asdict(), "path": str(fault.path)} for fault in found.faults]
    result = {"path": str(path), "holds": found.holds, **asdict(found), "faults": faults}
    return {**result, "heads": [head._asdict() for head in found.heads]}


def _print_result(path: Path, found: Verification) -> None:
    for fault in found.faults:
        print(printable(str(fault)))
    if found.fault_count > len(found.faults):
        print(f"... and {found.fault_count - len(found.faults)} more")
    if found.heads:
        _print_heads(found)
    verdict = "holds" if found.holds else f"does NOT hold, {_count(found.fault_count, 'fault')}"
    seen = f"{_count(found.records, 'record')}, {found.size_bytes / 1e6:,.1f} MB"
    print(f"{printable(str(path))} {verdict}: {seen}")


def _print_heads(found: Verification) -> None:
    rows = [(head.chain, head.hash, str(head.segments), str(head.records)) for head in found.heads]
    write("table", ResultTable(("chain", "head", "segments", "records"), rows, texts=2), [])


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
