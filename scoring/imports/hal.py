"""HAL: the `<run>_UPLOAD.json` of a run, which holds all its tasks.

The benchmark sums up which tasks succeeded and which failed; the calls of a task are beside it, of older runs as
they came from Weave. What HAL publishes is encrypted, and `hal-decrypt` makes this file of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_list, is_object, validated
from cab.scoring.imports.model import ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading.cell_ids import UNKNOWN, FieldNames, make_cell_id
from cab.scoring.imports.reading.clocks import checked_ms
from cab.scoring.imports.reading.input_file import FileRow, InputFile
from cab.scoring.imports.reading.usage import NOT_COUNTED, Counts, counts_of
from cab.scoring.imports.reading.values import inner, inner_text, sum_known

_MARKS = frozenset({"config", "results", "raw_eval_results"})
_WITH_ONE = frozenset({"benchmark_name", "agent_name", "run_id"})
_ENCRYPTED = frozenset({"encrypted_data", "salt"})


class _Config(FileModel):
    agent_name: str | None = None
    benchmark_name: str | None = None
    run_id: str | None = None
    agent_args: dict[str, object] | None = None


class _Results(FileModel):
    successful_tasks: list[str | int] | None = None
    failed_tasks: list[str | int] | None = None


class _Run(FileModel):
    config: _Config
    results: _Results
    raw_logging_results: object = None
    wall_clock_times: dict[str, float | None] | None = None
    task_metrics: dict[str, object] | None = None


class _Task(NamedTuple):
    passed: Literal[0, 1] | None
    reason: str


def is_hal(data: object) -> bool:
    """Return whether parsed JSON looks like the upload of a run."""
    if not is_object(data) or not data.keys() >= _MARKS:
        return False
    config = data["config"]
    return is_object(config) and not _WITH_ONE.isdisjoint(config) and is_object(data["results"])


def is_encrypted_hal(data: object) -> bool:
    """Return whether parsed JSON looks like an upload that is still encrypted."""
    return is_object(data) and data.keys() >= _ENCRYPTED


def encrypted_hal_of(data: object, source: InputFile) -> ImportedCell:  # noqa: ARG001 - all readers take it
    """Say how to read an upload that is still encrypted.

    Raises:
        BadRecord: Always.
    """
    raise BadRecord(str(source.path), None, "is encrypted: decrypt it with hal-decrypt first")


def hal_of(data: object, source: InputFile) -> list[ImportedCell]:
    """Return one cell per task, in the order of their names.

    Raises:
        BadRecord: It names no task, or contradicts itself.
    """
    run = validated(_Run, data, source.path)
    tasks = _tasks(run, source.path)
    calls = _calls(run.raw_logging_results)
    rows = (FileRow(task, name) for name, task in sorted(tasks.items()))
    return source.cells(
        rows, lambda row, noting: _cell(row.at, tasks[row.at], run, calls.get(row.at), noting)
    )


def _tasks(run: _Run, path: Path) -> dict[str, _Task]:
    succeeded = {str(name) for name in run.results.successful_tasks or ()}
    failed = {str(name) for name in run.results.failed_tasks or ()}
    both = succeeded & failed
    if both:
        what = f"{min(both)[:80]!r} is there as well as in failed_tasks"
        raise BadRecord(str(path), None, what, field="results.successful_tasks")
    found = dict.fromkeys(succeeded, _Task(1, "successful"))
    found |= dict.fromkeys(failed, _Task(0, "failed"))
    others = {
        *(run.wall_clock_times or {}),
        *(run.task_metrics or {}),
        *_calls(run.raw_logging_results),
    }
    for name in others:
        found.setdefault(name, _Task(None, "among neither the successful nor the failed tasks"))
    return found


def _calls(logged: object) -> dict[str, list[object]]:
    """Return task -> usage object of each of its calls, as far as they are there."""
    found: dict[str, list[object]] = {}
    if is_object(logged):
        for name, task in logged.items():
            calls = inner(task, "call_metadata") if is_object(task) else None
            found[name] = [
                inner(call, "usage") if is_object(call) else None
                for call in (calls if is_list(calls) else ())
            ]
    for call in logged if is_list(logged) else ():
        task_id = call.get("weave_task_id") if is_object(call) else None
        usage = inner(call, "output", "usage") if is_object(call) else None
        # Only what an endpoint answered has one: the other entries are functions around it.
        if isinstance(task_id, str | int) and usage is not None:
            found.setdefault(str(task_id), []).append(usage)
    return found


def _cell(
    name: str, task: _Task, run: _Run, calls: list[object] | None, source: InputFile
) -> ImportedCell:
    config = run.config
    model = inner_text(config.agent_args or {}, "model_name")
    names = FieldNames(
        tui=config.agent_name or UNKNOWN,
        model=model or _logged_model(run.raw_logging_results, name),
        family=config.benchmark_name or "hal",
        task=name,
        sweep=config.run_id,
    )
    seconds = (run.wall_clock_times or {}).get(name)
    ms = None if seconds is None else seconds * 1000
    return ImportedCell(
        cell_id=make_cell_id(names, source.path),
        origin=Origin(form="hal.upload", version=None, name=name),
        passed=task.passed,
        reason=task.reason,
        wall_clock_ms=checked_ms(ms, source, f"wall_clock_times.{name}"),
        self_reported=_own_count(calls, source.path, f"raw_logging_results.{name}"),
    )


def _logged_model(logged: object, name: str) -> str | None:
    task: Mapping[str, object] = logged if is_object(logged) else {}
    return inner_text(task, name, "model")


def _own_count(calls: list[object] | None, path: Path, at: str) -> OwnCount | None:
    if not calls:
        return None
    counts = [_counted(call, path, at) for call in calls]
    prompt = sum_known([call.prompt for call in counts])
    completion = sum_known([call.completion for call in counts])
    return OwnCount(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=sum_known([prompt, completion]),
        cache_read_tokens=sum_known([call.cached for call in counts]),
        reasoning_tokens=sum_known([call.reasoning for call in counts]),
        model_calls=len(calls),
        counted_calls=sum(call.prompt is not None for call in counts),
    )


def _counted(usage: object, path: Path, at: str) -> Counts:
    return counts_of(usage, path, at) if is_object(usage) else NOT_COUNTED
