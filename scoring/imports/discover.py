"""Finds the files of cells in a folder: by their names, and where these are common by content."""

from collections.abc import Callable, Iterator
from pathlib import Path

from cab.scoring.errors import BadRecord
from cab.scoring.files import read_json, walk
from cab.scoring.imports.harbor import is_harbor_trial
from cab.scoring.imports.reports import is_instance_report

_TRIAL = "result.json"
_AIDER = ".aider.results.json"
_REPORT = "report.json"
_TRAJECTORY = ".traj.json"
_PAGE_TEXT = ".page.txt"


def find_files(folder: Path) -> Iterator[Path]:
    """Yield the files of cells in a folder that holds no bundle, in the order of their names.

    At any depth: Harbor's `result.json` of a trial, `.aider.results.json`, `*.traj.json`, and
    SWE-bench's `report.json` of an instance. Where there is none of them: `*.json`, `*.jsonl` and
    `*.page.txt` directly in the folder, of a page in both forms only the first.

    Raises:
        BadRecord: A folder cannot be searched.
    """
    found = False
    for file in _walk(folder):
        found = True
        yield file
    if not found:
        yield from sorted(file for file in folder.iterdir() if _is_cell_name(file))


def _walk(top: Path) -> Iterator[Path]:
    for folder, subfolders, files in walk(top):
        trial = _holds(folder / _TRIAL, is_harbor_trial) if _TRIAL in files else False
        if trial:
            # What the agent left within the trial is not a cell.
            subfolders.clear()
            yield folder / _TRIAL
            continue
        broken = {_TRIAL} if trial is None else set[str]()
        yield from (folder / file for file in files if file in broken or _is_cell(folder / file))


def _is_cell(path: Path) -> bool:
    """Return whether a file is a cell; a broken one counts, it must not go unnoticed."""
    if path.name == _REPORT:
        return _holds(path, is_instance_report) is not False
    return path.name == _AIDER or path.name.endswith(_TRAJECTORY)


def _holds(path: Path, recognises: Callable[[object], bool]) -> bool | None:
    """Return whether a file is of a form, None if it is broken."""
    try:
        return recognises(read_json(path))
    except BadRecord:
        return None


def _is_cell_name(file: Path) -> bool:
    if file.name.endswith(_PAGE_TEXT):
        return not file.with_name(f"{file.name.removesuffix(_PAGE_TEXT)}.json").exists()
    return file.suffix in {".json", ".jsonl"}
