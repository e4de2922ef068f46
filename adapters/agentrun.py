"""One run of one agent in its workspace: prepared, started, timed, ended; spans for all of it."""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from cab.adapters.base import Launch, Output, Run
from cab.adapters.cellspec import Plan
from cab.adapters.environment import Places, agent_environment, tool_homes, write_home
from cab.adapters.errors import BadSelfReport
from cab.adapters.masking import Masker
from cab.adapters.metering import Meter
from cab.adapters.process import AgentProcess, Exit, start_process
from cab.adapters.spans import OpenSpan, SpanRecorder
from cab.adapters.tasks import copy_workspace
from cab.adapters.trees import walk_tree
from cab.adapters.workspace import init_git
from cab.scoring.cell import SelfReport
from cab.scoring.manifest import TreeManifest
from cab.scoring.spans import Span

SANDBOX = "local"
"""Own process group, own HOME, own environment; no boundary against an agent that means harm."""


class AgentRun(NamedTuple):
    """What a run left behind, secrets masked."""

    exit: Exit
    """How the agent ended."""
    duration_ms: float
    """From the first preparation to the agent's end."""
    before: TreeManifest
    """The workspace as the agent got it."""
    stdout: bytes
    """All that the agent printed."""
    stderr: bytes
    """All its messages."""
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
    """

    def __init__(self, plan: Plan, meter: Meter, places: Places, mask: Masker) -> None:
        self._plan = plan
        self._meter = meter
        self._places = places
        self._mask = mask
        self._spans = SpanRecorder()

    async def run(self) -> AgentRun:
        """Run the agent to its end, or to the time limit.

        Raises:
            RunFailed: It cannot be started, or cannot be ended.
        """
        before = await asyncio.to_thread(self._prepare)
        agent, ended = await self._adapter_run()
        duration_ms = self._spans.elapsed_ms()
        with self._spans.span("cleanup", f"cleanup:{self._plan.name}") as span:
            span.attrs["left_running"] = await agent.end()
        return AgentRun(
            exit=ended,
            duration_ms=duration_ms,
            before=before,
            stdout=self._output("stdout"),
            stderr=self._output("stderr"),
            self_reported=self._self_report(),
            spans=self._spans.spans,
        )

    def _prepare(self) -> TreeManifest:
        task, places = self._plan.task, self._places
        with self._spans.span(
            "task_setup",
            f"prepare:{task.id}",
            workdir=str(places.workdir),
            task_category=task.category,
            plugin_stack=[],
            behavior_mode="factory",
        ):
            copy_workspace(task, places.workdir)
            copy_workspace(task, places.before)
            return walk_tree(places.workdir)

    async def _adapter_run(self) -> tuple[AgentProcess, Exit]:
        plan = self._plan
        with self._spans.span(
            "adapter_run",
            f"{plan.name}:{plan.task.id}",
            timeout_s=plan.spec.timeout_s,
            plugin_stack=[],
        ) as whole:
            launch = self._launch()
            env = agent_environment(self._places, tool_homes(plan.task), launch.env)
            write_home(self._places.home, launch.files)
            if plan.adapter.facts.wants_git:
                await self._mark_git(env, whole)
            self._record_plugins(whole)
            agent, ended = await self._started(launch, env, whole)
            whole.attrs["exit_code"] = exit_code(ended)
            return agent, ended

    def _launch(self) -> Launch:
        run = Run(
            base_url=self._meter.url,
            key=self._meter.key,
            model=self._plan.spec.model,
            prompt=self._plan.task.prompt,
            home=self._places.home,
            executable=self._plan.installed.executable,
        )
        return self._plan.adapter.launch(run)

    async def _mark_git(self, env: Mapping[str, str], parent: OpenSpan) -> None:
        workdir = self._places.workdir
        with self._spans.span(
            "task_setup", f"{self._plan.name}:git-init-marker", parent, workdir=str(workdir)
        ) as span:
            scratch = self._plan.adapter.facts.scratch
            span.attrs["git_dir_exists"] = await asyncio.to_thread(init_git, workdir, scratch, env)

    def _record_plugins(self, parent: OpenSpan) -> None:
        nothing: dict[str, object] = {"applied": [], "env_keys": [], "extra_args": []}
        counts = {"count": 0, "applied_count": 0, "skipped_count": 0}
        attrs = {"tui": self._plan.name, **nothing, **counts}
        with self._spans.span("tool_call", "applied_plugins", parent, **attrs):
            pass

    async def _started(
        self, launch: Launch, env: Mapping[str, str], parent: OpenSpan
    ) -> tuple[AgentProcess, Exit]:
        timeout_s = self._plan.spec.timeout_s
        with self._spans.span(
            "container",
            f"{self._plan.name}:launch",
            parent,
            image=None,
            sandbox=SANDBOX,
            argv=[self._mask.text(word) for word in launch.argv[1:]],
            env_keys=sorted(launch.env),
            timeout_s=timeout_s,
        ) as span:
            agent = await start_process(
                launch.argv,
                cwd=self._places.workdir,
                env=env,
                stdout=self._places.output / "stdout",
                stderr=self._places.output / "stderr",
            )
            try:
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

    def _output(self, name: str) -> bytes:
        return self._mask((self._places.output / name).read_bytes())

    def _self_report(self) -> SelfReport | None:
        out, err = (self._output(name).decode(errors="replace") for name in ("stdout", "stderr"))
        try:
            return self._plan.adapter.self_report(Output(out, err, self._places.home))
        except BadSelfReport:
            return None  # what cannot be read exactly is not known; the text itself is kept


def exit_code(ended: Exit) -> int | None:
    """Return the exit code that counts: none for an agent that was stopped."""
    return None if ended.timed_out else ended.code
