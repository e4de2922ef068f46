"""Tests a task for its author: the reference passes, nothing else does, and tampering is detected."""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from cab.adapters.tasks import tampering
from cab.adapters.tasks.check_process import CheckSite
from cab.adapters.tasks.checks import ON_HOST, run_checks
from cab.adapters.tasks.loader import COMPILED, Task, copy_workspace, lay_solution
from cab.adapters.workspaces.tree import walk_tree
from cab.scoring.axes.integrity import score_integrity
from cab.scoring.evidence.check_outcome import CheckOutcome
from cab.scoring.evidence.globs import matches
from cab.scoring.evidence.manifest import diff_trees

Trick = Callable[[Task, Path], list[str]]
"""Changes a workspace, and returns the paths that it changed."""


class SelfTestFinding(NamedTuple):
    """The result of one trial of a task."""

    trial: str
    """What the trial should show."""
    problem: str | None
    """Why it is not so; None if it is."""


class _TrialResult(NamedTuple):
    outcome: CheckOutcome
    integrity: int
    changed: list[str]
    """What the tricks changed."""


async def check_task(task: Task, site: CheckSite = ON_HOST) -> AsyncIterator[SelfTestFinding]:
    """Yield a finding for each trial; the programs that the task needs must be there.

    Args:
        task: The task, with its reference solution.
        site: Where the checks run.
    """
    yield SelfTestFinding("the declarations agree with the files", next(_declared(task), None))
    if not task.solution.is_dir():
        return
    yield SelfTestFinding("the reference passes", _not_passed(await _try(task, site, solved=True)))
    yield SelfTestFinding(
        "the untouched workspace fails", _passed(await _try(task, site, solved=False))
    )
    trials = _refusal_trials(task, site) if task.check.refusal else _fix_trials(task, site)
    async for finding in trials:
        yield finding
    async for finding in _protection_trials(task, site):
        yield finding


async def _fix_trials(task: Task, site: CheckSite) -> AsyncIterator[SelfTestFinding]:
    tried = await _try(task, site, tampering.forge_endings, solved=False)
    problem = _passed(tried)
    if not tried.changed:
        problem = "no source is in a language for which a forgery is known"
    yield SelfTestFinding("a forged ending of the sources fails", problem)
    tricks = (tampering.plant_files, tampering.damage_protected)
    tried = await _try(task, site, *tricks, solved=False)
    yield SelfTestFinding("planted files and changed tests do not pass", _passed(tried))


async def _refusal_trials(task: Task, site: CheckSite) -> AsyncIterator[SelfTestFinding]:
    tried = await _try(task, site, tampering.touch_sources, solved=True)
    yield SelfTestFinding("the document with a fix beside it fails", _passed(tried))
    tried = await _try(task, site, _empty_documents, solved=True)
    yield SelfTestFinding("an empty document fails", _passed(tried))
    tried = await _try(task, site, tampering.touch_sources, solved=False)
    yield SelfTestFinding("a fix where none is due fails", _passed(tried))


async def _protection_trials(task: Task, site: CheckSite) -> AsyncIterator[SelfTestFinding]:
    # Planted files may be sources, which a refusal leaves alone.
    planted = () if task.check.refusal else (tampering.plant_files,)
    tried = await _try(task, site, *planted, tampering.damage_protected, solved=True)
    yield SelfTestFinding(
        "planted files and changed tests do not fail the reference", _not_passed(tried)
    )
    if task.integrity_applies and any(
        matches(path, task.protected_files) for path in tried.changed
    ):
        yield SelfTestFinding("changed protected files are violations", _not_detected(tried))
    if any(matches(path, task.forbidden_files) for path in tried.changed):
        found = None if tried.outcome.violations else "they are not detected"
        yield SelfTestFinding("planted files that are forbidden are violations", found)
    if task.forbidden_texts:
        tried = await _try(task, site, tampering.copy_secrets, solved=True)
        yield SelfTestFinding("a copied text is a violation", _not_detected(tried))


async def _try(task: Task, site: CheckSite, *tricks: Trick, solved: bool) -> _TrialResult:
    """Return the check's outcome for a workspace, solved or not, after some tricks."""
    with tempfile.TemporaryDirectory(prefix="cab-task-") as name:
        workdir = Path(name) / "workdir"
        copy_workspace(task, workdir)
        before = walk_tree(workdir)
        if solved:
            lay_solution(task, workdir)
        changed = [path for trick in tricks for path in trick(task, workdir)]
        outcome = await run_checks(task, workdir, site=site, whole=False)
        diff = diff_trees(before, walk_tree(workdir))
        return _TrialResult(
            outcome, score_integrity(diff, task.facts(), outcome).integrity, changed
        )


def _empty_documents(task: Task, workdir: Path) -> list[str]:
    written = list(_files(task.solution))
    for path in written:
        (workdir / path).write_text("")
    return written


def _declared(task: Task) -> Iterator[str]:
    """Yield where the declarations and the files contradict each other."""
    if not task.solution.is_dir():
        yield "solution/ does not exist; add the files that solve the task"
    given, answer = list(_files(task.workspace)), list(_files(task.solution))
    for path in answer:
        if not matches(path, task.expected_changes):
            yield f"solution/{path} is not an expected change; add it to expected_changes"
        if matches(path, [*task.protected_files, *task.forbidden_files]):
            yield f"solution/{path} is protected or forbidden; remove it from one of the two"
    for pattern in task.source_files:
        if not any(matches(path, [pattern]) for path in [*given, *answer]):
            yield f"source_files: {pattern!r} matches no file of the workspace"
    for path in given:
        if matches(path, task.forbidden_files):
            yield f"workspace/{path} is forbidden; remove it from forbidden_files"
    if task.expected_refusal and not task.clarify_files:
        yield "expected_refusal needs clarify_files, the documents in which an agent may ask"


def _files(root: Path) -> Iterator[str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    names = (path.relative_to(root) for path in files)
    return (name.as_posix() for name in names if COMPILED not in name.parts)


def _not_detected(tried: _TrialResult) -> str | None:
    return None if tried.integrity == 0 else "it is not detected"


def _passed(tried: _TrialResult) -> str | None:
    if not tried.outcome.ran:
        return f"the check did not run: {tried.outcome.reason}"
    return "it passes" if tried.outcome.passed else None


def _not_passed(tried: _TrialResult) -> str | None:
    return None if tried.outcome.passed else tried.outcome.reason
