"""aider's benchmark: the `.aider.results.json` of one exercise.

The agent has several tries at an exercise; what counts is the last one. Its clock runs while the
agent does, and not while tests do.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from cab.scoring.files import FileModel, is_list, is_object, validated
from cab.scoring.imports.model import FileCount, ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading.cell_ids import FieldNames, make_cell_id
from cab.scoring.imports.reading.clocks import checked_ms
from cab.scoring.imports.reading.files import load
from cab.scoring.imports.reading.input_file import InputFile
from cab.scoring.imports.reading.values import Amount, sum_known, usd

_TUI = "aider"
_LAYOUT = ("exercises", "practice")
"""Folders between the language and the exercise."""
_MARKS = frozenset({"tests_outcomes", "testcase"})
_ERROR_NAME = re.compile(r"([A-Za-z_][\w.]*)(:.*)?")


class _Results(FileModel):
    testcase: str
    testdir: str | None = None
    model: str | None = None
    tests_outcomes: list[bool]
    duration: float | None = None
    cost: Amount | None = None
    prompt_tokens: FileCount | None = None
    completion_tokens: FileCount | None = None
    commit_hash: str | None = None


class _Crash(FileModel):
    exception: str


class _Place(NamedTuple):
    """Where an exercise stands within a benchmark."""

    run: str | None
    language: str | None
    exercise: str


def is_aider_results(data: object) -> bool:
    """Return whether parsed JSON looks like the results of an exercise."""
    if not is_object(data):
        return False
    crashed = data.keys() == {"exception"} and isinstance(data["exception"], str)
    return crashed or (data.keys() >= _MARKS and is_list(data["tests_outcomes"]))


def read_aider_results(path: Path) -> ImportedCell:
    """Return the cell of an exercise's `.aider.results.json`.

    An exercise on which the benchmark itself failed has no verdict, and its name is that of the
    folder that it lies in.

    Raises:
        BadRecord: It is not such a file, or a field is missing, of the wrong type or out of range.
    """
    source = InputFile(path)
    return source.one(lambda _: aider_of(load(source), source))


def aider_of(data: object, source: InputFile) -> ImportedCell:
    """Return the cell of results that are parsed already; errors as for `read_aider_results`."""
    path = source.path
    if is_object(data) and "tests_outcomes" not in data and "exception" in data:
        return _crashed(validated(_Crash, data, path), path)
    results = validated(_Results, data, path)
    place = _place(results.testdir or str(path.absolute().parent))
    passed, reason = _verdict(results.tests_outcomes)
    seconds = results.duration
    duration_ms = checked_ms(None if seconds is None else seconds * 1000, source, "duration")
    return ImportedCell(
        cell_id=_cell_id(path, place, results.testcase, results.model),
        origin=Origin(form="aider.results", version=results.commit_hash, name=results.testcase),
        passed=passed,
        reason=reason,
        wall_clock_ms=duration_ms,
        agent_ms=duration_ms,
        self_reported=_own_count(results, path),
    )


def _crashed(crash: _Crash, path: Path) -> ImportedCell:
    place = _place(str(path.absolute().parent))
    last = crash.exception.rstrip().rpartition("\n")[2]
    # Only the name: the message of an exception may hold a key.
    name = _ERROR_NAME.fullmatch(last)
    return ImportedCell(
        cell_id=_cell_id(path, place, place.exercise, None),
        origin=Origin(form="aider.results", version=None, name=place.exercise),
        passed=None,
        reason=f"the benchmark failed: {name[1] if name else 'an exception'}",
    )


def _verdict(outcomes: list[bool]) -> tuple[Literal[0, 1] | None, str]:
    if not outcomes:
        return None, "no tests were run"
    if outcomes[-1]:
        return 1, f"tests passed at try {len(outcomes)}"
    return 0, f"tests failed, tries: {len(outcomes)}"


def _own_count(results: _Results, path: Path) -> OwnCount | None:
    prompt, completion = results.prompt_tokens, results.completion_tokens
    if prompt is None and completion is None and results.cost is None:
        return None
    return OwnCount(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=sum_known([prompt, completion]),
        cost_usd=usd(results.cost, path, "cost"),
    )


def _cell_id(path: Path, place: _Place, exercise: str, model: str | None) -> str:
    names = FieldNames(_TUI, model, place.language or _TUI, exercise, place.run)
    return make_cell_id(names, path)


def _place(folder: str) -> _Place:
    """Return the parts of `.../<run>/<language>/exercises/practice/<exercise>`."""
    parts = [part for part in PurePosixPath(folder).parts if part not in {"/", "..", "."}]
    exercise = parts[-1] if parts else ""
    if tuple(parts[-3:-1]) == _LAYOUT:
        return _Place(
            run=parts[-5] if len(parts) > 4 else None,
            language=parts[-4] if len(parts) > 3 else None,
            exercise=exercise,
        )
    return _Place(run=parts[-2] if len(parts) > 1 else None, language=None, exercise=exercise)
