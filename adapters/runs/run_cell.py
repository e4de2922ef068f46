"""Runs one cell: agent, proxy, hidden checks and scorer, brought together into a bundle."""

import asyncio
import importlib.metadata
import secrets
import shutil
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import orjson

from cab.adapters.output.places import (
    evidence,
    output_without_places,
    patch_without_places,
    recording_without_places,
)
from cab.adapters.processes.background import in_background
from cab.adapters.processes.cleanup import clean_up
from cab.adapters.processes.scratch import scratch_folder
from cab.adapters.runs.agent_run import (
    AgentRun,
    AgentRunner,
    exit_code,
    lay_workspace,
    local_sandbox,
)
from cab.adapters.runs.bundle import (
    ACCOUNT_FILE,
    LEDGER_FOLDER,
    PATCH_FILE,
    RECORDING_FILE,
    SEAL_FILE,
    STDERR_FILE,
    BundleWriter,
    Claim,
    claim_bundle,
)
from cab.adapters.runs.captured import take_capture
from cab.adapters.runs.conditions import read_conditions, read_load
from cab.adapters.runs.held_keys import key_exposure
from cab.adapters.runs.inside.session import inside
from cab.adapters.runs.inside.surroundings import inside_surroundings
from cab.adapters.runs.metering import Meter, check_reachable, embedded_meter, given_meter
from cab.adapters.runs.spec import CellPlan, CellSpec, plan_cell
from cab.adapters.runs.workspace import scratch_places
from cab.adapters.sandboxes.base import Sandbox, SandboxFacts
from cab.adapters.sandboxes.docker import docker_sandbox
from cab.adapters.sandboxes.environment import Places
from cab.adapters.sandboxes.relay import relayed
from cab.adapters.tasks.check_process import CheckSite, HostChecks
from cab.adapters.tasks.checks import run_checks
from cab.adapters.tasks.reference import confirmed
from cab.adapters.workspaces.bounds import TIME
from cab.adapters.workspaces.patch import make_patch
from cab.adapters.workspaces.tree import walk_tree
from cab.proxy.auth.signing_keys import secret_texts
from cab.proxy.config import STATE_INSIDE
from cab.proxy.control.sealing import seal_key_from
from cab.proxy.redaction import Redactor
from cab.scoring.axes.blast_radius import scratch_of
from cab.scoring.cells.bundle import (
    AFTER_FILE,
    BEFORE_FILE,
    CALLS_FILE,
    CELL_FILE,
    STDOUT_FILE,
    read_bundle,
    score_bundle,
)
from cab.scoring.cells.cell import CellFacts, Conditions, Identity, Timing, dump_cell
from cab.scoring.cells.result_record import RESULT_FILE, result_record
from cab.scoring.evidence.check_outcome import CheckOutcome
from cab.scoring.evidence.manifest import TreeManifest, diff_trees, dump_manifest
from cab.scoring.evidence.task import TaskFacts
from cab.scoring.ledger.reading import iter_calls
from cab.scoring.timestamps import rfc3339

LOOK_S = 400.0
"""Time for the manifest, and for the patch; a file system that never answers ends it."""


