"""One run of one agent in its workspace: prepared, started, timed, ended; spans for all of it."""

import asyncio
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from cab.adapters.agents.base import Launch, Output, RunContext
from cab.adapters.agents.plugins import with_plugins, write_workspace
from cab.adapters.errors import BadSelfReport
from cab.adapters.output.asciicast import CastWriter
from cab.adapters.output.capture import Capture
from cab.adapters.processes.agent_process import Exit
from cab.adapters.processes.cleanup import CleanupPlan, watched_cleanup
from cab.adapters.runs.bundle import Claim
from cab.adapters.runs.metering import Meter
from cab.adapters.runs.spans import OpenSpan, SpanRecorder
from cab.adapters.runs.spec import CellPlan
from cab.adapters.runs.workspace import init_git
from cab.adapters.sandboxes.base import Job, Running, Sandbox
from cab.adapters.sandboxes.environment import Places, agent_environment, tool_homes, write_home
from cab.adapters.sandboxes.local import LocalSandbox
from cab.adapters.tasks.loader import copy_workspace
from cab.adapters.workspaces.tree import walk_tree
from cab.proxy.redaction import Redactor
from cab.scoring.cells.cell import SelfReport
from cab.scoring.evidence.manifest import TreeManifest
from cab.scoring.evidence.spans import Span

CAST = "recording.cast"
"""Name of the recording in the run's folder of output."""


class AgentRun(NamedTuple):
    """What a run left behind, secrets masked."""

    exit: Exit
    """How the agent ended."""
    duration_ms: float
    """From the first preparation to the agent's end."""
    before: TreeManifest
    """The workspace as the agent got it."""
    stdout: bytes
    """What the agent printed; of a flood, the beginning and the end."""
    stderr: bytes
    """Its messages, the same way."""
    recording: bytes
    """Both as a terminal session, asciicast v2."""
    self_reported: SelfReport | None
    """What it says of its own tokens."""
    spans: list[Span]
    """What happened when."""


