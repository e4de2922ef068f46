"""Runs one agent under one probe: fake endpoint, proxy, agent, and a look at everything they left."""

import os
import signal
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import AsyncExitStack, contextmanager, redirect_stderr, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from cab.adapters.doctor.evidence import Evidence, LedgerEvidence
from cab.adapters.doctor.isolation.dns import name_server
from cab.adapters.doctor.isolation.overlay import Overlay
from cab.adapters.doctor.isolation.traffic import watch_traffic
from cab.adapters.doctor.leaks.finder import SecretFinder
from cab.adapters.doctor.leaks.process_watch import watch_processes
from cab.adapters.doctor.leaks.search import RunTraces, find_leaks, secrets_to_find
from cab.adapters.doctor.ledger_evidence import read_ledger_evidence
from cab.adapters.doctor.probes import DoctorProbe
from cab.adapters.processes.background import in_background
from cab.adapters.runs.agent_run import AgentRun, AgentRunner, exit_code, local_sandbox
from cab.adapters.runs.metering import DEMO, Meter
from cab.adapters.runs.spec import CellPlan, CellSpec, plan_cell
from cab.adapters.runs.workspace import scratch_places
from cab.adapters.sandboxes.environment import Places
from cab.adapters.tasks.check_process import HostChecks
from cab.adapters.tasks.checks import run_checks
from cab.adapters.workspaces.tree import walk_tree
from cab.proxy.app import Proxy, running_proxy
from cab.proxy.auth.signing_keys import new_signing_key
from cab.proxy.config import STATE_INSIDE, parse_settings
from cab.proxy.demo import Demo, running_demo
from cab.proxy.logs import configure_logs
from cab.scoring.evidence.globs import matches
from cab.scoring.evidence.manifest import diff_trees

MODEL = "doctor-model"
"""The model of all calls; no agent knows the name, so that none treats it in a special way."""
_KEY_TTL_S = 3600
_EXACT = ", exact"
"""In an adapter's `token_report`, after where it is: the agent counts exactly where nothing goes wrong."""


class ExamineRequest(NamedTuple):
    """What is to be examined."""

    agent: str
    """As `load_adapter` knows it; it is installed."""
    dialect: str | None
    """The endpoint that it is to call; None is the first that it speaks."""
    limit_s: float
    """Seconds after which a run of it is stopped."""


class _Endpoint(NamedTuple):
    demo: Demo
    proxy: Proxy
    meter: Meter
    ledger: Path
    real_key: str


async def examine(request: ExamineRequest, probe: DoctorProbe, overlay: Overlay | None) -> Evidence:
    """Return what one run of an agent shows.

    Args:
        request: What is to be examined.
        probe: What the endpoint does.
        overlay: The folders around the run, where this process has namespaces of its own.

    Raises:
        AdapterError: The agent cannot be run at all.
    """
    own = Path(tempfile.gettempdir())
    async with AsyncExitStack() as stack:
        hosts = await _watch_hosts(stack, overlay)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cab-doctor-")))
        stack.enter_context(_proxy_log(folder / "proxy.log"))
        plan = plan_cell(_spec(request, probe, folder))
        endpoint = await _endpoint(stack, folder, probe, str(plan.cell))
        places = stack.enter_context(scratch_places(f"doctor-{plan.name}", keep=False))
        secrets = secrets_to_find(endpoint.real_key, endpoint.meter.key)
        before = set(overlay.written(own)) if overlay else set[str]()
        # The output is searched for keys, so nothing is redacted.
        finder = SecretFinder(secrets)
        async with watch_processes(secrets) as watch:
            run = await AgentRunner(plan, endpoint.meter, places, finder, local_sandbox(plan)).run()
        outlived = watch.running()
        written = tuple(sorted({*overlay.written(own)} - before)) if overlay else None
        for pid in outlived:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        all_closed = await endpoint.proxy.quiet(request.limit_s)
        traces = RunTraces(places, run, watch, finder, overlay, folder, own)
        return Evidence(
            probe=probe.name,
            model=MODEL,
            leaks=await in_background(lambda _: find_leaks(traces, secrets)),
            **dict(_ledger_evidence(endpoint, str(plan.cell), all_closed=all_closed)),
            **await _agent_evidence(plan, run, places),
            hosts=dict(hosts),
            isolated=overlay is not None,
            elsewhere=written,
            not_covered=overlay.not_covered if overlay else (),
            outlived=len(outlived),
        )


