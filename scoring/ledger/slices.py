"""The slice of a cell: its lines of a ledger, and whether they are those that its seal states."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from cab.scoring.errors import BadRecord
from cab.scoring.ledger.archive.checkpoints import archived_calls
from cab.scoring.ledger.bounds import BrokenLine
from cab.scoring.ledger.chain import line_hash
from cab.scoring.ledger.filters import Filter
from cab.scoring.ledger.reading import damaged_fields, ledger_lines
from cab.scoring.ledger.records import is_object, parse_fields
from cab.scoring.ledger.seals import Seal, sums_for
from cab.scoring.ledger.totals import Fields
from cab.scoring.ledger.verification.findings import Fault, Findings
from cab.scoring.validation import repeated_member

SEALED = "cell_sealed"
"""Error type of a call that was rejected because its cell is sealed."""


def cell_lines(
    path: Path, cell_id: str, on_damage: Callable[[Fields], None] | None = None
) -> Iterator[tuple[Path, int, bytes]]:
    """Yield a cell's lines of a ledger, verbatim and in order, each with where it stands.

    These are its START and END records. What was rejected because the cell is sealed is not part of
    its slice: a seal is final.

    Args:
        path: The ledger.
        cell_id: The cell.
        on_damage: Is given what is known of the cell's damaged lines, as `damaged_fields` has it; those
            of other cells are passed over then.

    Raises:
        ArchivedCalls: Some of them are archived: what is left is not the cell's slice.
        BadRecord: A segment cannot be read; without `on_damage` also that a line is damaged.
    """
    named, lines = orjson.dumps(cell_id), ledger_lines(path)
    if (error := archived_calls(path, Filter(cell_id))) is not None:
        raise error
    for file, number, line in lines:
        # Most lines of a large ledger are of other cells. One without a backslash holds every text as
        # it is, so that a look at its bytes is enough.
        if on_damage is not None and named not in line and b"\\" not in line:
            continue
        try:
            fields = parse_fields(line, str(file), number)
        except BadRecord:
            if on_damage is None:
                raise
            if (known := damaged_fields(line)).get("cell_id") == cell_id:
                on_damage(known)
            continue
        if fields.get("cell_id") == cell_id and in_slice(fields):
            yield file, number, line


def in_slice(fields: dict[str, Any]) -> bool:
    """Return whether a record with these members belongs to its cell's slice."""
    if fields.get("kind") not in ("start", "end"):
        return False
    error: object = fields.get("error")
    if fields.get("end_reason") != "rejected" or not is_object(error):
        return True
    return error.get("type") != SEALED


class SliceCheck:
    """Holds the lines of a slice against a seal, as they come.

    The digest decides. What the lines themselves show, such as an END without its START, only says
    where to look if it does not match.

    Args:
        seal: The seal.
        path: The slice.
        findings: Takes the faults.
    """

    def __init__(self, seal: Seal, path: Path, findings: Findings) -> None:
        self._seal = seal
        self._path = path
        self._findings = findings
        self._digest = hashlib.sha256()
        self._records = 0
        self._sums = sums_for(seal)
        self._open: dict[str, tuple[Path, int]] = {}
        self._last = b""
        self._last_prev = b""
        self._hints = Findings()

    def add(self, path: Path, number: int, line: bytes) -> None:
        """Look at the next line."""
        self._records += 1
        self._digest.update(line)
        of_bytes, of_record = self._of_bytes(line), self._of_record(path, number, line)
        if (what := of_bytes or of_record) is not None:
            self._hints.add(path, number, what)

    def _of_bytes(self, line: bytes) -> str | None:
        if isinstance(line, BrokenLine):
            return line.reason
        if not line.endswith(b"\n"):
            return "torn: the line ends without a newline"
        before, before_prev = self._last, self._last_prev
        self._last, self._last_prev = line[-67:-3], line[-141:-77]
        digest = line_hash(line)
        if not line.endswith(b',"hash":"' + digest + b'"}\n'):
            return f"edited: its bytes have the hash {digest.decode()}, it says another"
        if digest == before:
            return "duplicate: the line before is the same"
        if digest == before_prev:
            return "out of order: the line before it follows it in the ledger"
        return None

    def _of_record(self, path: Path, number: int, line: bytes) -> str | None:
        try:
            fields = parse_fields(line)
        except BadRecord as error:
            return error.reason
        if (fault := repeated_member(line, fields)) is not None:
            self._findings.add(path, number, fault)
        self._sums.add(fields)
        if fields.get("cell_id") != self._seal.cell_id:
            return f"put in: it is of cell {fields.get('cell_id')!r}"
        call_id = str(fields.get("call_id"))
        if fields.get("kind") == "start":
            if call_id in self._open:
                _, before = self._open[call_id]
                return f"duplicate: call {call_id} started in line {before} already"
            self._open[call_id] = path, number
        elif self._open.pop(call_id, None) is None and fields.get("end_reason") != "rejected":
            return f"the start of call {call_id} is missing before it"
        return None

    def finish(self) -> None:
        """Add what does not hold to the findings."""
        stated = self._seal.digest.removeprefix("sha256:")
        if self._digest.hexdigest() != stated or self._records != self._seal.records:
            self._name_lines(stated)
            return
        stated_sums = self._seal.model_dump(exclude_unset=True)
        for name, made in self._sums.totals().items():
            if (said := stated_sums.get(name, made)) != made:
                self._findings.add(
                    self._path, None, f"the seal says {name} {said}, the lines give {made}"
                )

    def _name_lines(self, stated: str) -> None:
        for call_id, (path, number) in self._open.items():
            self._hints.add(path, number, f"the end of call {call_id} is missing")
        for fault in sorted(self._hints.faults, key=_by_line):
            self._findings.add(*fault)
        self._findings.add(
            self._path,
            None,
            f"not what was sealed: {self._records} lines with SHA-256 {self._digest.hexdigest()}, "
            f"the seal states {self._seal.records} with {stated}",
        )


def _by_line(fault: Fault) -> int:
    return fault.line or 0