class AgentRunner:
    """Runs the agent of one cell once.

    Args:
        plan: The cell.
        meter: Where its calls go.
        places: The run's folders.
        mask: Takes the secrets out of what is kept.
        sandbox: Where it runs; None is this machine.
        claim: The bundle's claim, which notes what would be left behind; None where there is none.
    """

    def __init__(  # noqa: PLR0913 - all that makes one run
        self,
        plan: CellPlan,
        meter: Meter,
        places: Places,
        mask: Redactor,
        sandbox: Sandbox | None = None,
        claim: Claim | None = None,
    ) -> None:
        self._plan = plan
        self._meter = meter
        self._places = places
        self._mask = mask
        self._sandbox = sandbox or local_sandbox(plan)
        self._claim = claim
        self._spans = SpanRecorder()

    async def run(self) -> AgentRun:
        """Run the agent to its end, or to the time limit.

        Raises:
            AdapterError: A plugin is in the way of the task or the adapter.
            RunFailed: It cannot be started, or cannot be ended.
        """
        before = await asyncio.to_thread(self._prepare)
        # The guard is dismissed last: to end an agent takes time, in which we may be stopped.
        with ExitStack() as guards, self._captured() as capture:
            agent, ended = await self._adapter_run(capture, guards)
            duration_ms = self._spans.elapsed_ms()
            with self._spans.span("cleanup", f"cleanup:{self._plan.name}") as span:
                span.attrs["left_running"] = await agent.end()
        return AgentRun(
            exit=ended,
            duration_ms=duration_ms,
            before=before,
            stdout=self._output("stdout"),
            stderr=self._output("stderr"),
            recording=self._output(CAST),
            self_reported=await asyncio.to_thread(self._self_report),
            spans=self._spans.spans,
        )

    def _prepare(self) -> TreeManifest:
        task, places, plugins = self._plan.task, self._places, self._plan.plugins
        with self._spans.span(
            "task_setup",
            f"prepare:{task.id}",
            workdir=str(places.workdir),
            task_category=task.category,
            plugin_stack=plugins.names,
            behavior_mode=plugins.behavior_mode,
        ):
            for folder in (places.workdir, places.before):
                copy_workspace(task, folder)
                write_workspace(plugins, folder)
            return walk_tree(places.workdir)

    @contextmanager
    def _captured(self) -> Generator[Capture]:
        terminal = self._plan.spec.terminal
        cast = CastWriter(
            self._places.output / CAST,
            title=str(self._plan.cell),
            timestamp_s=int(time.time()),
            term=self._sandbox.view(self._places).env["TERM"],
        )
        capture = Capture(self._places.output, self._mask, cast, terminal=terminal)
        try:
            yield capture
        finally:
            capture.finish()

    async def _adapter_run(self, capture: Capture, guards: ExitStack) -> tuple[Running, Exit]:
        plan = self._plan
        with self._spans.span(
            "adapter_run",
            f"{plan.name}:{plan.task.id}",
            timeout_s=plan.spec.timeout_s,
            plugin_stack=plan.plugins.names,
        ) as whole:
            launch = self._launch()
            write_home(self._places.home, launch.files)
            if plan.adapter.facts.wants_git:
                await self._mark_git(whole)
            self._record_plugins(whole)
            agent, ended = await self._started(launch, capture, guards, whole)
            whole.attrs["exit_code"] = exit_code(ended)
            return agent, ended

    def _launch(self) -> Launch:
        view, meter = self._sandbox.view(self._places), self._meter
        run = RunContext(
            base_url=meter.url,
            key=meter.key,
            model=self._plan.spec.model,
            prompt=self._plan.task.prompt,
            home=view.home,
            executable=view.executable,
            dialect=self._plan.dialect,
        )
        launch = self._plan.adapter.launch(run)
        return with_plugins(launch, self._plan.plugins, key=meter.key, base_url=meter.url)

    async def _mark_git(self, parent: OpenSpan) -> None:
        workdir = self._places.workdir
        with self._spans.span(
            "task_setup", f"{self._plan.name}:git-init-marker", parent, workdir=str(workdir)
        ) as span:
            scratch = self._plan.adapter.facts.scratch
            env = agent_environment(self._places, {}, {})
            span.attrs["git_dir_exists"] = await asyncio.to_thread(init_git, workdir, scratch, env)

    def _record_plugins(self, parent: OpenSpan) -> None:
        attrs = {"tui": self._plan.name, **self._plan.plugins.attrs}
        with self._spans.span("tool_call", "applied_plugins", parent, **attrs):
            pass

    async def _started(
        self, launch: Launch, capture: Capture, guards: ExitStack, parent: OpenSpan
    ) -> tuple[Running, Exit]:
        timeout_s = self._plan.spec.timeout_s
        with self._spans.span(
            "container",
            f"{self._plan.name}:launch",
            parent,
            **self._sandbox_attrs(),
            argv=[self._mask.text(word) for word in launch.argv[1:]],
            env_keys=sorted(launch.env),
            timeout_s=timeout_s,
        ) as span:
            agent = await self._sandbox.start(self._places, self._job(launch, capture))
            capture.start()
            try:
                guards.enter_context(self._leftovers_known(agent.leftovers))
                ended = await agent.wait(timeout_s)
            except BaseException:
                await agent.end()
                raise
            span.attrs |= {
                "exit_code": exit_code(ended),
                "duration_s": ended.duration_ms / 1000,
                "timed_out": ended.timed_out,
            }
            return agent, ended

    def _sandbox_attrs(self) -> Mapping[str, object]:
        facts = self._sandbox.facts
        words = [deviation.name for deviation in facts.deviations]
        return {
            "image": facts.image,
            "sandbox": facts.name,
            "deviation": "+".join(words) or None,
            **facts.attrs,
        }

    def _job(self, launch: Launch, capture: Capture) -> Job:
        return Job(
            argv=launch.argv,
            declared=launch.env,
            ends=capture.ends,
            endpoint=f"{self._meter.url}/v1",
            key=self._meter.key,
        )

    @contextmanager
    def _leftovers_known(self, leftovers: CleanupPlan) -> Generator[None]:
        """See to it that the agent does not outlive us, even if we are killed."""
        scratch = None if self._plan.spec.keep_workspace else self._places.workdir.parent
        known = leftovers.model_copy(update={"scratch": scratch})
        if self._claim is not None:
            self._claim.note("agent", known)
        with watched_cleanup(known):
            yield

    def _output(self, name: str) -> bytes:
        return (self._places.output / name).read_bytes()

    def _self_report(self) -> SelfReport | None:
        out, err = (self._output(name).decode(errors="replace") for name in ("stdout", "stderr"))
        try:
            return self._plan.adapter.self_report(Output(out, err, self._places.home))
        except (BadSelfReport, OSError):
            return None  # what cannot be read exactly is not known; the text itself is kept


def local_sandbox(plan: CellPlan) -> LocalSandbox:
    """Return this machine as the sandbox of a cell."""
    spec, tools = plan.spec, tool_homes(plan.task)
    return LocalSandbox(plan.installed.executable, tools, spec.limits, terminal=spec.terminal)


def exit_code(ended: Exit) -> int | None:
    """Return the exit code that counts: none for an agent that was stopped."""
    return None if ended.timed_out else ended.code
