"""Sealing a cell: its book is closed, its lines are read back, and what is there is stated."""

import asyncio
from pathlib import Path
from typing import Any, Protocol

from cab.proxy.accounting.admission import CellRegistry, CellSnapshot
from cab.proxy.accounting.cell_state import slice_digest
from cab.proxy.clock import Clock, rfc3339
from cab.proxy.errors import BadConfig
from cab.proxy.ledger.ledger import Ledger
from cab.scoring.errors import BadSealKey
from cab.scoring.ledger.signatures import load_private_key, sign_seal

SEAL_WAIT_S = 30.0
"""How long a seal waits for calls in flight."""


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
    try:
        key = load_private_key(file.read_bytes(), f"seal_key_file {file}")
    except OSError as error:
        raise BadConfig(f"seal_key_file {file} cannot be read: {error.strerror}") from error
    except BadSealKey as error:
        raise BadConfig(str(error)) from error
    return lambda seal: sign_seal(seal, key)


class Sealer:
    """Seals cells.

    Args:
        book: State of all cells.
        ledger: Takes the seals.
        clock: Stamps them.
        sign: Gives them their signature.
    """

    def __init__(self, book: CellRegistry, ledger: Ledger, clock: Clock, sign: Sign) -> None:
        self._book = book
        self._ledger = ledger
        self._clock = clock
        self._sign = sign

    async def seal(self, cell_id: str) -> dict[str, Any]:
        """Close a cell, write its seal, and return it.

        Raises:
            Rejected: The cell is sealed already, or its calls do not end in time.
            LedgerFailed: The seal cannot be written.
        """
        totals = await self._book.seal(cell_id, SEAL_WAIT_S)
        try:
            seal = self._sign(await self._states(cell_id, totals))
            written = self._ledger.append({"kind": "cell_seal", **seal})
        except BaseException:
            self._book.reopen(cell_id)  # a cell must not stay closed without a seal
            raise
        # Not cancelled with the client: once handed over, the record is written.
        await asyncio.shield(written)
        return seal

    async def _states(self, cell_id: str, totals: CellSnapshot) -> dict[str, Any]:
        # The slice is read back from the disk: the seal states what is there.
        states = await asyncio.to_thread(slice_digest, self._ledger.folder, cell_id)
        return {
            "cell_id": cell_id,
            "sealed_at": rfc3339(self._clock.wall_ns()),
            "records": states.records,
            **sums(totals),
            "digest": states.digest,
        }


def sums(totals: CellSnapshot) -> dict[str, int | None]:
    """Return a cell's calls and tokens; a sum is null where a call of it was not measured."""
    prompt, completion = totals.prompt_tokens, totals.completion_tokens
    measured = totals.unmeasured_calls == 0
    return {
        "calls": totals.calls,
        "prompt_tokens": prompt if measured else None,
        "completion_tokens": completion if measured else None,
        "total_tokens": prompt + completion if measured else None,
        "unmeasured_calls": totals.unmeasured_calls,
    }