async def run_cell(spec: CellSpec) -> Path:
    """Run one cell and return the folder of its bundle.

    Args:
        spec: The cell.

    Raises:
        AdapterError: Something the cell needs is unknown, missing, or in the way; nothing is
            written then. Or the run could not be finished: the bundle stays marked.
        CabProxyError: The proxy cannot be run as asked.
        ScoringError: The cell's id is not valid.
    """
    plan = plan_cell(spec)
    seal_key = None if spec.seal_key_file is None else seal_key_from(spec.seal_key_file)
    if spec.proxy is None:
        await check_reachable(spec.upstream or "")
    async with AsyncExitStack() as stack:
        sandbox, site = await stack.enter_async_context(_surroundings(plan))
        claim, meter = await _claim(stack, plan, sandbox.facts.listen_host)
        claim.note("setting up")
        if claim.previous is not None:
            await clean_up(claim.previous)
        redact = Redactor((spec.upstream_key, *secret_texts(spec.signing_key or ""), meter.key))
        writer = BundleWriter(plan.bundle, redact)
        with scratch_places(plan.scratch_name, spec.keep_workspace) as places:
            before = read_conditions(spec.limits, in_container=plan.in_container)
            started_ns = time.time_ns()
            run = await AgentRunner(plan, meter, places, redact, sandbox, claim).run()
            placed = {"node": spec.node, "requested": spec.requested}
            conditions = before.model_copy(update={"load_after": read_load(), **placed})
            claim.note("sealing")
            _write_output(writer, run)
            await _seal(writer, meter)
            await _take_capture(plan)
            await _write_trees(writer, plan, run, places, redact)
            claim.note("checks")
            # All that was measured is on disk by now: a check runs the agent's code.
            check = await _check(plan, run, places.workdir, site)
        claim.note("scoring")
        check = _with_restored(check, writer.restore())
        facts = _facts(plan, sandbox.facts, run, check, started_ns, conditions)
        # All texts at once: the tail of a check may hold what an agent wrote.
        facts = CellFacts.model_validate_json(redact(_without_places(facts)))
        # Scored from what is on disk, as `cab score` does it: the same bytes must come out.
        cell = redact(dump_cell(score_bundle(read_bundle(plan.bundle, facts))))
        if seal_key is not None:
            unwritten = {CELL_FILE: cell}
            record = result_record(plan.bundle, str(plan.cell), seal_key, unwritten)
            writer.write(RESULT_FILE, record)
        writer.write(CELL_FILE, cell)
    return plan.bundle


@asynccontextmanager
async def _surroundings(plan: CellPlan) -> AsyncGenerator[tuple[Sandbox, CheckSite]]:
    """Give where the agent runs, and where its checks do."""
    spec = plan.spec
    exposed = (*spec.exposed, *key_exposure(spec.upstream_key))
    if inside() is not None:
        async with inside_surroundings(plan, exposed) as (within, place):
            yield within, HostChecks(spec.limits.rlimits, place)
        return
    if not plan.in_container:
        yield local_sandbox(plan, exposed), HostChecks(spec.limits.rlimits)
        return
    async with docker_sandbox(
        spec.container,
        plan.images,
        plan.check_image,
        plan.installed.executable,
        spec.limits,
        secrets.token_hex(6),
        listens=spec.proxy is None or spec.is_relayed,
        exposed=exposed,
    ) as sandbox:
        yield sandbox, sandbox.check_site


async def _claim(stack: AsyncExitStack, plan: CellPlan, host: str) -> tuple[Claim, Meter]:
    """Claim the bundle and open a proxy.

    A proxy that refuses the cell does so before an earlier run of it is removed; only a ledger that
    lies in the bundle has to come after.
    """
    spec = plan.spec
    if spec.proxy is None and spec.ledger is None:
        claim = stack.enter_context(claim_bundle(plan.bundle, spec.force))
        return claim, await stack.enter_async_context(_meter(plan, host))
    meter = await stack.enter_async_context(_meter(plan, host))
    return stack.enter_context(claim_bundle(plan.bundle, spec.force)), meter


@asynccontextmanager
async def _meter(plan: CellPlan, host: str) -> AsyncGenerator[Meter]:
    spec, cell_id = plan.spec, str(plan.cell)
    if spec.proxy is not None:
        meter = await given_meter(
            cell_id,
            spec.key_ttl_s,
            url=spec.proxy,
            control=spec.control,
            signing_key=spec.signing_key,
            cell_keys=spec.cell_keys,
        )
        if not spec.is_relayed:
            yield meter
            return
        async with relayed(host, meter.url) as url:
            yield replace(meter, url=url)
        return
    async with embedded_meter(
        cell_id,
        spec.key_ttl_s,
        upstream=spec.upstream or "",
        upstream_key=spec.upstream_key,
        ledger=plan.ledger,
        host=host,
        seal_key_file=spec.seal_key_file,
        capture=spec.capture,
        prices_file=spec.prices_file,
        provider=spec.provider,
    ) as meter:
        yield meter
    if plan.ledger == plan.bundle / LEDGER_FOLDER:
        # Of use to a proxy that goes on with this ledger, which names the ledger's place on this machine.
        shutil.rmtree(plan.ledger / STATE_INSIDE, ignore_errors=True)


def _write_output(writer: BundleWriter, run: AgentRun) -> None:
    writer.write(STDOUT_FILE, output_without_places(run.stdout))
    writer.write(STDERR_FILE, output_without_places(run.stderr))
    writer.write(RECORDING_FILE, recording_without_places(run.recording))


