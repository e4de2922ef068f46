"""Finds the files of cells in a folder: by their names, and where these are common by content."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cab.scoring.errors import BadRecord
from cab.scoring.files import is_object, walk
from cab.scoring.imports.atif import is_atif
from cab.scoring.imports.hal import is_hal
from cab.scoring.imports.harbor import is_harbor_trial, trials_expected
from cab.scoring.imports.reading.files import load
from cab.scoring.imports.reading.input_file import InputFile, Note, say
from cab.scoring.imports.reading.values import inner_text
from cab.scoring.imports.swebench.reports import is_instance_report, is_run_report
from cab.scoring.imports.swebench.submissions import is_submission, is_submission_details
from cab.scoring.imports.terminal_bench import is_terminal_bench_run, is_terminal_bench_trial

_TRIAL = "result.json"
_TRIAL_LOG = "trial.log"
_TRIAL_FOLDERS = frozenset({"agent", "verifier", "steps"})
_RUN = "results.json"
_PAGE_TEXT = ".page.txt"
_PACKED = (".gz", ".zst")
_ENDINGS = (".aider.results.json", ".traj.json", ".traj", ".eval", "_UPLOAD.json")
"""Ends of names that no other tool gives."""
_OPENHANDS = "output.jsonl"
_COMMON: Final[dict[str, tuple[Callable[[object], bool], ...]]] = {
    _TRIAL: (is_harbor_trial,),
    "report.json": (is_instance_report, is_run_report),
    _RUN: (is_terminal_bench_run, is_terminal_bench_trial, is_submission, is_run_report),
    "trajectory.json": (is_atif,),
    "per_instance_details.json": (is_submission_details,),
}
"""Names that other tools give as well -> what the content must be."""
_ABSENT, _BROKEN = object(), object()
_ANY_NAME = frozenset({".json", ".jsonl", ".eval", ".traj", ".yml", ".yaml"})


def find_files(folder: Path, on_note: Callable[[Note], None] | None = None) -> Iterator[Path]:
    """Yield the files of cells in a folder that holds no bundle, in the order of their names.

    At any depth, packed with gzip or zstd or not: Harbor's `result.json` of a trial and otherwise its
    `trajectory.json`, Terminal-Bench's `results.json`, `.aider.results.json`, `*.traj.json`, `*.traj`,
    `*.eval`, `output.jsonl`, `*_UPLOAD.json`, and SWE-bench's `report.json`, `results.json` and
    `per_instance_details.json`. Where there is none of them: any other file of cells directly in
    the folder, of a page in both forms only the first.

    Args:
        folder: The folder.
        on_note: Called if a job of Harbor has not the number of trials that it speaks of; without
            it, that is a `ReadingWarning`.

    Raises:
        BadRecord: A folder cannot be searched.
    """
    found = False
    for file in _walk(folder, on_note):
        found = True
        yield file
    if not found:
        yield from sorted(file for file in folder.iterdir() if _is_cell_name(file))


class _Jobs:
    """Jobs of Harbor, and the trials that lie in them; a copy of a trial is the same one."""

    def __init__(self) -> None:
        self._expected: dict[Path, int] = {}
        self._found: dict[Path, set[str]] = {}

    def expect(self, folder: Path, trials: int) -> None:
        self._expected[folder] = trials

    def add(self, folder: Path, trial: object) -> None:
        name = inner_text(trial, "id") if is_object(trial) else None
        for job in folder.parents:
            if job in self._expected:
                self._found.setdefault(job, set()).add(name or str(folder))

    def notes(self) -> Iterator[Note]:
        for folder, expected in self._expected.items():
            found = len(self._found.get(folder, ()))
            if found != expected:
                what = f"n_total_trials is {expected}, and {found} are here"
                yield Note(str(folder / _TRIAL), None, what)


def _walk(top: Path, on_note: Callable[[Note], None] | None) -> Iterator[Path]:
    jobs = _Jobs()
    for folder, subfolders, files in walk(top):
        path = folder / _TRIAL
        result = _loaded(path) if _TRIAL in files else _ABSENT
        if result is _BROKEN or is_harbor_trial(result):
            jobs.add(folder, result)
            yield path
        if is_harbor_trial(result) or (result is _BROKEN and _is_trial(subfolders, files)):
            # What the agent left within the trial is not a cell.
            subfolders.clear()
            continue
        if (number := trials_expected(result)) is not None:
            jobs.expect(folder, number)
        if _RUN in files and is_terminal_bench_run(_loaded(folder / _RUN)):
            # The files of the trials say the same once more.
            subfolders.clear()
        yield from (folder / file for file in files if _is_cell(folder / file))
    say(jobs.notes(), on_note)


def _is_trial(subfolders: list[str], files: list[str]) -> bool:
    """Return whether a folder with a broken result looks like that of a trial, and not of a job."""
    return _TRIAL_LOG in files or not _TRIAL_FOLDERS.isdisjoint(subfolders)


def _is_cell(path: Path) -> bool:
    """Return whether a file is a cell; a broken one counts, it must not go unnoticed."""
    name = _unpacked_name(path)
    if path.name == _TRIAL:
        return False  # looked at before the others, see _walk
    if name in _COMMON:
        return _holds(path, _COMMON[name])
    if name.endswith("_UPLOAD.json"):
        return _holds(path, (is_hal,))
    return name == _OPENHANDS or name.endswith(_ENDINGS)


def _holds(path: Path, recognise: tuple[Callable[[object], bool], ...]) -> bool:
    """Return whether a file is of one of some forms, or broken."""
    data = _loaded(path)
    return data is _BROKEN or any(recognises(data) for recognises in recognise)


def _loaded(path: Path) -> object:
    try:
        return load(InputFile(path))
    except BadRecord:
        return _BROKEN


def _is_cell_name(file: Path) -> bool:
    name = _unpacked_name(file)
    if name.endswith(_PAGE_TEXT):
        return not file.with_name(f"{name.removesuffix(_PAGE_TEXT)}.json").exists()
    return Path(name).suffix in _ANY_NAME


def _unpacked_name(path: Path) -> str:
    name = path.name
    for ending in _PACKED:
        name = name.removesuffix(ending)
    return name
