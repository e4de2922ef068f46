"""One run of one agent in its workspace: prepared, started, timed, ended; spans for all of it."""

import asyncio
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cab.adapters.agents.base import Launch, Output, RunContext
from cab.adapters.agents.plugins import with_plugins, write_workspace
from cab.adapters.errors import BadSelfReport
from cab.adapters.output.asciicast import CastWriter
from cab.adapters.output.capture import Capture
from cab.adapters.processes.agent_process import Exit
from cab.adapters.processes.background import in_background
from cab.adapters.processes.cleanup import CleanupPlan, watched_cleanup
from cab.adapters.runs.bundle import Claim, Phase
from cab.adapters.runs.metering import Meter
from cab.adapters.runs.spans import OpenSpan, SpanRecorder
from cab.adapters.runs.spec import CellPlan
from cab.adapters.runs.workspace import init_git
from cab.adapters.sandboxes.base import Running, Sandbox, StartRequest
from cab.adapters.sandboxes.environment import Places, agent_environment, write_home
from cab.adapters.sandboxes.local import LocalSandbox
from cab.adapters.tasks.loader import copy_workspace
from cab.adapters.tasks.staging import tool_homes
from cab.adapters.workspaces.folders import FolderId, folder_id
from cab.adapters.workspaces.tree import walk_tree
from cab.proxy.redaction import Redactor
from cab.scoring.cells.cell import SelfReport
from cab.scoring.evidence.manifest import TreeManifest
from cab.scoring.evidence.spans import Span

CAST = "recording.cast"
"""Name of the recording in the run's folder of output."""
REPORT_S = 60.0
"""Time to read an agent's own count, from files that it wrote."""


class AgentRun(NamedTuple):
    """What a run left behind, secrets redacted."""

    exit: Exit
    duration_ms: float
    """From the first preparation to the agent's end."""
    folder: FolderId
    """Which folder the workspace is: the agent may have put another in its place."""
    before: TreeManifest
    """The workspace as the agent got it."""
    stdout: bytes
    """What the agent printed; of very long output, the beginning and the end."""
    stderr: bytes
    """Its messages, the same way."""
    recording: bytes
    """Both as a terminal session, asciicast v2."""
    self_reported: SelfReport | None
    """The agent's own token count; None if there is none, or it cannot be read."""
    unreadable: str | None
    """Why the agent's own count cannot be read."""
    spans: list[Span]


