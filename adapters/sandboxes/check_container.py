"""Hidden checks in containers of their own: without network, without keys, without the agent's image.

Each command of a check gets a new container, which is removed before the next one starts: nothing that
the agent's code leaves running, or in memory, meets the next command. Of this machine it sees the copy
of the workspace that was made for the check, and nothing else.
"""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from cab.adapters.errors import NotStarted, RunFailed
from cab.adapters.processes.agent_process import AgentProcess, Exit, start_process
from cab.adapters.processes.cleanup import CleanupPlan, engine_environment
from cab.adapters.sandboxes.commands import NO_NETWORK, ContainerRun, Mount, run_command
from cab.adapters.sandboxes.disk_watch import within_disk
from cab.adapters.sandboxes.engine import ContainerEngine, FoundImage
from cab.adapters.sandboxes.images import Image
from cab.adapters.sandboxes.leftovers import own_labels
from cab.adapters.sandboxes.limits import ResourceLimits
from cab.adapters.sandboxes.ownership import give_folders
from cab.adapters.tasks.check_process import (
    GRACE_S,
    NO_VARIABLES,
    CheckDeadline,
    CommandResult,
    Streams,
    capture_output,
)
from cab.adapters.tasks.models import Need, Task
from cab.adapters.tasks.staging import common_environment, fill_in

STAGE: Final = PurePosixPath("/check")
"""The folder of the check inside."""

_ENGINE_S = 120.0
"""How long an engine may take to start a container, or to say that it has ended: a busy machine is slow."""
_LOOK_S = 0.2
CHECKS_FIX = (
    "run: cab images build checks; or give another with --checks-image, or run the checks on this machine "
    "with --deviate host-checks"
)
_PYTHON = "python3"
_TRIAL_S = 30.0
_MONITOR_SLACK_S = 300.0
_ENGINES_OWN = range(125, 128)
"""Exit codes with which engines say that a program was not started; programs may use them too."""


class _Ended(NamedTuple):
    result: CommandResult
    engine_s: float
    """What of the time it took was the engine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerChecks:
    """Where checks run: containers of one image."""

    engine: ContainerEngine
    image: FoundImage
    limits: ResourceLimits
    """Of each command."""
    run: str
    """Name of the run that they belong to, part of their names."""
    labels: Mapping[str, str]
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    tried: dict[tuple[str, ...], str | None] = field(
        default_factory=dict[tuple[str, ...], str | None]
    )
    """Trial of a program -> why it does not work; kept, as every trial is a container."""

    @property
    def cleanup(self) -> CleanupPlan:
        """All of its containers."""
        return CleanupPlan(mark=self.engine.mark, engine=self.engine.program, container=self.run)

    async def missing(self, task: Task) -> list[str]:
        """Return one line for each program that a task's checks need and that the image lacks.

        Raises:
            RunFailed: The engine does not answer.
        """
        reasons = [(need, await self._problem(need)) for need in task.needs]
        image = self.image.image.name
        return [
            f"task {task.id} needs {need.command}, which does not work in image {image} ({reason}); "
            "give another image with --checks-image, or check.image in task.toml"
            for need, reason in reasons
            if reason is not None
        ]

    async def runner(self, task: Task, stage: Path, deadline: CheckDeadline) -> "ContainerRunner":
        """Return what runs the commands of a check; its folders then belong to the containers' user."""
        del task  # programs find themselves in their image
        user = give_folders(*(mount.source for mount in _mounts(stage)))
        return ContainerRunner(self, stage, deadline, user)

    async def _problem(self, need: Need) -> str | None:
        words = tuple([need.command, "--version"] if need.trial is None else need.trial)
        if words and words not in self.tried:
            self.tried[words] = await self._failure(words)
        return self.tried.get(words)

    async def _failure(self, words: Sequence[str]) -> str | None:
        try:
            done = (await self.run_once(words, (), limit_s=_TRIAL_S)).result
        except NotStarted as error:
            return str(error)
        if done.exit_code == 0:
            return None
        lines = (line.strip() for line in f"{done.stderr}\n{done.stdout}".splitlines())
        return next(filter(None, lines), f"exit code {done.exit_code}")

    async def run_once(  # noqa: PLR0913 - all of it describes one container
        self,
        argv: Sequence[str],
        mounts: Sequence[Mount],
        *,
        user: str = "65534:65534",
        variables: Mapping[str, str] = NO_VARIABLES,
        limit_s: float,
        stdin: str = "",
    ) -> "_Ended":
        """Return how a program ended in a container of its own, which is gone then.

        Raises:
            NotStarted: The image lacks it, or the engine takes no container.
            RunFailed: It took too much disk, or cannot be removed.
        """
        name = f"{self.run}-check-{next(self.numbers)}"
        command = run_command(
            ContainerRun(
                engine=self.engine.kind,
                rootless=self.engine.rootless,
                name=name,
                image=self.image.image.reference,
                network=NO_NETWORK,
                user=user,
                mounts=mounts,
                workdir=STAGE / "workspace" if mounts else PurePosixPath("/"),
                settings=common_environment(STAGE),
                inherited=tuple(variables),
                argv=argv,
                limits=self.limits,
                labels=self.labels,
                ceilings=self.engine.ceilings,
                limit_s=limit_s + _MONITOR_SLACK_S,
            )
        )
        began_s, exits, ran = time.monotonic(), list[Exit](), list[float]()

        async def work(streams: Streams) -> Exit:
            client = await start_process(
                (self.engine.program, *command),
                cwd=Path("/"),
                # Not on the command line: the text that marks an answer is for the program alone.
                env={**engine_environment(), **variables},
                **streams._asdict(),
                grace_s=GRACE_S,
                mark=self.engine.mark,
            )
            try:
                folders = [mount.source for mount in mounts]
                ended = await within_disk(
                    self._within_time(client, name, limit_s),
                    folders,
                    self.limits.disk,
                    lambda: self._kill(name),
                )
                exits.append(ended)
                ran.append(await self._ran_s(name, ended, argv[0]))
                return ended
            finally:
                await self.engine.remove_container(name)
                await client.end()

        result = await capture_output(work, stdin)
        if exits[0].limit == "disk":
            raise RunFailed(f"{argv[0]} took more than {self.limits.disk} bytes of disk")
        return _Ended(result, max(0.0, time.monotonic() - began_s - ran[0]))

    async def _within_time(self, client: AgentProcess, name: str, limit_s: float) -> Exit:
        """Return how a container ended; the time that the engine takes is not charged to its program."""
        engine_until_s = time.monotonic() + limit_s + _ENGINE_S
        wait_s = limit_s
        while not await client.ends_within(wait_s) and time.monotonic() < engine_until_s:
            state = await self.engine.state(name)
            wait_s = _LOOK_S
            if state is not None and state.running:
                wait_s = limit_s - (limit_s if state.age_s is None else state.age_s)
                if wait_s <= 0:
                    break
        return await client.wait(0)

    async def _kill(self, name: str) -> None:
        await self.engine.ask("kill", "--signal", "KILL", name)

    async def _ran_s(self, name: str, ended: Exit, program: str) -> float:
        """Return how long a program ran; what the engine took to start and end its container is not in it."""
        state = await self.engine.state(name)
        own = ended.code not in _ENGINES_OWN and not ended.timed_out
        if not own and (state is None or not state.started or state.error):
            said = state.error if state is not None else ""
            why = said or f"the engine ended with exit code {ended.code}"
            raise NotStarted(f"{program} cannot be started in image {self.image.image.name}: {why}")
        ran_s = None if state is None else state.ran_s
        return ended.duration_ms / 1000 if ran_s is None else ran_s


