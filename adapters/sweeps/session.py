"""One session of a sweep: open attempts are recovered, then the missing cells are run."""

import asyncio
import importlib.metadata
import os
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cab.adapters.errors import AdapterError
from cab.adapters.runs.held_keys import key_exposure
from cab.adapters.runs.metering import check_reachable
from cab.adapters.sweeps.budget import own_limits, spend_by_cell
from cab.adapters.sweeps.cancelling import cancel_as_asked
from cab.adapters.sweeps.containers import require_images
from cab.adapters.sweeps.drift import compare_sweeps, require_comparable
from cab.adapters.sweeps.executors.protocol import Executor
from cab.adapters.sweeps.executors.registry import ExecutorContext
from cab.adapters.sweeps.journal import Begin, Close, Journal, Session, read_journal
from cab.adapters.sweeps.lost import lost_calls, lost_results
from cab.adapters.sweeps.matrix import Matrix, Slot
from cab.adapters.sweeps.placement import ExecutorTable
from cab.adapters.sweeps.progress.texts import recovered_line
from cab.adapters.sweeps.recovery import recover
from cab.adapters.sweeps.scheduler import Metering, ProgressListener, Scheduler, SchedulerServices
from cab.adapters.sweeps.state import BUNDLES, FAILED, SweepState, move_to_failed, replay
from cab.adapters.sweeps.sweepfile import SweepFile
from cab.proxy.app import ProxySecrets, running_proxy
from cab.proxy.auth.signing_keys import new_signing_key
from cab.proxy.config import STATE_INSIDE, parse_settings
from cab.proxy.control.client import ControlClient
from cab.proxy.errors import CabProxyError
from cab.scoring.ledger.totals import CallTotals
from cab.scoring.printable import counted

