"""Terminal-Bench 1: the `results.json` of a run, and of one trial.

Neither names the agent or the model: the run's `run_metadata.json` beside it does. Attempts of a task
are runs of it. A count of 0 tokens is what the harness writes where an agent told it none.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_list, is_object, read_json, validated
from cab.scoring.imports.model import FileCount, ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading.cell_ids import UNKNOWN, FieldNames, make_cell_id
from cab.scoring.imports.reading.clocks import between_ms
from cab.scoring.imports.reading.input_file import FileRow, InputFile
from cab.scoring.imports.reading.values import sum_known

METADATA_FILE: Final = "run_metadata.json"
"""What a run was made with."""

_RUN_MARKS = frozenset({"results", "n_resolved", "n_unresolved", "resolved_ids", "accuracy"})
_TRIAL_MARKS = frozenset({"trial_name", "task_id", "is_resolved", "failure_mode"})
_FAMILY = "terminal-bench"
_TIMEOUT = "agent_timeout"
_NOT_INSTALLED = "agent_installation_failed"
_NO_FAILURE = frozenset({"unset", "none"})
_AGENT_FAILED = frozenset(
    {
        *("agent_timeout", "context_length_exceeded", "output_length_exceeded"),
        *("fatal_llm_parse_error", "test_timeout", "parse_error"),
    }
)
"""Failures after which a trial without a verdict is not resolved: the agent, or its work, ended so."""


class _Trial(FileModel):
    id: str | None = None
    uuid: str | None = None
    trial_name: str
    task_id: str
    is_resolved: bool | None
    failure_mode: str
    parser_results: dict[str, str] | None = None
    total_input_tokens: FileCount | None = None
    total_output_tokens: FileCount | None = None
    trial_started_at: str | None = None
    agent_started_at: str | None = None
    agent_ended_at: str | None = None


class _Metadata(FileModel):
    run_id: str | None = None
    agent_name: str | None = None
    model_name: str | None = None
    dataset_name: str | None = None


def is_terminal_bench_run(data: object) -> bool:
    """Return whether parsed JSON looks like the results of a run."""
    return is_object(data) and data.keys() >= _RUN_MARKS and is_list(data["results"])


def is_terminal_bench_trial(data: object) -> bool:
    """Return whether parsed JSON looks like the results of one trial."""
    return is_object(data) and data.keys() >= _TRIAL_MARKS


def terminal_bench_run_of(data: object, source: InputFile) -> list[ImportedCell]:
    """Return one cell per trial of a run, in the order of the file.

    Raises:
        BadRecord: No trial can be read.
    """
    run = _metadata(source.path.absolute().parent)
    return source.cells(_rows(data), lambda row, noting: _cell(row, run, noting))


def terminal_bench_trial_of(data: object, source: InputFile) -> ImportedCell:
    """Return the cell of one trial's file, which lies in `<run>/<task>/<trial>/`.

    Raises:
        BadRecord: A field is missing, of the wrong type or out of range.
    """
    folders = source.path.absolute().parents
    run = _metadata(folders[2]) if len(folders) > 3 else _Metadata()
    return _cell(FileRow(data), run, source)


def _rows(data: object) -> Iterator[FileRow]:
    results = data.get("results") if is_object(data) else None
    for number, each in enumerate(results if is_list(results) else ()):
        yield FileRow(each, f"results.{number}")


def _metadata(folder: Path) -> _Metadata:
    """Return what is known of a run; its folder has its name if nothing else says it."""
    path = folder / METADATA_FILE
    try:
        found = validated(_Metadata, read_json(path), path)
    except BadRecord:
        found = _Metadata()
    return found if found.run_id else found.model_copy(update={"run_id": folder.name})


def _cell(row: FileRow, run: _Metadata, source: InputFile) -> ImportedCell:
    trial = validated(_Trial, row.data, source.path, row.at)
    names = FieldNames(
        tui=run.agent_name or UNKNOWN,
        model=run.model_name,
        family=run.dataset_name or _FAMILY,
        task=trial.task_id,
        sweep=run.run_id,
    )
    passed, reason = _verdict(trial)
    ended = f"{row.at}.agent_ended_at" if row.at else "agent_ended_at"
    return ImportedCell(
        cell_id=make_cell_id(names, source.path),
        origin=Origin(
            form="terminal-bench.results",
            version=None,
            name=trial.trial_name,
            id=trial.id or trial.uuid,
        ),
        passed=passed,
        partial_score=_share(trial),
        reason=reason,
        stopped=trial.failure_mode == _TIMEOUT,
        wall_clock_ms=between_ms(trial.trial_started_at, trial.agent_ended_at, source, ended),
        agent_ms=between_ms(trial.agent_started_at, trial.agent_ended_at, source, ended),
        self_reported=_own_count(trial),
    )


def _verdict(trial: _Trial) -> tuple[Literal[0, 1] | None, str]:
    failed = "" if trial.failure_mode in _NO_FAILURE else f"; {trial.failure_mode}"
    if trial.failure_mode == _NOT_INSTALLED and not trial.is_resolved:
        return None, "the agent could not be installed; Terminal-Bench counts it as not resolved"
    if trial.is_resolved is not None:
        return (1, f"resolved{failed}") if trial.is_resolved else (0, f"not resolved{failed}")
    if trial.failure_mode in _AGENT_FAILED:
        return 0, f"no verdict of the tests{failed}"
    return None, f"not evaluated{failed}; Terminal-Bench counts it as not resolved"


def _share(trial: _Trial) -> float | None:
    """Return the share of tests that passed; None where none is listed."""
    results = list((trial.parser_results or {}).values())
    return results.count("passed") / len(results) if results else None


def _own_count(trial: _Trial) -> OwnCount | None:
    prompt, completion = trial.total_input_tokens or None, trial.total_output_tokens or None
    if prompt is None and completion is None:
        return None
    return OwnCount(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=sum_known([prompt, completion]),
    )
