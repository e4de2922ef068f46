"""Runs one cell: agent, proxy, hidden checks and scorer, brought together into a bundle."""

import asyncio
import importlib.metadata
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import orjson

from cab.adapters.processes.cleanup import clean_up
from cab.adapters.runs.agent_run import AgentRun, AgentRunner, exit_code, local_sandbox
from cab.adapters.runs.bundle import (
    ACCOUNT_FILE,
    PATCH_FILE,
    RECORDING_FILE,
    SEAL_FILE,
    STDERR_FILE,
    BundleWriter,
    Claim,
    claimed,
)
from cab.adapters.runs.metering import Meter, check_reachable, embedded_meter, given_meter
from cab.adapters.runs.spec import CellPlan, CellSpec, plan_cell
from cab.adapters.runs.workspace import scratch_places
from cab.adapters.sandboxes.base import Sandbox
from cab.adapters.sandboxes.docker import docker_sandbox
from cab.adapters.sandboxes.environment import Places
from cab.adapters.tasks.checks import run_checks
from cab.adapters.tasks.loader import Task
from cab.adapters.workspaces.patch import make_patch
from cab.adapters.workspaces.tree import walk_tree
from cab.proxy.auth.signing_keys import secret_texts
from cab.proxy.redaction import Redactor
from cab.scoring.cells.bundle import (
    AFTER_FILE,
    BEFORE_FILE,
    CALLS_FILE,
    CELL_FILE,
    STDOUT_FILE,
    read_bundle,
    score_bundle,
)
from cab.scoring.cells.cell import CellFacts, Identity, Timing, dump_cell
from cab.scoring.evidence.check_outcome import CheckOutcome
from cab.scoring.evidence.manifest import diff_trees, dump_manifest
from cab.scoring.timestamps import rfc3339


async def run_cell(spec: CellSpec) -> Path:
    """Run one cell and return the folder of its bundle.

    Args:
        spec: The cell.

    Raises:
        AdapterError: Something the cell needs is unknown, missing, or in the way; nothing is
            written then. Or the run could not be brought to its end: the bundle stays marked.
        CabProxyError: The proxy cannot be run as asked.
        ScoringError: The cell's id is none.
    """
    plan = plan_cell(spec)
    if spec.proxy is None:
        await check_reachable(spec.upstream or "")
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(_sandbox(plan))
        claim, meter = await _claimed(stack, plan, sandbox.facts.listen_host)
        claim.note("setting up")
        if claim.left is not None:
            await clean_up(claim.left)
        mask = Redactor((spec.upstream_key, *secret_texts(spec.signing_key or ""), meter.key))
        await _Cell(plan, meter, sandbox, BundleWriter(plan.bundle, mask), mask, claim).run()
    return plan.bundle


async def _claimed(stack: AsyncExitStack, plan: CellPlan, host: str) -> tuple[Claim, Meter]:
    """Own the bundle and have a proxy.

    A proxy that refuses the cell does so before an earlier run of it is removed; only a ledger that
    lies in the bundle has to come after.
    """
    spec = plan.spec
    if spec.proxy is None and spec.ledger is None:
        claim = stack.enter_context(claimed(plan.bundle, spec.force))
        return claim, await stack.enter_async_context(_meter(plan, host))
    meter = await stack.enter_async_context(_meter(plan, host))
    return stack.enter_context(claimed(plan.bundle, spec.force)), meter


@asynccontextmanager
async def _sandbox(plan: CellPlan) -> AsyncGenerator[Sandbox]:
    spec = plan.spec
    if plan.image is None:
        yield local_sandbox(plan)
        return
    async with docker_sandbox(
        spec.container,
        plan.image,
        plan.installed.executable,
        spec.limits,
        secrets.token_hex(6),
        listens=spec.proxy is None,
    ) as sandbox:
        yield sandbox


@asynccontextmanager
async def _meter(plan: CellPlan, host: str) -> AsyncGenerator[Meter]:
    spec, cell_id = plan.spec, str(plan.cell)
    if spec.proxy is not None:
        yield await given_meter(
            cell_id,
            spec.key_ttl_s,
            url=spec.proxy,
            control=spec.control,
            signing_key=spec.signing_key,
            cell_key=spec.cell_key,
        )
        return
    async with embedded_meter(
        cell_id,
        spec.key_ttl_s,
        upstream=spec.upstream or "",
        upstream_key=spec.upstream_key,
        ledger=plan.ledger,
        host=host,
    ) as meter:
        yield meter


