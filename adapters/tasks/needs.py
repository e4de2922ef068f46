"""Tries the programs that a task needs: one that is there and does not work is the machine's fault, not the agent's."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache

from cab.adapters.processes.search_path import absolute_parts
from cab.adapters.tasks.models import Need, Task
from cab.adapters.tasks.staging import homes_of

_TRIAL_S = 30.0
_SHOWN_CHARS = 200
_NOT_THERE = "is not on PATH"


def missing_needs(task: Task) -> list[str]:
    """Return one line for each program that the checks need and that cannot be used here."""
    return [
        f"task {task.id} needs {need.command}, which {problem}; {need.get}"
        for need in task.needs
        if (problem := need_problem(need)) is not None
    ]


def need_state(need: Need) -> str:
    """Return `ok`, `MISSING` or `BROKEN`."""
    problem = need_problem(need)
    if problem is None:
        return "ok"
    return "MISSING" if problem == _NOT_THERE else "BROKEN"


def need_problem(need: Need) -> str | None:
    """Return why a program that a task needs cannot be used here; None if it can.

    It is run as in a check: with nothing of the user's environment but the folders that the task names.
    """
    path = absolute_parts(os.environ.get("PATH", os.defpath))
    if shutil.which(need.command, path=path) is None:
        return _NOT_THERE
    words = [need.command, "--version"] if need.trial is None else need.trial
    return _problem(tuple(words), path, tuple(homes_of([need]).items())) if words else None


@lru_cache(maxsize=256)
def _problem(words: tuple[str, ...], path: str, homes: tuple[tuple[str, str], ...]) -> str | None:
    # Kept: a sweep asks for each of its cells, and a program that breaks later is noticed by the reference.
    with tempfile.TemporaryDirectory(prefix="cab-need-", ignore_cleanup_errors=True) as home:
        said = _failure(words, {**dict(homes), "PATH": path, "HOME": home, "TMPDIR": home}, home)
    return None if said is None else f"does not work here ({' '.join(words)}: {said})"


def _failure(words: Sequence[str], env: Mapping[str, str], folder: str) -> str | None:
    try:
        done = subprocess.run(
            [shutil.which(words[0], path=env["PATH"]) or words[0], *words[1:]],
            env={**env, "LANG": "C.UTF-8"},
            cwd=folder,  # a file of the user's must not choose a toolchain
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TRIAL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {_TRIAL_S:g} s"
    except OSError as error:
        return error.strerror or str(error)
    if not done.returncode:
        return None
    lines = (done.stderr + b"\n" + done.stdout).decode(errors="replace").splitlines()
    said = next((line.strip() for line in lines if line.strip()), "")
    return said[:_SHOWN_CHARS] or f"exit code {done.returncode}"
