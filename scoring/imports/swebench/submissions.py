"""SWE-bench's published submissions: `results.json`, and `per_instance_details.json`.

`results.json` lists the instances that were resolved, had no patch or no logs. Those that were evaluated
and not resolved are not in it; they are the rest of the predictions beside it. Submissions before summer
2024 list what became of each patch, the first ones by repository. The folder is called `<date>_<system>`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from cab.scoring.errors import BadRecord
from cab.scoring.files import FileModel, is_list, is_object, validated
from cab.scoring.imports.model import FileCount, ImportedCell, Origin, OwnCount
from cab.scoring.imports.reading.cell_ids import UNKNOWN, FieldNames, make_cell_id
from cab.scoring.imports.reading.input_file import FileRow, InputFile
from cab.scoring.imports.reading.values import Amount, texts, usd
from cab.scoring.imports.swebench.predictions import FAMILY, predictions_listed

PREDICTIONS: Final = ("all_preds.jsonl", "preds.jsonl", "preds.json")
"""Names of the predictions of a submission."""

_RESOLVED = "resolved"
_GENERATED = "generated"
_MARKS = frozenset(
    {
        *("no_generation", "no_logs", "generated", "with_logs", "install_fail", "reset_failed"),
        *("no_apply", "applied", "test_errored", "test_timeout"),
    }
)
_DETAILS = frozenset({"resolved", "cost", "api_calls"})


class _Outcome(NamedTuple):
    passed: Literal[0, 1] | None
    reason: str


_LISTS: Final = (
    ("resolved", _Outcome(1, "resolved")),
    ("no_generation", _Outcome(0, "no patch")),
    ("none", _Outcome(0, "no patch")),
    ("install_fail", _Outcome(None, "not evaluated: the installation failed")),
    ("reset_failed", _Outcome(None, "not evaluated: the repository could not be reset")),
    ("no_logs", _Outcome(None, "not evaluated: there are no logs")),
    ("no_apply", _Outcome(0, "not resolved: the patch did not apply")),
    ("test_errored", _Outcome(0, "not resolved: the tests failed to run")),
    ("test_timeout", _Outcome(0, "not resolved: the tests took too long")),
)
"""List of instances -> what became of them. An instance in several lists is of the first one."""
_NOT_RESOLVED = _Outcome(0, "not resolved")


class _Instance(FileModel):
    resolved: bool
    cost: Amount | None = None
    api_calls: FileCount | None = None


def is_submission(data: object) -> bool:
    """Return whether parsed JSON looks like the `results.json` of a submission."""
    if not is_object(data) or not data:
        return False
    return _is_lists(data) or all(_is_lists(each) for each in data.values())


def _is_lists(data: object) -> bool:
    if not is_object(data) or _RESOLVED not in data or _MARKS.isdisjoint(data):
        return False
    return all(texts(data[name]) for name in data.keys() & {_RESOLVED, *_MARKS})


def is_submission_details(data: object) -> bool:
    """Return whether parsed JSON looks like the `per_instance_details.json` of a submission."""
    if not is_object(data) or not data:
        return False
    return all(is_object(each) and each.keys() >= _DETAILS for each in data.values())


def submission_of(data: object, source: InputFile) -> list[ImportedCell]:
    """Return one cell per instance whose outcome is known, in the order of their names.

    Raises:
        BadRecord: There is none.
    """
    lists = _whole(data)
    outcomes = _outcomes(lists)
    if _GENERATED not in lists:
        _add_unresolved(outcomes, source)
    rows = (FileRow(outcomes[name], name) for name in sorted(outcomes))
    return source.cells(rows, lambda row, noting: _cell(row.at, outcomes[row.at], noting.path))


def submission_details_of(data: object, source: InputFile) -> list[ImportedCell]:
    """Return one cell per instance, in the order of their names.

    Raises:
        BadRecord: No instance can be read.
    """
    return source.cells(_rows(data), _detailed)


def _rows(data: object) -> Iterator[FileRow]:
    yield from (FileRow(data[name], name) for name in sorted(data)) if is_object(data) else ()


def _whole(data: object) -> dict[str, list[str]]:
    """Return name of a list -> its instances, of all repositories."""
    found: dict[str, list[str]] = {}
    parts = [data] if _is_lists(data) else data.values() if is_object(data) else ()
    for part in parts:
        for name, listed in part.items() if is_object(part) else ():
            if is_list(listed):
                found.setdefault(name, []).extend(map(str, listed))
    return found


def _outcomes(lists: dict[str, list[str]]) -> dict[str, _Outcome]:
    found: dict[str, _Outcome] = {}
    for name, outcome in _LISTS:
        found = dict.fromkeys(lists.get(name, ()), outcome) | found
    # A patch that was generated and is in no other list was not good enough.
    return dict.fromkeys(lists.get(_GENERATED, ()), _NOT_RESOLVED) | found


def _add_unresolved(outcomes: dict[str, _Outcome], source: InputFile) -> None:
    """Take the instances that were evaluated and not resolved from the predictions beside the file."""
    folder = source.path.absolute().parent
    beside = (place / name for place in (folder, folder.parent) for name in PREDICTIONS)
    predictions = next((path for path in beside if path.is_file()), None)
    if predictions is None:
        what = (
            "lists no instance that was evaluated and not resolved, and no predictions lie beside "
            "it: a pass rate of these cells alone is too high"
        )
        source.note(what)
        return
    try:
        for name in predictions_listed(predictions):
            outcomes.setdefault(name, _NOT_RESOLVED)
    except BadRecord as error:
        source.note(f"the predictions beside it cannot be read, a pass rate is too high: {error}")


def _system(path: Path) -> str | None:
    """Return the folder of the submission: `<date>_<system>/results/results.json`, or without `results`."""
    folder = path.absolute().parent
    return (folder.parent.name if folder.name == "results" else folder.name) or None


def _cell(name: str, outcome: _Outcome, path: Path) -> ImportedCell:
    names = FieldNames(UNKNOWN, None, FAMILY, name, _system(path))
    return ImportedCell(
        cell_id=make_cell_id(names, path),
        origin=Origin(form="swebench.submission", version=None, name=name),
        passed=outcome.passed,
        reason=outcome.reason,
    )


def _detailed(row: FileRow, source: InputFile) -> ImportedCell:
    read = validated(_Instance, row.data, source.path, row.at)
    outcome = _Outcome(1, "resolved") if read.resolved else _NOT_RESOLVED
    cell = _cell(row.at, outcome, source.path)
    if read.cost is None and read.api_calls is None:
        return cell
    cost = usd(read.cost, source.path, f"{row.at}.cost")
    own = OwnCount(
        prompt_tokens=None,
        completion_tokens=None,
        total_tokens=None,
        model_calls=read.api_calls,
        cost_usd=cost,
    )
    return cell.model_copy(update={"self_reported": own})
