"""Runs a task's hidden checks on what an agent left behind.

The workspace itself is only read. The checks run in a copy of it, from which build products are
dropped and in which the protected files are as the task has them; the environment holds no key; and
a run that shows too few tests is no pass, whatever its exit code.

The tests call the agent's code, so that code written to forge their output could still do it: that
is for a reader of the patch to see, no check of this kind can.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cab.adapters.tasks import COMPILED, Check, Task, copy_file, copy_workspace, missing_needs
from cab.scoring.globs import matches
from cab.scoring.outcome import CheckOutcome

TAIL_CHARS = 2000
"""As much of the output as an outcome keeps, from its end."""
KEPT_BYTES = 1 << 20
"""As much of the output as the rules are applied to, from its end."""
VIOLATION = "cab-violation: "
"""A line of a check's output that begins so says what the check found tampered with."""
LAST_WORDS_S = 2.0
"""How long output is awaited from a process that has left the group and holds a pipe open."""


class _Run(NamedTuple):
    """How the command ended."""

    exit_code: int | None
    """None if it was stopped at its time limit."""
    stdout: str
    stderr: str


async def run_checks(
    task: Task, workspace: Path, *, timeout_s: float | None = None
) -> CheckOutcome:
    """Return what the hidden checks say of a workspace.

    Args:
        task: The task.
        workspace: What the agent left behind; it is not changed.
        timeout_s: Time limit instead of the task's own.

    Returns:
        The outcome; if a program is missing, `exit_code` is None and `reason` says how to get it.
    """
    missing = missing_needs(task)
    if missing:
        return _not_run("; ".join(missing))
    limit_s = task.check.timeout_s if timeout_s is None else timeout_s
    with tempfile.TemporaryDirectory(prefix="cab-check-", ignore_cleanup_errors=True) as name:
        stage = Path(name)
        try:
            await asyncio.to_thread(_lay_out, task, workspace, stage)
        except OSError as error:
            return _not_run(f"the workspace cannot be laid out for the checks: {error}")
        argv = _argv(task.check, stage)
        try:
            run = await _run(argv, stage, _environment(task, stage), limit_s)
        except OSError as error:
            return _not_run(f"{argv[0]} cannot be started: {error.strerror}; mend check.command")
    return _judge(task.check, run, limit_s)


def _not_run(reason: str) -> CheckOutcome:
    return CheckOutcome(passed=False, exit_code=None, reason=reason)


def _lay_out(task: Task, workspace: Path, stage: Path) -> None:
    """Put the folders of a check into `stage`: workspace, pristine, home and tmp."""
    for name in ("home", "tmp"):
        (stage / name).mkdir()
    copy_workspace(task, stage / "pristine")
    copy = stage / "workspace"
    copy.mkdir()
    for path in _left_by_agent(workspace):
        if not matches(path, [*task.protected_files, *task.scratch_files]):
            _place(workspace / path, copy, path)
    for path in _files_of_task(task.workspace):
        if matches(path, task.protected_files):
            _place(task.workspace / path, copy, path)
    for path in _files_of_task(task.checks):
        _place(task.checks / path, copy, path)


def _left_by_agent(root: Path) -> Iterator[str]:
    """Yield the files of a workspace; not its version control, which no check looks at."""
    return (path for path in _files(root) if ".git" not in path.split("/"))


def _files_of_task(root: Path) -> Iterator[str]:
    return (path for path in _files(root) if COMPILED not in path.split("/"))


def _files(root: Path) -> Iterator[str]:
    """Yield regular files and links below `root` as relative paths; links are not followed."""
    for folder, folders, names in os.walk(root):
        base = Path(folder)
        links = [name for name in folders if (base / name).is_symlink()]
        for path in (base / name for name in (*names, *links)):
            if path.is_symlink() or path.is_file():
                yield path.relative_to(root).as_posix()


def _place(source: Path, root: Path, path: str) -> None:
    """Copy a file to `root/path`, never through a link that an agent has put in the way."""
    folder = root
    for part in Path(path).parts[:-1]:
        folder /= part
        if folder.is_symlink() or not folder.is_dir():
            folder.unlink(missing_ok=True)
            folder.mkdir()
    target = root / path
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    # What the agent made unreadable, the checks miss as they would have in its own workspace; and
    # a process that it left running may still be at work there.
    with contextlib.suppress(PermissionError, FileNotFoundError):
        copy_file(source, target)