@dataclass(frozen=True, slots=True)
class AgentRunner:
    """Runs the agent of one cell once."""

    plan: CellPlan
    meter: Meter
    """Where its calls go."""
    places: Places
    redact: Redactor
    """Takes the secrets out of what is stored."""
    sandbox: Sandbox
    claim: Claim | None = None
    """The bundle's claim, which records what has to be cleaned up; None where there is no bundle."""
    spans: SpanRecorder = field(default_factory=SpanRecorder)

    async def run(self) -> AgentRun:
        """Run the agent to its end, or to the time limit.

        Raises:
            AdapterError: A plugin would replace something of the task or the adapter.
            RunFailed: The agent cannot be started, or cannot be ended.
        """
        self._note("setting up")
        folder, before = await asyncio.to_thread(self._prepare)
        # The watchdog is dismissed last: to end an agent takes time, in which we may be killed.
        with ExitStack() as watchdog, self._capture() as (capture, cast):
            with self.spans.span(
                "adapter_run",
                f"{self.plan.name}:{self.plan.task.id}",
                timeout_s=self.plan.spec.timeout_s,
                plugin_stack=self.plan.plugins.names,
            ) as whole:
                launch = self._launch()
                await self._prepare_home(launch, whole)
                agent, ended = await self._start_and_wait(launch, capture, watchdog, whole)
                whole.attrs["exit_code"] = exit_code(ended)
            duration_ms = self.spans.elapsed_ms() - whole.excluded_ms
            with self.spans.span("cleanup", f"cleanup:{self.plan.name}") as span:
                span.attrs["left_running"] = await agent.end()
        stdout, stderr = capture.contents
        reported, unreadable = await self._self_report(stdout, stderr)
        return AgentRun(
            exit=ended,
            duration_ms=duration_ms,
            folder=folder,
            before=before,
            stdout=stdout,
            stderr=stderr,
            recording=cast.content,
            self_reported=reported,
            unreadable=unreadable,
            spans=self.spans.spans,
        )

    def _prepare(self) -> tuple[FolderId, TreeManifest]:
        task, places, plugins = self.plan.task, self.places, self.plan.plugins
        with self.spans.span(
            "task_setup",
            f"prepare:{task.id}",
            workdir=str(places.workdir),
            task_category=task.category,
            plugin_stack=plugins.names,
            behavior_mode=plugins.behavior_mode,
        ):
            lay_workspace(self.plan, places.workdir)
            return folder_id(places.workdir), walk_tree(places.workdir)

    @contextmanager
    def _capture(self) -> Generator[tuple[Capture, CastWriter]]:
        cast = CastWriter(
            self.places.output / CAST,
            title=str(self.plan.cell),
            timestamp_s=int(time.time()),
            term=self.sandbox.view(self.places).env["TERM"],
        )
        terminal = self.plan.spec.terminal
        capture = Capture(self.places.output, self.redact, cast, terminal=terminal)
        try:
            yield capture, cast
        finally:
            capture.finish()

    def _launch(self) -> Launch:
        view, meter, plan = self.sandbox.view(self.places), self.meter, self.plan
        run = RunContext(
            base_url=meter.url,
            key=meter.key,
            model=plan.spec.model,
            prompt=plan.task.prompt,
            home=view.home,
            executable=view.executable,
            dialect=plan.dialect,
        )
        launch = plan.adapter.launch(run)
        return with_plugins(launch, plan.plugins, key=meter.key, base_url=meter.url)

    async def _prepare_home(self, launch: Launch, parent: OpenSpan) -> None:
        plan, workdir = self.plan, self.places.workdir
        write_home(self.places.home, launch.files)
        if plan.adapter.facts.wants_git:
            name = f"{plan.name}:git-init-marker"
            with self.spans.span("task_setup", name, parent, workdir=str(workdir)) as span:
                span.attrs["git_dir_exists"] = await asyncio.to_thread(
                    init_git,
                    workdir,
                    plan.adapter.facts.scratch,
                    agent_environment(self.places, {}, {}),
                )
        attrs = {"tui": plan.name, **plan.plugins.attrs}
        with self.spans.span("tool_call", "applied_plugins", parent, **attrs):
            pass

    async def _start_and_wait(
        self, launch: Launch, capture: Capture, watchdog: ExitStack, parent: OpenSpan
    ) -> tuple[Running, Exit]:
        timeout_s = self.plan.spec.timeout_s
        with self.spans.span(
            "container",
            f"{self.plan.name}:launch",
            parent,
            **self._sandbox_attrs(),
            argv=[self._argument(word) for word in launch.argv[1:]],
            env_keys=sorted(launch.env),
            timeout_s=timeout_s,
        ) as span:
            request = StartRequest(
                argv=launch.argv,
                declared=launch.env,
                output=capture.descriptors,
                endpoint=f"{self.meter.url}/v1",
                key=self.meter.key,
                limit_s=timeout_s,
            )
            self._note("agent")
            # An agent that runs before its watchdog outlives us if we are killed in between.
            dog = watchdog.enter_context(watched_cleanup(self._cleanup(self.sandbox.cleanup)))
            agent = await self.sandbox.start(self.places, request)
            dog.replace(self._cleanup(agent.cleanup))
            capture.start()
            waiting_from_ms = self.spans.elapsed_ms()
            try:
                ended = await agent.wait(timeout_s)
            except BaseException:
                await agent.end()
                raise
            if ended.timed_out:
                # An agent that ignores SIGTERM is ended some seconds later, which it did not ask for.
                late_ms = self.spans.elapsed_ms() - waiting_from_ms - timeout_s * 1000
                parent.excluded_ms = span.excluded_ms = max(0.0, late_ms)
            span.attrs |= {
                "exit_code": exit_code(ended),
                "duration_s": ended.duration_ms / 1000,
                "timed_out": ended.timed_out,
            }
            if ended.limit is not None:
                span.attrs["limit_reached"] = ended.limit
            return agent, ended

    def _argument(self, word: str) -> str:
        """Return an argument as it may be stored: without secrets, and without the task's text."""
        return self.redact.text(word).replace(self.plan.task.prompt, "<prompt>")

    def _sandbox_attrs(self) -> Mapping[str, object]:
        facts = self.sandbox.facts
        words = [deviation.name for deviation in facts.deviations]
        return {
            "image": facts.image,
            "sandbox": facts.name,
            "deviation": "+".join(words) or None,
            **facts.attrs,
        }

    def _cleanup(self, plan: CleanupPlan) -> CleanupPlan:
        scratch = None if self.plan.spec.keep_workspace else self.places.workdir.parent
        return plan.model_copy(update={"scratch": scratch})

    def _note(self, phase: Phase) -> None:
        if self.claim is not None:
            self.claim.note(phase, self._cleanup(self.sandbox.cleanup))

    async def _self_report(
        self, stdout: bytes, stderr: bytes
    ) -> tuple[SelfReport | None, str | None]:
        """Return the agent's own count, or why it cannot be read: then it is not known."""
        out, err = stdout.decode(errors="replace"), stderr.decode(errors="replace")
        output, adapter = Output(out, err, self.places.home), self.plan.adapter
        try:
            return await in_background(lambda _: adapter.self_report(output), REPORT_S), None
        except TimeoutError:
            return None, f"reading it took more than {REPORT_S:g} s"
        except (BadSelfReport, OSError) as error:
            return None, str(error)
        except Exception as error:  # noqa: BLE001 - whatever an agent wrote, its run is not lost
            return None, f"{type(error).__name__}: {error}"


def lay_workspace(plan: CellPlan, folder: Path) -> None:
    """Put into a folder what the agent of a cell gets as its workspace."""
    copy_workspace(plan.task, folder)
    write_workspace(plan.plugins, folder)


def local_sandbox(plan: CellPlan, exposed: Sequence[str] = ()) -> LocalSandbox:
    """Return this machine as the sandbox of a cell.

    Args:
        plan: The cell.
        exposed: Deviations of whoever holds the endpoint's key.
    """
    spec, tools = plan.spec, tool_homes(plan.task)
    return LocalSandbox(
        plan.installed.executable, tools, spec.limits, terminal=spec.terminal, exposed=exposed
    )


def exit_code(ended: Exit) -> int | None:
    """Return the agent's exit code; None for an agent that was stopped, at its time limit or that of its disk."""
    return None if ended.timed_out or ended.limit == "disk" else ended.code