async def _watch_hosts(stack: AsyncExitStack, overlay: Overlay | None) -> Counter[str]:
    """Return the hosts that the agent tries to reach; stays empty without a network of its own."""
    if overlay is None:
        return Counter()
    hosts = await stack.enter_async_context(name_server())
    await stack.enter_async_context(watch_traffic(hosts))
    return hosts


@contextmanager
def _proxy_log(path: Path) -> Generator[None]:
    """Have the proxy log all that it can, into a file that is searched for keys."""
    with path.open("w", encoding="utf-8") as log, redirect_stderr(log):
        configure_logs("debug", "json")
        try:
            yield
        finally:
            configure_logs("critical", "json")


def _spec(request: ExamineRequest, probe: DoctorProbe, folder: Path) -> CellSpec:
    return CellSpec(
        tui=request.agent,
        dialect=request.dialect,
        model=MODEL,
        task=probe.task,
        upstream=DEMO,
        runs=folder / "runs",
        sweep="doctor",
        timeout_s=request.limit_s,
    )


async def _endpoint(
    stack: AsyncExitStack, folder: Path, probe: DoctorProbe, cell_id: str
) -> _Endpoint:
    """Start endpoint and proxy; the proxy alone holds the endpoint's key."""
    ledger = folder / "ledger"
    demo = await stack.enter_async_context(running_demo(fault_mode=probe.fault_mode))
    values = {"upstream": demo.url, "port": 0, "ledger": ledger, "auth": "keys"}
    values["state"] = ledger / STATE_INSIDE
    real_key = f"sk-canary-{token_hex(24)}"
    proxy = await stack.enter_async_context(
        running_proxy(
            parse_settings(values, "doctor"),
            upstream_key=real_key,
            signing_key=new_signing_key(),
        )
    )
    keys = proxy.mint_keys(cell_id, _KEY_TTL_S, probe.limits)
    meter = Meter(proxy.url, proxy.control_url, cell_id, *keys, demo)
    return _Endpoint(demo, proxy, meter, ledger, real_key)


def _ledger_evidence(endpoint: _Endpoint, cell_id: str, *, all_closed: bool) -> LedgerEvidence:
    found = read_ledger_evidence(
        endpoint.ledger, cell_id, endpoint.demo.account(), endpoint.real_key
    )
    if all_closed:
        return found
    still_open = "calls were still open when ledger and account were compared"
    return found.model_copy(update={"differences": (*found.differences, still_open)})


async def _agent_evidence(plan: CellPlan, run: AgentRun, places: Places) -> dict[str, Any]:
    facts = plan.adapter.facts
    check = await run_checks(
        plan.task,
        places.workdir,
        same=run.folder,
        site=HostChecks(plan.spec.limits.rlimits),
        scratch=facts.scratch,
    )
    cleanup = [span for span in run.spans if span.kind == "cleanup"]
    return {
        "dialect": plan.dialect or facts.dialects[0],
        "exit_code": exit_code(run.exit),
        "timed_out": run.exit.timed_out,
        "duration_ms": run.exit.duration_ms,
        "passed": check.passed,
        "own": run.self_reported,
        "own_promised": _EXACT in (facts.token_report or ""),
        "unreadable": run.unreadable,
        "undeclared": tuple(_undeclared(plan, run, places)),
        "left_running": sum(int(str(span.attrs.get("left_running", 0))) for span in cleanup),
    }


def _undeclared(plan: CellPlan, run: AgentRun, places: Places) -> Iterator[str]:
    """Yield the files that neither the task expects nor the adapter declares as scratch."""
    task = plan.task
    known = [*task.expected_changes, *task.scratch_files, *plan.adapter.facts.scratch]
    for path in diff_trees(run.before, walk_tree(places.workdir, same=run.folder)).changed:
        if not matches(path, known):
            yield path
