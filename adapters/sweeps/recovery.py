"""Settles what a killed sweep left open: attempts of which nobody wrote down how they ended."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from cab.adapters.errors import AdapterError
from cab.adapters.processes.cleanup import clean_up
from cab.adapters.runs.bundle import MARKER, is_complete, read_marker
from cab.adapters.sweeps.classify import Classification, classify
from cab.adapters.sweeps.journal import Begin, End
from cab.adapters.sweeps.state import BUNDLES, SweepState, put_apart
from cab.adapters.sweeps.worker import outcome_of
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.file_lock import lock_file
from cab.scoring.ledger.totals import CallTotals

WAIT_S = 90.0
"""The process of a cell may take this long to end its agent after its sweep was killed."""
_POLL_S = 0.1


async def settle(
    standing: SweepState,
    folder: Path,
    spends: Mapping[str, CallTotals],
    own: KeyLimits,
    wait_s: float = WAIT_S,
) -> list[End]:
    """Return how the attempts ended that were left open, and put what is no result apart.

    Args:
        standing: The sweep.
        folder: Its folder.
        spends: What each cell has spent, as the ledger says.
        own: What each cell was allowed.
        wait_s: How long to wait for a process of the killed sweep.

    Raises:
        AdapterError: Such a process still writes a bundle.
    """
    return [await _ended(begun, folder, spends, own, wait_s) for begun in standing.left_open]


async def _ended(
    begun: Begin, folder: Path, spends: Mapping[str, CallTotals], own: KeyLimits, wait_s: float
) -> End:
    bundle, spend = folder / BUNDLES / begun.cell_id, spends.get(begun.cell_id, CallTotals())
    await _released(bundle, wait_s)
    marker = read_marker(bundle)
    if marker is not None:
        await clean_up(marker.leftovers)
    found, passed = Classification("killed", "it ran when the sweep was killed"), None
    if is_complete(bundle):
        # Killed between the bundle's last file and the journal's line.
        outcome = await asyncio.to_thread(outcome_of, bundle)
        found, passed = classify(outcome, spend, own, None), outcome.passed
    place = f"{BUNDLES}/{begun.cell_id}"
    return End(
        slot=begun.slot,
        cell_id=begun.cell_id,
        verdict=found.verdict,
        reason=found.reason,
        bundle=place if found.verdict == "complete" else put_apart(folder, begun.cell_id),
        passed=passed,
        calls=spend.calls,
        tokens=spend.tokens.total.value,
    )


async def _released(bundle: Path, wait_s: float) -> None:
    """Wait until no process writes a bundle: that of a killed sweep ends its agent first."""
    marker = bundle / MARKER
    try:
        async with asyncio.timeout(wait_s):
            while not _is_free(marker):  # noqa: ASYNC110 - another process's lock tells nobody
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise AdapterError(
            f"{bundle} is still being written by a process of the killed sweep; end it, then go on"
        ) from error


def _is_free(marker: Path) -> bool:
    try:
        with marker.open("rb") as handle:
            return lock_file(handle)
    except FileNotFoundError:
        return True
