"""Runs one agent under one probe: fake endpoint, proxy, agent, and a look at everything they left."""

import asyncio
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager, redirect_stderr, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from cab.adapters.agents.base import Adapter, Output
from cab.adapters.doctor.evidence import Evidence
from cab.adapters.doctor.isolation.dns import name_server
from cab.adapters.doctor.isolation.overlay import Overlay
from cab.adapters.doctor.isolation.traffic import overheard
from cab.adapters.doctor.leaks.finder import Finder
from cab.adapters.doctor.leaks.process_watch import watched
from cab.adapters.doctor.leaks.search import LeakSearchResult, leaks_of, sought
from cab.adapters.doctor.ledger_evidence import read_wire
from cab.adapters.doctor.probes import DoctorProbe
from cab.adapters.errors import BadSelfReport
from cab.adapters.runs.agent_run import AgentRun, AgentRunner, exit_code
from cab.adapters.runs.metering import DEMO, Meter
from cab.adapters.runs.spec import CellPlan, CellSpec, plan_cell
from cab.adapters.runs.workspace import scratch_places
from cab.adapters.sandboxes.environment import Places
from cab.adapters.tasks.checks import run_checks
from cab.adapters.workspaces.tree import walk_tree
from cab.proxy.app import Proxy, running_proxy
from cab.proxy.auth.signing_keys import new_signing_key
from cab.proxy.config import parse_settings
from cab.proxy.demo import Demo, running_demo
from cab.proxy.logs import configure_logs
from cab.scoring.cells.cell import SelfReport
from cab.scoring.evidence.manifest import diff_trees
from cab.scoring.globs import matches

TASK = "polyglot/python-error-handling"
"""What agents are asked to do: one file to mend."""
MODEL = "doctor-model"
"""What all calls must ask for; no agent knows the name, so that none has special ways with it."""
_KEY_TTL_S = 3600
_EXACT = ", exact"
"""In an adapter's `token_report`, after where it is: the agent counts exactly where nothing goes wrong."""


class _Room(NamedTuple):
    """What stands around one run."""

    demo: Demo
    proxy: Proxy
    meter: Meter
    ledger: Path
    real_key: str


class Order(NamedTuple):
    """What is to be examined."""

    agent: str
    """As `load_adapter` knows it; it is installed."""
    dialect: str | None
    """The endpoint that it is to call; None is the first that it speaks."""
    limit_s: float
    """Seconds after which a run of it is stopped."""


async def examine(order: Order, probe: DoctorProbe, elsewhere: Overlay | None) -> Evidence:
    """Return what one run of an agent shows.

    Args:
        order: What is wanted.
        probe: What the endpoint does.
        elsewhere: The folders around the run, where this process has namespaces of its own.

    Raises:
        AdapterError: The agent cannot be run at all.
    """
    own = Path(tempfile.gettempdir())
    async with AsyncExitStack() as stack:
        hosts = await _listening(stack, elsewhere)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cab-doctor-")))
        stack.enter_context(_logged(folder / "proxy.log"))
        plan = plan_cell(_spec(order, folder))
        room = await _room(stack, folder, probe, str(plan.cell))
        places = stack.enter_context(scratch_places(f"doctor-{plan.name}", keep=False))
        secrets = sought(room.real_key, room.meter.key)
        before = set(elsewhere.written(own)) if elsewhere else set[str]()
        # What the agent prints is searched for keys, so nothing is masked.
        finder = Finder(secrets)
        async with watched(secrets) as watch:
            run = await AgentRunner(plan, room.meter, places, finder).run()
        outlived = watch.alive()
        written = tuple(sorted({*elsewhere.written(own)} - before)) if elsewhere else None
        _end(outlived)
        quiet = await room.proxy.quiet(order.limit_s)
        found = LeakSearchResult(places, run, watch, finder, elsewhere, folder, own)
        return Evidence(
            probe=probe.name,
            model=MODEL,
            leaks=await asyncio.to_thread(leaks_of, found, secrets),
            **_on_the_wire(room, str(plan.cell), quiet=quiet),
            **await _of_the_agent(plan, run, places),
            hosts=dict(hosts),
            isolated=elsewhere is not None,
            elsewhere=written,
            not_covered=elsewhere.unseen if elsewhere else (),
            outlived=len(outlived),
        )


