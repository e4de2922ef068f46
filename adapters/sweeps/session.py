"""One sitting of a sweep, from its file to the last cell: what was left is settled, then it goes on."""

import asyncio
import importlib.metadata
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cab.adapters.runs.metering import check_reachable
from cab.adapters.sweeps.budget import own_limits, spend_by_cell
from cab.adapters.sweeps.drift import compare_sweeps, require_comparable
from cab.adapters.sweeps.engine import Metering, ProgressListener, Scheduler, SchedulerServices
from cab.adapters.sweeps.executor import Executor
from cab.adapters.sweeps.journal import Begin, Close, Journal, Session, read_journal
from cab.adapters.sweeps.matrix import Matrix, Slot
from cab.adapters.sweeps.recovery import settle
from cab.adapters.sweeps.state import BUNDLES, SweepState, stand
from cab.adapters.sweeps.sweepfile import SweepFile
from cab.proxy.app import running_proxy
from cab.proxy.auth.signing_keys import new_signing_key
from cab.proxy.config import parse_settings
from cab.scoring.ledger.totals import CallTotals

JOURNAL = "journal.jsonl"
"""The sweep's memory, in its folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """A sweep that can be started."""

    sweep: SweepFile
    """Its file, the endpoint filled in."""
    matrix: Matrix
    chosen: frozenset[str]
    """The slots that are asked for in this sitting."""
    folder: Path
    """All that it makes lies there."""
    ledger: Path
    """Its audit log."""
    upstream_key: str | None
    """The endpoint's key; stays with the proxy."""
    accept_changes: bool = False
    """Whether cells from before and after a change of conditions may stand side by side."""

    @property
    def journal(self) -> Path:
        """File of the journal."""
        return self.folder / JOURNAL

    @property
    def upstream(self) -> str:
        """Base URL of the endpoint, or `demo`."""
        return self.sweep.upstream or ""


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What a sitting came to."""

    standing: SweepState
    """Where the sweep stands now."""
    spend: CallTotals
    """What it has spent, over all its sittings."""
    not_run: dict[str, str]
    """Slot -> why nobody filled it; those that were not chosen are no part of it."""


async def run_session(
    plan: SweepPlan,
    executor: Executor,
    watcher: ProgressListener,
    started: Callable[[Scheduler], None],
) -> SessionResult:
    """Run a sweep to its end, or to where it must stop.

    Args:
        plan: The sweep.
        executor: Runs its cells.
        watcher: Is told how it goes.
        started: Is given the engine once cells are about to run, to stop it with.

    Raises:
        AdapterError: The sweep is being run already, its conditions changed, or nothing listens at its
            endpoint.
        CabProxyError: The proxy cannot be run as asked.
    """
    with Journal(plan.journal) as journal:
        standing = stand(read_journal(plan.journal))
        _tell_changes(plan, standing, watcher)
        await check_reachable(plan.upstream)
        journal.write(_sitting(plan))
        _adopt(plan, standing)
        async with _metering(plan) as metering:
            # The proxy has closed what was open in the ledger when the sweep was killed.
            before = await asyncio.to_thread(_spent_before, plan, standing)
            for end in await settle(standing, plan.folder, before, own_limits(plan.sweep.limits)):
                journal.write(end)
                standing.take(end)
                if end.verdict != "complete":
                    watcher.noted(f"{end.cell_id}: {end.reason}; it is put apart")
            _drop_lost(plan, standing, watcher)
            spend = sum(before.values(), CallTotals())
            parts = SchedulerServices(
                plan.sweep,
                plan.folder,
                journal,
                standing,
                executor,
                metering,
                watcher,
                plan.matrix.plugins,
            )
            engine = Scheduler(parts, _open_slots(plan, standing), spend)
            started(engine)
            await engine.run()
        journal.write(Close(reason=engine.cut or "all that could be run was run"))
    waiting = {slot.id: engine.cut or "" for slot in engine.waiting}
    return SessionResult(standing, engine.spend, {**_left_out(plan), **waiting})


def last_ending(plan: SweepPlan) -> SessionResult:
    """Return where a sweep stands that is not run now.

    Raises:
        BadJournal: Its journal cannot be read.
        BadRecord: Its ledger cannot.
    """
    standing = stand(read_journal(plan.journal))
    spend = sum(_spent_before(plan, standing).values(), CallTotals())
    waiting = {
        slot.id: "not run yet"
        for slot in _open_slots(plan, standing)
        if slot.id not in standing.unfilled
    }
    return SessionResult(standing, spend, {**_left_out(plan), **waiting})


def _left_out(plan: SweepPlan) -> dict[str, str]:
    return {slot: why for slot, why in plan.matrix.left_out.items() if slot in plan.chosen}


def _open_slots(plan: SweepPlan, standing: SweepState) -> list[Slot]:
    slots = plan.matrix.slots
    return [each for each in slots if each.id in plan.chosen and each.id not in standing.complete]


def _tell_changes(plan: SweepPlan, standing: SweepState, watcher: ProgressListener) -> None:
    last = standing.last_sitting
    if last is None:
        return
    now = _sitting(plan)
    changes = compare_sweeps(last.sweep, now.sweep, last.made_of, now.made_of)
    if not plan.accept_changes:
        require_comparable(changes.breaking, plan.sweep.name)
    for line in (*changes.breaking, *changes.harmless):
        watcher.noted(f"the sweep file changed since: {line}")
    known = {slot.id for slot in plan.matrix.slots} | plan.matrix.left_out.keys()
    gone = standing.complete.keys() - known
    if gone:
        watcher.noted(
            f"{len(gone)} cells are no part of it any more; they stay, and are not reported"
        )


def _sitting(plan: SweepPlan) -> Session:
    return Session(
        sweep=plan.sweep.model_dump(mode="json"),
        made_of=plan.matrix.made_of,
        cab_version=importlib.metadata.version("coding-agent-bench"),
    )


def _adopt(plan: SweepPlan, standing: SweepState) -> None:
    """Look at bundles that the journal does not know: it may have been lost."""
    known = {*standing.complete, *standing.unfilled, *(each.slot for each in standing.left_open)}
    # A retry may have the number of a run that was added later; its bundle fills one slot only.
    known |= {*standing.complete.values(), *(each.cell_id for each in standing.left_open)}
    for slot in plan.matrix.slots:
        if slot.id not in known and (plan.folder / BUNDLES / slot.id).is_dir():
            standing.take(Begin(slot=slot.id, cell_id=slot.id))


def _spent_before(plan: SweepPlan, standing: SweepState) -> dict[str, CallTotals]:
    """Return what the sweep's cells have spent, whatever came of them; their numbers are taken."""
    prefix = f"{plan.sweep.name}/"
    cells = {
        name: spend for name, spend in spend_by_cell(plan.ledger).items() if name.startswith(prefix)
    }
    standing.count(cells)
    return cells


def _drop_lost(plan: SweepPlan, standing: SweepState, watcher: ProgressListener) -> None:
    """Forget results whose bundle somebody took away: they are run again."""
    for slot, cell_id in list(standing.complete.items()):
        if not (plan.folder / BUNDLES / cell_id).is_dir():
            del standing.complete[slot]
            watcher.noted(f"the bundle of {cell_id} is gone; it is run again")


@asynccontextmanager
async def _metering(plan: SweepPlan) -> AsyncGenerator[Metering]:
    values = {"upstream": plan.upstream, "port": 0, "ledger": plan.ledger, "auth": "keys"}
    settings = parse_settings(values, "sweep")
    # A key of this sitting only: what a killed one handed out is worth nothing any more.
    async with running_proxy(
        settings, upstream_key=plan.upstream_key, signing_key=new_signing_key()
    ) as proxy:
        yield Metering(proxy.url, proxy.mint_key, plan.ledger)
