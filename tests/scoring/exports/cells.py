"""Cells to export: bundles of several agents, tasks and runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cab.scoring.cells.bundle import read_bundle, score_bundle
from cab.scoring.cells.cell import Identity, dump_cell
from cab.scoring.exports.source import Source, source_of
from cab.scoring.score import score_one
from tests.scoring.builders import check, end_fields, facts, task_facts, write_bundle

PATCH = "diff --git a/src/lib.py b/src/lib.py\n@@ -1 +1 @@\n-old\n+new\n"


def cell_id(task: str = "twin", run: int | None = None, tui: str = "scripted") -> str:
    """Return the id of a cell of the sweep `local` and the model `lab/demo`."""
    return f"local/{tui}/lab/demo/polyglot/{task}{f'#run{run}' if run else ''}"


def bundle(
    folder: Path,
    which: str | None = None,
    *,
    calls: Iterable[dict[str, Any]] | None = (),
    patch: bytes | None = PATCH.encode(),
    passed: bool = True,
    unchecked: str | None = None,
    agent_version: str | None = None,
    **changes: Any,
) -> Path:
    """Write a whole bundle and return its folder; `calls` get the cell's id.

    Args:
        folder: Made.
        which: Id of the cell.
        calls: Members of its records; None leaves the slice out.
        patch: Its patch; None leaves it out.
        passed: What the check says.
        unchecked: Why the check did not run.
        agent_version: Of the agent; None leaves it out.
        changes: Other facts.
    """
    which = which or cell_id()
    _, tui, lab, model, family, task = which.partition("#")[0].split("/")
    mine = None if calls is None else [{**fields, "cell_id": which} for fields in calls]
    write_bundle(folder, calls=mine)
    if patch is not None:
        (folder / "changes.patch").write_bytes(patch)
    identity = Identity(
        cell_id=which,
        sweep_id="local",
        tui=tui,
        agent_version=agent_version,
        model_build_id=f"{lab}/{model}",
        exit_code=0,
        sandbox="local",
        cab_version="0.1.0",
    )
    made = facts(
        identity=identity,
        check=check(passed=passed, exit_code=0 if passed else 1)
        if unchecked is None
        else check(passed=False, exit_code=None, reason=unchecked),
        **{"task": task_facts(task_id=f"{family}/{task}"), **changes},
    )
    (folder / "cell.json").write_bytes(dump_cell(score_bundle(read_bundle(folder, made))))
    return folder


def source(folder: Path, which: str | None = None, **changes: Any) -> Source:
    """Return a cell to export, with one call unless others are given."""
    return source_of(score_one(bundle(folder, which, **{"calls": [end_fields()], **changes})))
