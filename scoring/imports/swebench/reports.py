"""SWE-bench evaluation: the report of a run, and the `report.json` of an instance.

A run's report does not name the model: its file is called `<model>.<run>.json`, and as either may
hold dots, the whole name is taken as the sweep. An instance's report lies in
`run_evaluation/<run>/<model>/<instance>/`, which names both.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_list, is_object, validated
from cab.scoring.imports.model import FileCount, ImportedCell, Origin
from cab.scoring.imports.reading.cell_ids import UNKNOWN, FieldNames, make_cell_id
from cab.scoring.imports.reading.files import load
from cab.scoring.imports.reading.input_file import FileRow, InputFile, say
from cab.scoring.imports.swebench.predictions import FAMILY

_LOGS = "run_evaluation"
"""Folder of the logs of all runs."""
_WITH_ONE = frozenset({"total_instances", "submitted_instances", "completed_ids", "unresolved_ids"})
_DETAILS = frozenset({"cost", "api_calls"})
"""What only the details of a published submission have."""
_DECISIVE = ("FAIL_TO_PASS", "PASS_TO_PASS")
"""Groups of tests that the verdict is made from."""


class _Verdict(NamedTuple):
    """What a report says of one instance."""

    passed: Literal[0, 1] | None
    reason: str
    partial_score: float | None = None


_RESOLVED = _Verdict(1, "resolved")
_UNRESOLVED = _Verdict(0, "not resolved")
_EMPTY = _Verdict(0, "an empty patch")
_ERROR = _Verdict(None, "not evaluated: the patch did not apply, or the evaluation failed")


class _Run(FileModel):
    resolved_ids: list[str]
    unresolved_ids: list[str] | None = None
    empty_patch_ids: list[str] = Field(default_factory=list[str])
    error_ids: list[str] = Field(default_factory=list[str])
    completed_ids: list[str] = Field(default_factory=list[str])
    infra_failure_ids: list[str] = Field(default_factory=list[str])
    failure_reasons: dict[str, str] = Field(default_factory=dict[str, str])
    resolved_instances: FileCount | None = None
    unresolved_instances: FileCount | None = None
    empty_patch_instances: FileCount | None = None
    error_instances: FileCount | None = None
    schema_version: int | None = None


class _Tests(FileModel):
    success: list[str]
    failure: list[str]


class _Instance(FileModel):
    resolved: bool
    patch_exists: bool | None = None
    patch_successfully_applied: bool | None = None
    infra_failure: bool | None = None
    infra_failure_reason: str | None = None
    tests_status: dict[str, _Tests] | None = None


def is_run_report(data: object) -> bool:
    """Return whether parsed JSON looks like the report of a run."""
    if not is_object(data) or "resolved_ids" not in data or "results" in data:
        return False
    return not _WITH_ONE.isdisjoint(data)


def is_instance_report(data: object) -> bool:
    """Return whether parsed JSON looks like the report of an instance, or of several."""
    if not is_object(data) or not data:
        return False
    return all(
        is_object(each)
        and "resolved" in each
        and not is_list(each["resolved"])
        and not each.keys() >= _DETAILS
        for each in data.values()
    )


def read_swebench_report(path: Path, model: str | None = None) -> list[ImportedCell]:
    """Return one cell per instance of a report, in the order of their names.

    Instances for which nothing was submitted are not cells.

    Args:
        path: The report of a run, or an instance's own.
        model: What the model is called, where the report does not say.

    Raises:
        BadRecord: It is not a report, it contradicts itself, or a field is missing or of the wrong
            type.
    """
    source = InputFile(path)
    cells = report_of(load(source), source, model)
    say(source.all_notes(), None)
    return cells


def report_of(data: object, source: InputFile, model: str | None = None) -> list[ImportedCell]:
    """Return the cells of a report that is parsed already; errors as for the reader."""
    if is_instance_report(data):
        cells = source.cells(_instances(data), lambda row, _: _of_instance(row, source.path, model))
    elif is_run_report(data):
        cells = list(_of_run(data, source.path, model))
    else:
        raise BadRecord(str(source.path), None, "is not a report of SWE-bench")
    return sorted(cells, key=lambda cell: cell.cell_id)


def _of_run(data: object, path: Path, model: str | None) -> Iterator[ImportedCell]:
    run = validated(_Run, data, path)
    _check_counts(run, path)
    version = None if run.schema_version is None else str(run.schema_version)
    for name, verdict in _verdicts(run, path).items():
        names = FieldNames(UNKNOWN, model, FAMILY, name, path.name.removesuffix(".json"))
        yield _cell(
            names, Origin(form="swebench.run_report", version=version, name=name), verdict, path
        )


def _check_counts(run: _Run, path: Path) -> None:
    for name in ("resolved", "unresolved", "empty_patch", "error"):
        count: int | None = getattr(run, f"{name}_instances")
        listed: list[str] | None = getattr(run, f"{name}_ids")
        if count is not None and listed is not None and count != len(listed):
            what = f"says {count} where {name}_ids has {len(listed)}"
            raise BadRecord(str(path), None, what, field=f"{name}_instances")


def _verdicts(run: _Run, path: Path) -> dict[str, _Verdict]:
    """Return instance -> verdict; an instance is in one list only."""
    found: dict[str, _Verdict] = {}
    lists = {
        "resolved_ids": (run.resolved_ids, _RESOLVED),
        "unresolved_ids": (run.unresolved_ids or [], _UNRESOLVED),
        "empty_patch_ids": (run.empty_patch_ids, _EMPTY),
        "error_ids": (run.error_ids, _ERROR),
    }
    for field, (names, verdict) in lists.items():
        for name in names:
            if name in found:
                raise BadRecord(str(path), None, f"{name!r} is there twice", field=field)
            found[name] = verdict
    if run.unresolved_ids is None:
        # Reports before schema 2 list what was evaluated and what was resolved.
        found = {**dict.fromkeys(run.completed_ids, _UNRESOLVED), **found}
    for name in run.infra_failure_ids:
        if name in found and not found[name].passed:
            why = run.failure_reasons.get(name, "no reason is given")
            found[name] = _Verdict(None, f"infrastructure failure: {why}")
    return found


def _instances(data: object) -> Iterator[FileRow]:
    yield from (FileRow(each, name) for name, each in data.items()) if is_object(data) else ()


def _of_instance(row: FileRow, path: Path, model: str | None) -> ImportedCell:
    sweep, of_folder = _folders(path)
    report = validated(_Instance, row.data, path, row.at)
    names = FieldNames(UNKNOWN, model or of_folder, FAMILY, row.at, sweep)
    origin = Origin(form="swebench.instance_report", version=None, name=row.at)
    return _cell(names, origin, _verdict(report), path)


def _folders(path: Path) -> tuple[str | None, str | None]:
    """Return run and model of `run_evaluation/<run>/<model>/<instance>/report.json`."""
    parts = path.absolute().parts
    if len(parts) > 4 and parts[-5] == _LOGS:
        return parts[-4], parts[-3]
    return None, None


def _verdict(report: _Instance) -> _Verdict:
    if report.resolved:
        return _RESOLVED._replace(partial_score=_share(report))
    if report.infra_failure:
        why = report.infra_failure_reason or "no reason is given"
        return _Verdict(None, f"infrastructure failure: {why}")
    reason = "not resolved"
    if report.patch_exists is False:
        reason = "no patch"
    elif report.patch_successfully_applied is False:
        reason = "not resolved: the patch did not apply, or the tests gave no result"
    return _Verdict(0, reason, _share(report))


def _share(report: _Instance) -> float | None:
    """Return the share of the tests that count which passed; None where they are not listed."""
    if report.tests_status is None:
        return None
    groups = [tests for name, tests in report.tests_status.items() if name in _DECISIVE]
    passed = sum(len(group.success) for group in groups)
    total = passed + sum(len(group.failure) for group in groups)
    return passed / total if total else None


def _cell(names: FieldNames, origin: Origin, verdict: _Verdict, path: Path) -> ImportedCell:
    return ImportedCell(
        cell_id=make_cell_id(names, path),
        origin=origin,
        passed=verdict.passed,
        partial_score=verdict.partial_score,
        reason=verdict.reason,
    )