async def _seal(writer: BundleWriter, meter: Meter) -> None:
    sealed = await meter.seal()
    writer.write(CALLS_FILE, sealed.lines)
    writer.write(SEAL_FILE, _json(sealed.seal))
    if meter.demo is not None:
        writer.write(ACCOUNT_FILE, _json(meter.demo.account()))


async def _take_capture(plan: CellPlan) -> None:
    ledger = plan.ledger if plan.spec.capture else plan.spec.capture_ledger
    if ledger is not None:
        calls = plan.bundle / CALLS_FILE
        await take_capture(ledger, str(plan.cell), sum(1 for _ in iter_calls(calls)), plan.bundle)


async def _write_trees(
    writer: BundleWriter, plan: CellPlan, run: AgentRun, places: Places, redact: Redactor
) -> None:
    after, patch = TreeManifest(entries={}, incomplete=[TIME]), b""
    with suppress(TimeoutError):
        after = await in_background(
            lambda stop: walk_tree(places.workdir, same=run.folder, stop=stop), LOOK_S
        )
    diff = diff_trees(run.before, after)
    scratch = () if plan.spec.keep_scratch else scratch_of(diff, _task_facts(plan))
    # The agent could have changed a copy that was made before it ran.
    with scratch_folder("before") as folder, suppress(TimeoutError):
        await asyncio.to_thread(lay_workspace, plan, folder)
        patch = await in_background(
            lambda stop: make_patch(
                folder,
                places.workdir,
                diff,
                scratch,
                same=run.folder,
                stop=stop,
                redact=redact,
            ),
            LOOK_S,
        )
    writer.write(BEFORE_FILE, dump_manifest(run.before))
    writer.write(AFTER_FILE, dump_manifest(after))
    writer.write(PATCH_FILE, patch_without_places(patch))


async def _check(plan: CellPlan, run: AgentRun, workdir: Path, site: CheckSite) -> CheckOutcome:
    outcome = await run_checks(
        plan.task,
        workdir,
        same=run.folder,
        site=site,
        scratch=plan.adapter.facts.scratch,
    )
    return await confirmed(plan.task, outcome, site)


def _with_restored(check: CheckOutcome, changed: list[str]) -> CheckOutcome:
    """Return the outcome; a run whose code changed what was measured has failed."""
    if not changed:
        return check
    reason = f"its code changed {', '.join(changed)} in the bundle while the checks ran"
    return check.model_copy(update={"passed": False, "spoiled": True, "reason": reason})


def _facts(  # noqa: PLR0913 - all that was recorded of a cell
    plan: CellPlan,
    sandbox: SandboxFacts,
    run: AgentRun,
    check: CheckOutcome,
    started_ns: int,
    conditions: Conditions,
) -> CellFacts:
    ended_ns = started_ns + round(run.duration_ms * 1_000_000)
    return CellFacts(
        identity=Identity(
            cell_id=str(plan.cell),
            sweep_id=plan.cell.sweep,
            tui=plan.name,
            agent_version=plan.agent_version,
            model_build_id=plan.spec.model,
            exit_code=exit_code(run.exit),
            container_image=sandbox.image,
            image_digest=sandbox.digest,
            check_image=sandbox.check_image,
            check_image_digest=sandbox.check_digest,
            sandbox=sandbox.name,
            deviations=list(sandbox.deviations),
            conditions=conditions,
            cab_version=importlib.metadata.version("coding-agent-bench"),
        ),
        timing=Timing.of_run(rfc3339(started_ns), rfc3339(ended_ns), run.duration_ms),
        task=_task_facts(plan),
        check=check,
        self_reported=run.self_reported,
        spans=run.spans,
    )


def _task_facts(plan: CellPlan) -> TaskFacts:
    return plan.task.facts(plan.adapter.facts.scratch)


def _without_places(facts: CellFacts) -> bytes:
    """Return facts as JSON; texts of the run in them name no folder of this machine."""
    data: dict[str, object] = orjson.loads(facts.model_dump_json())
    written = {name: evidence(data[name]) for name in ("spans", "check", "self_reported")}
    return orjson.dumps({**data, **written})


def _json(data: object) -> bytes:
    return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
