"""Runs each attempt behind a command of the operator's: `srun`, `ssh`, `kubectl run`, whatever starts a program.

The command must carry stdin, stdout and stderr of the worker, and end when it ends. The job, with the
cell's keys, goes to stdin only: never into words, variables or files.
"""

import asyncio
import hashlib
import math
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from cab.adapters.sweeps.executors.processes import ProcessExecutor
from cab.adapters.sweeps.executors.protocol import CellJob
from cab.adapters.sweeps.executors.registry import WORKER, BadExecutor, ExecutorContext

ASK_S = 30.0
"""Time for one command that cancels or asks."""
CPUS: Final = 1
"""Processors of a cell that asks for none."""
MEMORY_BYTES: Final = 2 << 30
"""Memory of a cell that asks for none: without a number a job would take a whole node."""

_MIB = 1 << 20
_PLACE = re.compile(r"\{([a-z_]+)\}")
_WORKER_WORD = "{worker}"
PLACES = frozenset(
    {
        *("avoid", "cell", "cpus", "gpus", "memory_bytes", "memory_mib", "name"),
        *("node", "time_min", "time_s", "token", "worker_line"),
    }
)
"""Names that may stand in braces in a template's words; `{worker}` is a whole word of its own."""


class CommandExecutor(ProcessExecutor):
    """Starts workers with one template of words, and withdraws them with another.

    Args:
        context: The sweep.
        start: Words that start a worker.
        cancel: Words that end one where it runs; none if the end of the command does it.
    """

    def __init__(
        self, context: ExecutorContext, start: Sequence[str], cancel: Sequence[str]
    ) -> None:
        super().__init__()
        self.table = context.table
        self.token = context.token
        self._context = context
        self._start_words, self._cancel_words = tuple(start), tuple(cancel)
        check_template("start", self._start_words)
        check_template("cancel", self._cancel_words)

    @classmethod
    def of(cls, context: ExecutorContext) -> "CommandExecutor":
        """Return the executor of a sweep, with the templates of its file."""
        return cls(context, context.table.start, context.table.cancel)

    def prepare(self, job: CellJob) -> CellJob:
        """Return the job with what its worker does not have of its own on the node."""
        if not self.table.shared:
            bundles = f"{self.table.node_folder}/{self.token}"
            return job.model_copy(update={"bundles": bundles, "stream": True})
        ours = self._context.environment
        environment = {name: ours[name] for name in self.table.environment if name in ours}
        path = [os.path.abspath(path) for path in sys.path]  # noqa: PTH100 - "" is the current folder
        return job.model_copy(update={"environment": environment, "search_path": path})

    def words(self, job: CellJob) -> Sequence[str]:
        """Return the command that starts the worker of a job."""
        return fill(self._start_words, self.places(job), self.worker_words())

    def worker_words(self, *more: str, module: str = WORKER) -> tuple[str, ...]:
        """Return the words that run one of our modules on a node."""
        python = self.table.python or (sys.executable if self.table.shared else "python3")
        return (python, "-P", "-m", module, *more)

    def places(self, job: CellJob) -> dict[str, str | None]:
        """Return what stands for each name in braces; a word that names an unknown value is left out."""
        asked, times = job.resources, job.times
        limit_s = asked.time_s or (None if times is None else times.limit_s)
        memory = asked.memory_bytes or MEMORY_BYTES
        digest = hashlib.sha256(f"{self.token}/{job.cell_id}".encode()).hexdigest()
        return {
            "avoid": ",".join(job.avoid) or None,
            "cell": job.cell_id,
            "cpus": str(asked.cpus or CPUS),
            "gpus": str(asked.gpus) if asked.gpus else None,
            "memory_bytes": str(memory),
            "memory_mib": str(math.ceil(memory / _MIB)),
            # Good for names that allow little: of containers, of pods.
            "name": f"cab-{digest[:20]}",
            "node": job.node,
            "time_min": None if limit_s is None else str(math.ceil(limit_s / 60)),
            "time_s": None if limit_s is None else str(math.ceil(limit_s)),
            "token": self.token,
            "worker_line": shlex.join(self.worker_words()),
        }

    def variables(self) -> Mapping[str, str]:
        """Return the sweep's environment without our keys."""
        ours = self._context.environment
        return {name: value for name, value in ours.items() if not name.startswith("CAB_")}

    async def withdraw(self, job: CellJob) -> None:
        """Run the template that ends a worker where it runs."""
        if self._cancel_words:
            await self.ask(fill(self._cancel_words, self.places(job), self.worker_words()))

    async def ask(
        self, words: Sequence[str], limit_s: float = ASK_S, stdin: bytes = b""
    ) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr of a command; the code is -1 if it gave no answer in time."""
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self.variables(),
                start_new_session=True,
            )
        except OSError as error:
            return -1, "", f"{words[0]} cannot be started: {error.strerror or error}"
        try:
            async with asyncio.timeout(limit_s):
                out, err = await process.communicate(stdin)
        except TimeoutError:
            return -1, "", f"{words[0]} gave no answer in {limit_s:g} s"
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
        code = -1 if process.returncode is None else process.returncode
        return code, out.decode(errors="replace"), err.decode(errors="replace").strip()


def check_template(name: str, words: Sequence[str]) -> None:
    """Make sure that a template names nothing unknown.

    Raises:
        BadExecutor: It does, or its first word is missing.
    """
    for word in words:
        if word == _WORKER_WORD:
            continue
        for found in _PLACE.findall(word):
            if found == "worker":
                raise BadExecutor(
                    f"executor.{name}: {{worker}} stands for several words and must be a word of its own; "
                    "use {worker_line} inside a word"
                )
            if found not in PLACES:
                known = ", ".join(sorted(PLACES | {"worker"}))
                raise BadExecutor(f"executor.{name}: {{{found}}} is not known; known: {known}")


def fill(
    words: Sequence[str], places: Mapping[str, str | None], worker: Sequence[str]
) -> list[str]:
    """Return a template's words with values; a word of which a value is None is left out."""
    filled: list[str] = []
    for word in words:
        names = set(_PLACE.findall(word)) & places.keys()
        if word == _WORKER_WORD:
            filled += worker
        elif not any(places[name] is None for name in names):
            filled.append(_PLACE.sub(lambda found: places.get(found[1]) or found[0], word))
    return filled