async def open_checks(
    engine: ContainerEngine, image: Image, limits: ResourceLimits, run: str
) -> ContainerChecks:
    """Return where checks run in containers, once the image is there.

    Args:
        engine: What runs them.
        image: The image.
        limits: Of each command.
        run: Name of the run, which begins with `cab-`.

    Raises:
        AdapterError: The image is not there and cannot be pulled.
    """
    found = await engine.find_image([image], CHECKS_FIX)
    return ContainerChecks(
        engine=engine, image=found, limits=limits, run=run, labels=own_labels(run)
    )


class ContainerRunner:
    """Runs the commands of one check, each in a container of its own.

    Args:
        site: How containers are made.
        stage: The folder that was laid out for it.
        deadline: The time limit of the check.
        user: `uid:gid` of the commands.
    """

    def __init__(
        self, site: ContainerChecks, stage: Path, deadline: CheckDeadline, user: str
    ) -> None:
        self.deadline = deadline
        self._site = site
        self._stage = stage
        self._user = user

    @property
    def cleanup(self) -> CleanupPlan:
        """The container of the command that runs."""
        return self._site.cleanup

    async def run(
        self,
        command: Sequence[str],
        variables: Mapping[str, str] = NO_VARIABLES,
        limit_s: float | None = None,
        stdin: str = "",
    ) -> CommandResult:
        """Run a command."""
        argv = fill_in(command, STAGE, _PYTHON)
        if "/" in argv[0]:  # engines look for a relative path where they like
            argv[0] = str(STAGE / "workspace" / argv[0])
        ended = await self._site.run_once(
            argv,
            _mounts(self._stage),
            user=self._user,
            variables=variables,
            limit_s=self.deadline.left_s() if limit_s is None else limit_s,
            stdin=stdin,
        )
        # A busy machine must not fail a check of many questions.
        self.deadline.extend(ended.engine_s)
        return ended.result

    async def close(self) -> None:
        """Do nothing: the folder itself is ours, and who gave away what is in it can remove that."""


def _mounts(stage: Path) -> list[Mount]:
    # Not the folder itself: it stays this user's own, so that it can be removed whatever happens.
    names = {"workspace": False, "pristine": True, "home": False, "tmp": False}
    return [Mount(stage / name, STAGE / name, read_only) for name, read_only in names.items()]
