"""`cab ledger verify`: checks that a ledger, or the slice of a cell, is what was written."""

import argparse
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cab.adapters.commands.ledger.filters import PLACE
from cab.adapters.errors import AdapterError
from cab.adapters.sweeps.verify_report import is_sweep, verify_sweep
from cab.adapters.ui.command import Option
from cab.adapters.ui.json_lines import print_json
from cab.adapters.ui.layout import Column
from cab.adapters.ui.options import JSON
from cab.adapters.ui.place import OpenedPlace, opened_place
from cab.adapters.ui.progress import progress
from cab.adapters.ui.tables import ResultTable, write
from cab.scoring.cells.bundle import CALLS_FILE, CELL_FILE, SEAL_FILE
from cab.scoring.cells.result_record import RESULT_FILE, verify_bundle
from cab.scoring.errors import BadRecord
from cab.scoring.ledger.segments import segment_files
from cab.scoring.ledger.signatures import PublicSealKey, load_public_key
from cab.scoring.ledger.verification.findings import Verification
from cab.scoring.ledger.verify import verify_ledger, verify_seal
from cab.scoring.printable import counted, printable

DESCRIPTION = """\
Verify a ledger: its files, its hash chains, the START and END of each call. Or a
bundle: its calls against their seal, its files against the signed result. Or a
sweep's folder: its ledger, and that its report lists every attempt.
"""

EPILOG = """\
A chain does not show that its end was cut off. Keep the heads that this command
prints in another place, and give them back with --head; or have the proxy sign
(seal_key_file), and give --public-key.

exit codes: 0 all that it states was checked and holds, 1 something does not hold,
2 wrong usage, 3 it holds, but something that it states was not checked

examples:
  cab ledger verify cab-ledger --head 5f3c...
  cab ledger verify cab-ledger --public-key seal.pub
  cab ledger verify runs/local/aider/gpt-5/polyglot/python-error-handling
  cab ledger verify calls.jsonl --seal seal.json --public-key seal.pub
  cab ledger verify sweeps/my-sweep --public-key seal.pub
  cab ledger verify postgresql://db.example/cab
"""

OPTIONS = (
    PLACE(
        help="a ledger's folder, a bundle, a calls.jsonl, a sweep's folder, or postgresql://HOST/DATABASE"
    ),
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
    Option(
        "--public-key",
        type=Path,
        metavar="FILE",
        help="check signatures with this key: what is not signed with it does not hold",
    ),
    JSON,
)

_HEAD_COLUMNS = (
    Column("chain", "text"),
    Column("head", "name"),
    Column("segments", rank=2),
    Column("records", rank=1),
)
_HEAD = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)


def run(args: argparse.Namespace) -> int:
    """Verify what the arguments name; return 0, 1 or 3.

    Raises:
        AdapterError: The arguments do not fit what is there.
        ScoringError: A file cannot be read.
        CabProxyError: The database cannot be read.
    """
    heads = [_head(text) for text in args.head]
    key = None if args.public_key is None else _key(args.public_key)
    with opened_place(args.path) as opened:
        path = opened.path
        if not path.exists():
            raise BadRecord(str(path), None, "No such file or directory")
        with progress(_title(opened), sys.stderr):
            found = _verify(path, args.seal, heads, key)
        result = _as_dict(opened, found)
        print_json(result) if args.json else _print_result(opened.shown, found)
    return found.exit_code


def _verify(
    path: Path, seal: Path | None, heads: list[str], key: PublicSealKey | None
) -> Verification:
    kind = _kind(path)
    if heads and (seal is not None or kind != "ledger"):
        raise AdapterError("--head is for ledgers; a slice is verified against its seal")
    if seal is not None:
        return verify_seal(path / CALLS_FILE if kind == "bundle" else path, seal, key)
    match kind:
        case "bundle":
            return verify_bundle(path, key)
        case "sweep":
            return verify_sweep(path, key)
        case "ledger":
            return verify_ledger(path, heads, key)
        case _:
            return verify_seal(path, _seal_beside(path), key)


def _kind(path: Path) -> str:
    if not path.is_dir():
        return "slice"
    if any((path / name).exists() for name in (CELL_FILE, CALLS_FILE, SEAL_FILE, RESULT_FILE)):
        return "bundle"
    return "sweep" if is_sweep(path) else "ledger"


def _key(file: Path) -> PublicSealKey:
    try:
        return load_public_key(file.read_bytes(), str(file))
    except OSError as error:
        raise BadRecord(str(file), None, error.strerror or str(error)) from error


def _head(text: str) -> str:
    match = _HEAD.fullmatch(text)
    if match is None:
        raise AdapterError(
            f"--head {text!r} is not a head: give 64 hex digits, as verify prints them"
        )
    return match[1].lower()


def _seal_beside(path: Path) -> Path:
    """Return the seal of a slice.

    Raises:
        AdapterError: There is none.
    """
    seal = path.with_name(SEAL_FILE)
    if not seal.exists():
        raise AdapterError(
            f"{path} has no {SEAL_FILE} beside it; give it with --seal, or verify the ledger's folder"
        )
    return seal


def _title(opened: OpenedPlace) -> str:
    path = opened.path
    files = segment_files(path) if path.is_dir() else [path]
    size_mb = sum(file.stat().st_size for file in files if file.exists()) / 1e6
    return f"verifying {printable(opened.shown)}, {size_mb:,.0f} MB on disk"


def _as_dict(opened: OpenedPlace, found: Verification) -> dict[str, Any]:
    faults = [{**each._asdict(), "path": opened.said(str(each.path))} for each in found.faults]
    result = {"path": opened.shown, "holds": found.holds, **asdict(found), "faults": faults}
    return {**result, "heads": [head._asdict() for head in found.heads]}


def _print_result(shown: str, found: Verification) -> None:
    for fault in found.faults:
        print(printable(str(fault)))
    if found.fault_count > len(found.faults):
        print(f"... and {found.fault_count - len(found.faults)} more")
    if found.heads:
        _print_heads(found)
    for title, what in (("checked", found.checked), ("not checked", found.not_checked)):
        for text in what:
            print(f"{title}: {printable(text)}")
    verdict = "holds" if found.exit_code == 0 else "holds as far as it was checked"
    if not found.holds:
        verdict = f"does NOT hold, {counted(found.fault_count, 'fault')}"
    seen = f"{counted(found.records, 'record')}, {found.size_bytes / 1e6:,.1f} MB"
    print(f"{printable(shown)} {verdict}: {seen}")


def _print_heads(found: Verification) -> None:
    rows = [(head.chain, head.hash, str(head.segments), str(head.records)) for head in found.heads]
    write("table", ResultTable(_HEAD_COLUMNS, rows), [])