def _on_the_wire(room: _Room, cell_id: str, *, quiet: bool) -> dict[str, Any]:
    """Return what the evidence has from ledger and account."""
    wire = read_wire(room.ledger, cell_id, room.demo.account(), room.real_key)._asdict()
    if not quiet:
        wire["differences"] += ("calls were still open when ledger and account were compared",)
    return wire


async def _of_the_agent(plan: CellPlan, run: AgentRun, places: Places) -> dict[str, Any]:
    """Return what the evidence has from the agent itself and from what it left."""
    facts = plan.adapter.facts
    check = await run_checks(plan.task, places.workdir, scratch=facts.scratch)
    own, unreadable = _own_report(plan.adapter, run, places)
    return {
        "dialect": plan.dialect or facts.dialects[0],
        "exit_code": exit_code(run.exit),
        "timed_out": run.exit.timed_out,
        "duration_ms": run.exit.duration_ms,
        "passed": check.passed,
        "own": own,
        "own_promised": _EXACT in (facts.token_report or ""),
        "unreadable": unreadable,
        "undeclared": tuple(_undeclared(plan, run, places)),
        "left_running": _left_running(run),
    }


async def _listening(stack: AsyncExitStack, elsewhere: Overlay | None) -> Counter[str]:
    """Return whom the agent tries to reach; stays empty without a network of its own."""
    if elsewhere is None:
        return Counter()
    asked = await stack.enter_async_context(name_server())
    await stack.enter_async_context(overheard(asked))
    return asked


@contextmanager
def _logged(path: Path) -> Generator[None]:
    """Have the proxy log all that it can, into a file that is searched for keys."""
    with path.open("w", encoding="utf-8") as log, redirect_stderr(log):
        configure_logs("debug", "json")
        try:
            yield
        finally:
            configure_logs("critical", "json")


def _end(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _spec(order: Order, folder: Path) -> CellSpec:
    return CellSpec(
        tui=order.agent,
        dialect=order.dialect,
        model=MODEL,
        task=TASK,
        upstream=DEMO,
        runs=folder / "runs",
        sweep="doctor",
        timeout_s=order.limit_s,
    )


async def _room(stack: AsyncExitStack, folder: Path, probe: DoctorProbe, cell_id: str) -> _Room:
    """Put endpoint and proxy up; the proxy alone holds the endpoint's key."""
    ledger = folder / "ledger"
    demo = await stack.enter_async_context(running_demo(fault_mode=probe.fault_mode))
    values = {"upstream": demo.url, "port": 0, "ledger": ledger, "auth": "keys"}
    real_key = f"sk-canary-{token_hex(24)}"
    proxy = await stack.enter_async_context(
        running_proxy(
            parse_settings(values, "doctor"),
            upstream_key=real_key,
            signing_key=new_signing_key(),
        )
    )
    key = proxy.mint_key(cell_id, _KEY_TTL_S, probe.limits)
    return _Room(
        demo, proxy, Meter(proxy.url, proxy.control_url, cell_id, key, demo), ledger, real_key
    )


def _own_report(
    adapter: Adapter, run: AgentRun, places: Places
) -> tuple[SelfReport | None, str | None]:
    out, err = run.stdout.decode(errors="replace"), run.stderr.decode(errors="replace")
    try:
        return adapter.self_report(Output(out, err, places.home)), None
    except BadSelfReport as error:
        return None, str(error)


def _undeclared(plan: CellPlan, run: AgentRun, places: Places) -> Iterator[str]:
    """Yield what the agent left behind that is neither asked for nor known to be its scratch."""
    task = plan.task
    known = [*task.expected_changes, *task.scratch_files, *plan.adapter.facts.scratch]
    for path in diff_trees(run.before, walk_tree(places.workdir)).changed:
        if not matches(path, known):
            yield path


def _left_running(run: AgentRun) -> int:
    cleanup = [span for span in run.spans if span.kind == "cleanup"]
    return sum(int(str(span.attrs.get("left_running", 0))) for span in cleanup)
