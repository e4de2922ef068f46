"""Opening a cell, and sealing it: it is closed, its lines are read back, and what is there is stated."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from cab.proxy.accounting.admission import CellRegistry
from cab.proxy.clock import Clock
from cab.proxy.control.ledger_reads import LedgerReads
from cab.proxy.errors import BadConfig, LedgerFailed, Rejected
from cab.proxy.ledger.heads import read_heads
from cab.proxy.ledger.ledger import SEAL, Ledger
from cab.proxy.logs import RedactingLogger
from cab.scoring.errors import BadRecord, BadSealKey
from cab.scoring.ledger.archive.segments import ARCHIVED, ArchivedCalls
from cab.scoring.ledger.heads import CHECKPOINT
from cab.scoring.ledger.seals import seal_lines
from cab.scoring.ledger.signatures import (
    CHECKPOINT_SCHEMA,
    PrivateSealKey,
    load_private_key,
    sign_seal,
)
from cab.scoring.ledger.slices import cell_lines
from cab.scoring.ledger.totals import Fields
from cab.scoring.timestamps import rfc3339

SEAL_WAIT_S = 30.0
"""How long a seal waits for calls in flight."""

log = RedactingLogger()


class Sign(Protocol):
    """Gives a seal its signature."""

    def __call__(self, seal: dict[str, Any]) -> dict[str, Any]:
        """Return the seal, signed."""
        ...


def unsigned(seal: dict[str, Any]) -> dict[str, Any]:
    """Return the seal as it is: no key was given."""
    return seal


def signer_from(file: Path | None) -> Sign:
    """Return what signs seals with the private key in a file; without a file nothing does.

    Raises:
        BadConfig: The file cannot be read, or holds no key that can be used.
    """
    if file is None:
        return unsigned
    key = seal_key_from(file)
    return lambda seal: sign_seal(seal, key)


def seal_key_from(file: Path) -> PrivateSealKey:
    """Return the private key in a file.

    Raises:
        BadConfig: The file cannot be read, or holds no key that can be used.
    """
    try:
        return load_private_key(file.read_bytes(), f"seal_key_file {file}")
    except OSError as error:
        raise BadConfig(f"seal_key_file {file} cannot be read: {error.strerror}") from error
    except BadSealKey as error:
        raise BadConfig(str(error)) from error


class Sealer:
    """Opens and seals cells.

    Args:
        cells: State of all cells.
        ledger: Takes the records.
        clock: Stamps them.
        sign: Gives seals their signature.
        reads: Read the ledger.
    """

    def __init__(
        self, cells: CellRegistry, ledger: Ledger, clock: Clock, sign: Sign, reads: LedgerReads
    ) -> None:
        self._cells = cells
        self._ledger = ledger
        self._clock = clock
        self._sign = sign
        self._reads = reads

    async def open(self, cell_id: str) -> dict[str, Any]:
        """Record that a cell is metered from now on; return the members of the record.

        A cell without calls may be opened again: the run that opened it may have gone before its first.

        Raises:
            Rejected: It has calls, or is sealed.
            LedgerFailed: The record cannot be written.
        """
        await self._cells.open(cell_id)
        opened = {"cell_id": cell_id, "opened_at": rfc3339(self._clock.wall_ns())}
        await asyncio.shield(self._ledger.append({"kind": "cell_open", **opened}))
        return opened

    async def seal(self, cell_id: str) -> dict[str, Any]:
        """Close a cell, write its seal, and return it.

        Raises:
            Rejected: The cell is sealed already, or its calls do not end in time.
            LedgerFailed: The seal cannot be written.
        """
        await self._cells.seal(cell_id, SEAL_WAIT_S)
        try:
            # The slice is read back from the disk: the seal states what is there.
            stated = await self._reads.for_seal(partial(_read_back, self._ledger.folder, cell_id))
            sealed_at = rfc3339(self._clock.wall_ns())
            seal = self._sign({"cell_id": cell_id, "sealed_at": sealed_at, **stated})
            written = self._ledger.append({"kind": SEAL, **seal})
        except BaseException:
            self._cells.reopen(cell_id)  # a cell must not stay closed without a seal
            raise

        def reopen_without_seal(written: asyncio.Future[None]) -> None:
            if written.exception() is not None:
                self._cells.reopen(cell_id)

        # Not cancelled with the client: once handed over, the record is written or has failed.
        written.add_done_callback(reopen_without_seal)
        await asyncio.shield(written)
        return seal


async def write_checkpoint(ledger: Ledger, clock: Clock, sign: Sign) -> None:
    """Write a signed record of where all chains of the ledger stand; without a key nothing is written.

    A ledger that cannot be read or written now gets none: calls do not wait for it.
    """
    if sign is unsigned:
        return
    try:
        heads = await asyncio.to_thread(_heads, ledger.folder)
        stated = {"at": rfc3339(clock.wall_ns()), "checkpoint_schema": CHECKPOINT_SCHEMA}
        await ledger.append({"kind": CHECKPOINT, **sign({**stated, "heads": heads})})
    except LedgerFailed as error:
        log.error("checkpoint_not_written", reason=str(error))


def _read_back(folder: Path, cell_id: str) -> dict[str, Any]:
    damaged: list[Fields] = []
    stated = seal_lines(slice_lines(folder, cell_id, damaged.append), damaged)
    # Behind the slice, so that they cover each line of it.
    return {**stated, "heads": _heads(folder)}


def _heads(folder: Path) -> list[dict[str, Any]]:
    try:
        return read_heads(folder)
    except (BadRecord, OSError) as error:
        raise LedgerFailed(f"the heads of ledger {folder} cannot be read: {error}") from error


def _pass_over(_: Fields) -> None:
    """Take a damaged line as what it is."""


def slice_lines(
    folder: Path, cell_id: str, on_damage: Callable[[Fields], None] = _pass_over
) -> Iterator[bytes]:
    """Yield the lines of a cell's slice, verbatim and in order; damaged lines are no part of it.

    Args:
        folder: The ledger.
        cell_id: The cell.
        on_damage: Is given what is known of the cell's damaged lines.

    Raises:
        Rejected: Some of them are archived.
        LedgerFailed: A segment cannot be read: the slice, and its seal, would hold less than they state.
    """
    try:
        for _, _, line in cell_lines(folder, cell_id, on_damage):
            yield line
    except ArchivedCalls as error:
        raise Rejected(ARCHIVED, error.reason) from error
    except BadRecord as error:
        segment = Path(error.path).name
        log.error("segment_unreadable", segment=segment, reason=str(error))
        message = f"segment {segment} cannot be read; cab ledger verify says where"
        raise LedgerFailed(message) from error