TOKEN = "token"
"""Name of the file with the sweep's token, which marks what it starts on a cluster."""
JOURNAL = "journal.jsonl"
"""Name of the journal in the sweep's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """A sweep that can be started."""

    sweep: SweepFile
    """Its file, with the endpoint filled in."""
    matrix: Matrix
    chosen: frozenset[str]
    """The slots that this session should fill."""
    folder: Path
    """Folder of everything that it writes."""
    ledger: Path
    upstream_key: str | None
    """The endpoint's key; stays with the proxy."""
    seal_key_file: Path | None = None
    """Private key that signs seals, results and the report."""
    prices_file: Path | None = None
    """Table of what models cost."""
    exposed: tuple[str, ...] = ()
    """Words of deviations: where agents can find that key all the same."""
    accept_changes: bool = False
    """Whether to go on although conditions changed that cells depend on."""

    @property
    def journal(self) -> Path:
        """File of the journal."""
        return self.folder / JOURNAL

    def executor_context(self) -> ExecutorContext:
        """Return what the sweep's executor is made from; its token is written into the sweep's folder."""
        return ExecutorContext(
            table=self.sweep.executor,
            folder=self.folder.resolve(),
            token=sweep_token(self.folder),
            jobs=self.sweep.jobs,
            environment=dict(os.environ),
        )

    @property
    def upstream(self) -> str:
        """Base URL of the endpoint, or `demo`."""
        return self.sweep.upstream or ""


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What a session came to."""

    state: SweepState
    spend: CallTotals
    """What it has spent, over all its sessions."""
    not_run: dict[str, str]
    """Slot -> why it was not run; of the slots that were chosen."""
    lost_calls: tuple[str, ...] = ()
    """Cells whose calls are neither in the ledger nor in a bundle: what they cost is not known."""


async def run_session(
    plan: SweepPlan,
    executor: Executor,
    listener: ProgressListener,
    started: Callable[[Scheduler], None],
) -> SessionResult:
    """Run a sweep to its end, or to where it must stop.

    Args:
        plan: The sweep.
        executor: Runs its cells.
        listener: Receives the progress.
        started: Is given the scheduler once cells are about to run, to stop it with.

    Raises:
        AdapterError: The sweep is being run already, its conditions changed, or nothing listens at its
            endpoint.
        CabProxyError: The proxy cannot be run as asked.
    """
    with Journal(plan.journal) as journal:
        state = replay(read_journal(plan.journal))
        _check_drift(plan, state, listener)
        await check_reachable(plan.upstream)
        await _require_images(plan, listener)
        journal.write(_session_entry(plan))
        _add_unknown_bundles(plan, state)
        async with _metering(plan) as metering:
            # The proxy has closed what was open in the ledger when the sweep was killed.
            before, lost = await asyncio.to_thread(_spent_before, plan, state)
            _require_known_spend(plan, lost, listener)
            left = [begin.cell_id for begin in state.open_attempts]
            await executor.end_left(left)
            for end in await recover(state, plan.folder, before, own_limits(plan.sweep.limits)):
                journal.write(end)
                state.apply(end)
                if end.verdict != "complete":
                    listener.message(recovered_line(end))
            _drop_lost_results(plan, state, listener)
            services = SchedulerServices(
                plan.sweep,
                plan.folder,
                journal,
                state,
                executor,
                metering,
                listener,
                plan.matrix.plugins,
                plan.seal_key_file,
            )
            spend, slots = sum(before.values(), CallTotals()), _slots_to_fill(plan, state)
            done = len(plan.chosen & state.complete.keys())
            listener.resumed(done, len(slots), spend, state.wall_s)
            scheduler = Scheduler(services, slots, spend)
            started(scheduler)
            async with _followed(metering, listener), _cancellable(plan.folder, scheduler):
                await scheduler.run()
            await _end_all(executor, listener)
        journal.write(Close(reason=scheduler.halt_reason or "all that could be run was run"))
    not_started = {slot.id: scheduler.halt_reason or "" for slot in scheduler.not_started}
    not_run = {**_left_out(plan), **not_started}
    return SessionResult(state, scheduler.spend, not_run, tuple(lost))


async def _end_all(executor: Executor, listener: ProgressListener) -> None:
    """Leave nothing behind elsewhere, or say what is left."""
    try:
        await executor.end_left(())
    except AdapterError as error:  # all results are there
        listener.message(f"cells have ended, but where they ran this may be left: {error}")


def sweep_token(folder: Path) -> str:
    """Return the token of a sweep's folder, which is made for the first session.

    Raises:
        AdapterError: It cannot be read or written, or is not one.
    """
    file = folder / TOKEN
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            # In one step: a sweep that is killed in between must not leave half of it.
            partial = file.with_name(f".{TOKEN}.{os.getpid()}")
            partial.write_text(f"{secrets.token_hex(6)}\n")
            with suppress(FileExistsError):
                os.link(partial, file)
            partial.unlink()
        token = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AdapterError(f"{file} cannot be used: {error}") from error
    if not token.isalnum():
        raise AdapterError(
            f"{file} holds no token; remove it once no job of this sweep runs any more"
        )
    return token


def last_result(plan: SweepPlan) -> SessionResult:
    """Return what a sweep came to that is not run now.

    Raises:
        BadJournal: Its journal cannot be read.
        BadRecord: Its ledger cannot.
    """
    state = replay(read_journal(plan.journal))
    before, lost_cells = _spent_before(plan, state)
    lost = lost_results(plan.folder, state)
    for slot in lost:
        del state.complete[slot]
    not_started = {
        slot.id: f"{lost[slot.id]}; it will be run again" if slot.id in lost else "not run yet"
        for slot in _slots_to_fill(plan, state)
        if slot.id not in state.unfilled
    }
    spend = sum(before.values(), CallTotals())
    return SessionResult(state, spend, {**_left_out(plan), **not_started}, tuple(lost_cells))


def _left_out(plan: SweepPlan) -> dict[str, str]:
    return {slot: why for slot, why in plan.matrix.left_out.items() if slot in plan.chosen}


def _slots_to_fill(plan: SweepPlan, state: SweepState) -> list[Slot]:
    slots = plan.matrix.slots
    return [each for each in slots if each.id in plan.chosen and each.id not in state.complete]


async def _require_images(plan: SweepPlan, listener: ProgressListener) -> None:
    """Make sure that cells in containers of this machine find their images."""
    sweep, matrix = plan.sweep, plan.matrix
    if (
        matrix.in_containers and sweep.executor.kind == ExecutorTable().kind
    ):  # on nodes they find their own
        for name in await require_images(sweep.container, matrix.by_name, matrix.tasks):
            listener.message(f"{name}, which a killed sweep had left, was removed")


def _check_drift(plan: SweepPlan, state: SweepState, listener: ProgressListener) -> None:
    last = state.last_session
    if last is None:
        return
    now = _session_entry(plan)
    drift = compare_sweeps(last.sweep, now.sweep, last.fingerprints, now.fingerprints)
    if not plan.accept_changes:
        require_comparable(drift.breaking, plan.sweep.name)
    for line in (*drift.breaking, *drift.harmless):
        listener.message(f"the sweep file has changed: {line}")
    known = {slot.id for slot in plan.matrix.slots} | plan.matrix.left_out.keys()
    removed = state.complete.keys() - known
    if removed:
        listener.message(
            f"{counted(len(removed), 'cell is', 'cells are')} no longer part of the sweep; what was run stays, and is not reported"
        )


def _session_entry(plan: SweepPlan) -> Session:
    return Session(
        sweep=plan.sweep.model_dump(mode="json"),
        fingerprints=plan.matrix.fingerprints,
        cab_version=importlib.metadata.version("coding-agent-bench"),
    )


def _add_unknown_bundles(plan: SweepPlan, state: SweepState) -> None:
    """Add bundles that the journal does not know, as open attempts: it may have been lost."""
    known = {*state.complete, *state.unfilled, *(each.slot for each in state.open_attempts)}
    # A retry may have the number of a run that was added later; its bundle fills one slot only.
    known |= {*state.complete.values(), *(each.cell_id for each in state.open_attempts)}
    for slot in plan.matrix.slots:
        if slot.id not in known and (plan.folder / BUNDLES / slot.id).is_dir():
            state.apply(Begin(slot=slot.id, cell_id=slot.id))


def _spent_before(plan: SweepPlan, state: SweepState) -> tuple[dict[str, CallTotals], list[str]]:
    """Return what the sweep's cells have spent, whatever came of them, and of which that is not known.

    The numbers of their runs are taken.
    """
    prefix = f"{plan.sweep.name}/"
    cells = {
        name: spend for name, spend in spend_by_cell(plan.ledger).items() if name.startswith(prefix)
    }
    state.reserve_numbers(cells)
    found, lost = lost_calls(plan.folder, state, cells)
    return {**cells, **found}, lost


def _require_known_spend(plan: SweepPlan, lost: list[str], listener: ProgressListener) -> None:
    """Make sure that it is known what is left of the budget.

    Raises:
        AdapterError: It is not, and nobody said to go on.
    """
    if not lost:
        return
    budget = plan.sweep.budget
    what = f"the ledger {plan.ledger} has no calls of {counted(len(lost), 'cell')} that ran, {lost[0]} among them"
    bounded = any(part is not None for part in (budget.tokens, budget.calls, budget.usd))
    if bounded and not plan.accept_changes:
        raise AdapterError(
            f"{what}: what is left of the budget is not known; bring the ledger back, or go on with "
            "--accept-changes, which counts those cells as free"
        )
    listener.message(f"{what}: what they cost is not known")


def _drop_lost_results(plan: SweepPlan, state: SweepState, listener: ProgressListener) -> None:
    """Forget results whose bundle was removed or damaged: they are run again."""
    for slot, why in lost_results(plan.folder, state).items():
        cell_id = state.complete.pop(slot)
        moved = move_to_failed(plan.folder, cell_id)
        where = f" and is now in {FAILED}/" if moved else ""
        listener.message(f"{cell_id} is run again: {why}{where}")


@asynccontextmanager
async def _metering(plan: SweepPlan) -> AsyncGenerator[Metering]:
    table = plan.sweep.executor
    values = {
        "upstream": plan.upstream,
        "port": table.port,
        "ledger": plan.ledger,
        "state": plan.ledger / STATE_INSIDE,
        "auth": "keys",
        "seal_key_file": plan.seal_key_file,
        "capture": plan.sweep.capture or "off",
        "prices_file": plan.prices_file,
        "provider": plan.sweep.provider,
    }
    if table.listen:
        values |= {"host": table.listen, "allowed_hosts": [table.reach] if table.reach else []}
    settings = parse_settings(values, "sweep")
    # New ones for each session: keys that a killed one gave out are not valid any more.
    admin_token = secrets.token_urlsafe(32)
    keys: ProxySecrets = {
        "upstream_key": plan.upstream_key,
        "signing_key": new_signing_key(),
        "admin_token": admin_token,
    }
    async with running_proxy(settings, **keys) as proxy:

        async def states() -> AsyncGenerator[dict[str, Any]]:
            async with (
                ControlClient(proxy.control_url, admin_token) as control,
                aclosing(control.states()) as found,
            ):
                async for state in found:
                    yield state

        async def revoke(cell_id: str) -> None:
            async with ControlClient(proxy.control_url, admin_token) as control:
                await control.revoke(cell_id=cell_id)

        url = with_host(proxy.url, table.reach) if table.reach else proxy.url
        exposed = (*plan.exposed, *key_exposure(plan.upstream_key))
        yield Metering(url, proxy.mint_keys, plan.ledger, exposed, states, revoke)


def with_host(url: str, host: str) -> str:
    """Return a URL with another host, and the same port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{parts.port}"


@asynccontextmanager
async def _cancellable(folder: Path, scheduler: Scheduler) -> AsyncGenerator[None]:
    """End cells that somebody asks to end while the block runs."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(cancel_as_asked(folder, scheduler.cancel))
        yield
        task.cancel()


@asynccontextmanager
async def _followed(metering: Metering, listener: ProgressListener) -> AsyncGenerator[None]:
    """Tell a listener that wants it what the proxy does."""
    if metering.states is None or not listener.follows:
        yield
        return
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_follow(metering.states(), listener))
        yield
        task.cancel()


async def _follow(states: AsyncGenerator[dict[str, Any]], listener: ProgressListener) -> None:
    # Without a view the sweep goes on all the same.
    with suppress(CabProxyError):
        async with aclosing(states):
            async for state in states:
                listener.state(state)
    listener.state(None)