class _Cell:
    """A cell that is being run.

    Args:
        plan: What it is made of.
        meter: Where its calls go.
        sandbox: Where the agent runs.
        writer: Writes the bundle.
        mask: Takes the secrets out.
        claim: Notes how far the run is.
    """

    def __init__(  # noqa: PLR0913 - all that makes one cell
        self,
        plan: CellPlan,
        meter: Meter,
        sandbox: Sandbox,
        writer: BundleWriter,
        mask: Redactor,
        claim: Claim,
    ) -> None:
        self._plan = plan
        self._meter = meter
        self._sandbox = sandbox
        self._writer = writer
        self._mask = mask
        self._claim = claim

    async def run(self) -> None:
        """Run the agent and its checks, and write the bundle."""
        plan = self._plan
        name = f"{plan.name}-{plan.task.id.replace('/', '_')}"
        with scratch_places(name, plan.spec.keep_workspace) as places:
            started_ns = time.time_ns()
            run = await AgentRunner(
                plan, self._meter, places, self._mask, self._sandbox, self._claim
            ).run()
            self._claim.note("sealing")
            self._writer.write(STDOUT_FILE, run.stdout)
            self._writer.write(STDERR_FILE, run.stderr)
            self._writer.write(RECORDING_FILE, run.recording)
            await self._write_calls()
            self._claim.note("checks")
            await asyncio.to_thread(self._write_trees, run, places)
            check = await _checked(plan.task, places.workdir, plan.adapter.facts.scratch)
        self._claim.note("scoring")
        self._write_cell(self._facts(run, check, started_ns))

    async def _write_calls(self) -> None:
        """Seal the cell first: from here on its calls are final."""
        sealed = await self._meter.seal()
        self._writer.write(CALLS_FILE, sealed.lines)
        self._writer.write(SEAL_FILE, _json(sealed.seal))
        if self._meter.demo is not None:
            self._writer.write(ACCOUNT_FILE, _json(self._meter.demo.account()))

    def _write_trees(self, run: AgentRun, places: Places) -> None:
        after = walk_tree(places.workdir)
        patch = make_patch(places.before, places.workdir, diff_trees(run.before, after))
        self._writer.write(BEFORE_FILE, dump_manifest(run.before))
        self._writer.write(AFTER_FILE, dump_manifest(after))
        self._writer.write(PATCH_FILE, patch)

    def _facts(self, run: AgentRun, check: CheckOutcome, started_ns: int) -> CellFacts:
        plan, sandbox = self._plan, self._sandbox.facts
        ended_ns = started_ns + round(run.duration_ms * 1_000_000)
        facts = CellFacts(
            identity=Identity(
                cell_id=str(plan.cell),
                sweep_id=plan.cell.sweep,
                tui=plan.name,
                agent_version=plan.agent_version,
                model_build_id=plan.spec.model,
                exit_code=exit_code(run.exit),
                container_image=sandbox.image,
                image_digest=sandbox.digest,
                sandbox=sandbox.name,
                deviations=list(sandbox.deviations),
                cab_version=importlib.metadata.version("coding-agent-bench"),
            ),
            timing=Timing.of_run(rfc3339(started_ns), rfc3339(ended_ns), run.duration_ms),
            task=plan.task.facts(plan.adapter.facts.scratch),
            check=check,
            self_reported=run.self_reported,
            spans=run.spans,
        )
        # All texts at once: the tail of a check may hold what an agent wrote.
        return CellFacts.model_validate_json(self._mask(facts.model_dump_json().encode()))

    def _write_cell(self, facts: CellFacts) -> None:
        """Score what is on disk, as `cab score` will: the same bytes must come out."""
        bundle = read_bundle(self._plan.bundle, facts)
        self._writer.write(CELL_FILE, dump_cell(score_bundle(bundle)))


async def _checked(task: Task, workdir: Path, scratch: Sequence[str]) -> CheckOutcome:
    try:
        return await run_checks(task, workdir, scratch=scratch)
    except (OSError, RecursionError) as error:
        # What an agent leaves behind may be impossible to copy; that is no verdict on its work.
        return CheckOutcome(
            passed=False, exit_code=None, reason=f"the checks could not be run: {error}"
        )


def _json(data: object) -> bytes:
    return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
