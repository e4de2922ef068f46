"""Finding files of cells in a folder: what name they have, and for common names what they hold."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cab.scoring.errors import BadRecord
from cab.scoring.files import parse_json, read_bytes
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
    def fail(error: OSError) -> None:
        raise BadRecord(error.filename, None, error.strerror or str(error)) from error

    for name, subfolders, files in os.walk(top, onerror=fail):
        subfolders.sort()
        folder = Path(name)
        trial = _holds(folder / _TRIAL, is_harbor_trial) if _TRIAL in files else False
        if trial:
            # What the agent left within the trial is no cell.
            subfolders.clear()
            yield folder / _TRIAL
            continue
        broken = {_TRIAL} if trial is None else set[str]()
        yield from (
            folder / file for file in sorted(files) if file in broken or _is_cell(folder / file)
        )


def _is_cell(path: Path) -> bool:
    """Return whether a file is a cell; one that is broken is, it must not go unnoticed."""
    if path.name == _REPORT:
        return _holds(path, is_instance_report) is not False
    return path.name == _AIDER or path.name.endswith(_TRAJECTORY)


def _holds(path: Path, recognises: Callable[[object], bool]) -> bool | None:
    """Return whether a file is of a form, None if it is broken."""
    try:
        return recognises(parse_json(read_bytes(path), path))
    except BadRecord:
        return None


def _is_cell_name(file: Path) -> bool:
    if file.name.endswith(_PAGE_TEXT):
        return not file.with_name(f"{file.name.removesuffix(_PAGE_TEXT)}.json").exists()
    return file.suffix in {".json", ".jsonl"}
