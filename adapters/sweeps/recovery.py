"""Closes the attempts that a killed sweep left open: the journal does not say how they ended."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from cab.adapters.errors import AdapterError
from cab.adapters.processes.cleanup import clean_up
from cab.adapters.runs.bundle import MARKER, is_complete, read_marker
from cab.adapters.sweeps.classify import Classification, classify
from cab.adapters.sweeps.executors.worker import outcome_of
from cab.adapters.sweeps.journal import Begin, End
from cab.adapters.sweeps.state import BUNDLES, SweepState, close_attempt
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.ledger.file_lock import lock_file
from cab.scoring.ledger.totals import CallTotals

WAIT_S = 90.0
"""The process of a cell may take this long to end its agent after its sweep was killed."""
_POLL_S = 0.1


async def recover(
    state: SweepState,
    folder: Path,
    spends: Mapping[str, CallTotals],
    cell_limits: KeyLimits,
    wait_s: float = WAIT_S,
) -> list[End]:
    """Return how the open attempts ended; the bundles of those without a result are moved away.

    Args:
        state: The sweep's.
        folder: Its folder.
        spends: What each cell has spent, as the ledger says.
        cell_limits: What each cell was allowed.
        wait_s: How long to wait for the processes of the killed sweep, all of them together: they end at the
            same time, so that a thousand of them need no longer than one.

    Raises:
        AdapterError: Such a process still writes a bundle.
    """
    until_s = asyncio.get_running_loop().time() + wait_s
    return [
        await _recover_one(
            begin, folder, spends.get(begin.cell_id, CallTotals()), cell_limits, until_s
        )
        for begin in state.open_attempts
    ]


async def _recover_one(
    begin: Begin, folder: Path, spend: CallTotals, cell_limits: KeyLimits, until_s: float
) -> End:
    bundle = folder / BUNDLES / begin.cell_id
    await _wait_for_lock(bundle, until_s)
    marker = read_marker(bundle)
    if marker is not None:
        await clean_up(marker.cleanup)
    found, passed = Classification("killed", "it was running when the sweep was killed"), None
    if is_complete(bundle):
        # Killed between the bundle's last file and the journal's line.
        outcome = await asyncio.to_thread(outcome_of, bundle)
        found, passed = classify(outcome, spend, cell_limits, None), outcome.passed
    return close_attempt(folder, begin, found, spend, passed=passed)


async def _wait_for_lock(bundle: Path, until_s: float) -> None:
    """Wait until no process writes a bundle: that of a killed sweep ends its agent first."""
    try:
        async with asyncio.timeout_at(until_s):
            while _is_locked(bundle / MARKER):  # noqa: ASYNC110 - no event comes from another process's lock
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise AdapterError(
            f"{bundle} is still being written by a process of the killed sweep; end that process, "
            "then run the sweep again"
        ) from error


def _is_locked(marker: Path) -> bool:
    try:
        with marker.open("rb") as handle:
            return not lock_file(handle)
    except FileNotFoundError:
        return False