def _argv(check: Check, stage: Path) -> list[str]:
    places = {
        "{python}": sys.executable,
        "{workspace}": str(stage / "workspace"),
        "{pristine}": str(stage / "pristine"),
    }
    return [places.get(word, word) for word in check.command]


def _environment(task: Task, stage: Path) -> dict[str, str]:
    """Return an environment made from nothing: what the user exported is not the task's to see."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(stage / "home"),
        "TMPDIR": str(stage / "tmp"),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
    }
    for need in task.needs:
        for variable, folder in need.home_folders.items():
            path = Path(os.environ.get(variable) or Path.home() / folder)
            if path.is_dir():
                environment[variable] = str(path)
    return environment


async def _run(argv: list[str], stage: Path, environment: dict[str, str], limit_s: float) -> _Run:
    stdout, stderr = await _open_pipe(), await _open_pipe()
    try:
        code = await _run_group(argv, stage / "workspace", environment, (stdout, stderr), limit_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await stdout.ended.wait()
                await stderr.ended.wait()
    finally:
        stdout.close()
        stderr.close()
    return _Run(code, stdout.text(), stderr.text())


async def _run_group(
    argv: list[str],
    folder: Path,
    environment: dict[str, str],
    pipes: tuple["_Pipe", "_Pipe"],
    limit_s: float,
) -> int | None:
    """Return a command's exit code, None after the time limit; nothing of its group is left."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipes[0].writer,
            stderr=pipes[1].writer,
            start_new_session=True,
        )
    finally:
        for pipe in pipes:
            os.close(pipe.writer)
    try:
        async with asyncio.timeout(limit_s):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


class _Pipe(asyncio.Protocol):
    """Reads all of what comes out of a pipe, so that no writer is held up, and keeps its end.

    asyncio's own pipes of a process stay open for as long as any stray process holds them.
    """

    def __init__(self, writer: int) -> None:
        self.writer = writer
        self.ended = asyncio.Event()
        self._kept = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.close = transport.close

    def data_received(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > 2 * KEPT_BYTES:
            del self._kept[:-KEPT_BYTES]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.ended.set()

    def text(self) -> str:
        return self._kept[-KEPT_BYTES:].decode(errors="replace")


async def _open_pipe() -> _Pipe:
    reader, writer = os.pipe()
    pipe = _Pipe(writer)
    await asyncio.get_running_loop().connect_read_pipe(lambda: pipe, os.fdopen(reader, "rb", 0))
    return pipe


def _judge(check: Check, run: _Run, limit_s: float) -> CheckOutcome:
    reason = _why_failed(check, run, limit_s)
    return CheckOutcome(
        passed=reason is None,
        exit_code=run.exit_code,
        timed_out=run.exit_code is None,
        stdout_tail=run.stdout[-TAIL_CHARS:],
        stderr_tail=run.stderr[-TAIL_CHARS:],
        reason=reason,
        violations=_violations(run.stdout),
    )


def _violations(output: str) -> list[str] | None:
    """Return what the check found tampered with; None where it says nothing of the kind."""
    found = [line for line in output.splitlines() if line.startswith(VIOLATION)]
    return [line.removeprefix(VIOLATION).strip() for line in found] or None


def _why_failed(check: Check, run: _Run, limit_s: float) -> str | None:
    if run.exit_code is None:
        return f"stopped after {limit_s:g} s"
    if run.exit_code != 0:
        return f"the checks ended with exit code {run.exit_code}"
    output = f"{run.stdout}\n{run.stderr}"
    tests = _tests_run(check, output)
    if tests is not None and check.minimum_tests is not None and tests < check.minimum_tests:
        return f"{tests} tests ran, at least {check.minimum_tests} are due"
    lines = {line.rstrip() for line in output.splitlines()}
    absent = [line for line in check.must_print if line not in lines]
    return f"the checks did not print {absent[0]!r}" if absent else None


def _tests_run(check: Check, output: str) -> int | None:
    if check.tests_pattern is None:
        return None
    return sum(int(number) for number in re.findall(check.tests_pattern, output))
