import gzip
import shutil
from pathlib import Path

import pytest

from cab.scoring import BadRecord
from cab.scoring.imports import Note
from cab.scoring.imports.discover import find_files
from tests.scoring.builders import PAGES
from tests.scoring.imports.files import (
    AIDER,
    HAL,
    HARBOR,
    JOB,
    LIST,
    LOGS,
    MINI,
    OPENHANDS,
    SUBMISSIONS,
    SWE_AGENT,
    SWE_BENCH,
    TERMINAL_BENCH,
    TRIAL,
    cells_of,
    changed,
    written,
)


def names(folder: Path) -> list[str]:
    """Return what is found below a folder."""
    return [path.relative_to(folder).as_posix() for path in find_files(folder)]


def test_a_job_of_harbor_gives_its_trials() -> None:
    """The job's own files are not cells, nor is what an agent left in a trial."""
    assert names(HARBOR) == [
        "fix-git__Xk3aQ7p/result.json",
        "slow-start__b7Wm2Rt/result.json",
        "two-steps__Zp1kLm9/result.json",
    ]
    assert names(TRIAL.parent) == ["result.json"]


def test_files_are_found_at_any_depth() -> None:
    """aider's, mini-swe-agent's and SWE-bench's folders give each run, in the order of names."""
    assert [name.split("/")[-2] for name in names(AIDER)] == ["anagram", "bowling", "clock"]
    assert names(MINI)[0] == "messages.traj.json"
    assert len(names(MINI)) == 5
    assert names(LOGS) == ["demo__lib-1/report.json", "demo__lib-2/report.json"]
    assert names(SUBMISSIONS) == [
        "20240101_older/results/results.json",
        "20250101_demo/results/results.json",
        "20250901_mini/per_instance_details.json",
    ]
    assert len(names(SWE_BENCH)) == 5
    assert names(SWE_AGENT) == [
        "default__small-1/demo__lib-1/demo__lib-1.traj",
        "older/demo__lib-2.traj",
    ]
    assert names(HAL.parent) == ["demo_run_UPLOAD.json", "older_UPLOAD.json"]


def test_a_run_of_terminal_bench_is_found_once(tmp_path: Path) -> None:
    """The files of its trials say the same once more; without the run's own they are what there is."""
    assert names(TERMINAL_BENCH) == ["tb-run/results.json"]
    shutil.copytree(TERMINAL_BENCH, tmp_path / "runs")
    (tmp_path / "runs/tb-run/results.json").unlink()
    [trial] = names(tmp_path / "runs")
    assert trial == "tb-run/hello-world/hello-world.1-of-2.tb-run/results.json"
    [cell] = cells_of(tmp_path / "runs" / trial)
    assert cell.cell_id.startswith("tb-run/terminus-2/vendor/small-1/")


def test_the_evaluation_beside_openhands_output_is_part_of_it(tmp_path: Path) -> None:
    """The file that holds the verdicts is not a second file of runs; packed ones are found, too."""
    assert names(OPENHANDS.parent) == ["output.jsonl"]
    written(tmp_path / "output.jsonl.gz", gzip.compress(OPENHANDS.read_bytes()))
    written(tmp_path / "left.txt", b"")
    written(tmp_path / "result.json.gz", gzip.compress(TRIAL.read_bytes()))
    assert names(tmp_path) == ["output.jsonl.gz", "result.json.gz"]


def test_the_number_of_trials_that_a_job_speaks_of_is_compared(tmp_path: Path) -> None:
    """A job of 40 of which 3 trials are there says so; a copy of a trial is not one more."""
    job = tmp_path / "job"
    shutil.copytree(HARBOR, job)
    shutil.copytree(HARBOR / "fix-git__Xk3aQ7p", job / "copy")
    notes: list[Note] = []
    assert len(list(find_files(job, notes.append))) == 4
    assert notes == []
    changed(JOB, job, {"n_total_trials": 40})
    list(find_files(job, notes.append))
    [note] = map(str, notes)
    assert note == f"{job / 'result.json'}: n_total_trials is 40, and 3 are here"


def test_other_files_are_taken_where_there_are_none_of_these(tmp_path: Path) -> None:
    """Files of any name directly in a folder are cells if nothing better is there."""
    for name in ("b.json", "a.jsonl", "c.page.txt", "notes.md"):
        shutil.copy(LIST, tmp_path / name)
    (tmp_path / "deeper").mkdir()
    shutil.copy(LIST, tmp_path / "deeper" / "d.json")
    assert names(tmp_path) == ["a.jsonl", "b.json", "c.page.txt"]


def test_a_page_in_both_forms_is_one_cell() -> None:
    """The text beside its JSON is passed over."""
    assert list(find_files(PAGES[0].parent)) == PAGES


def test_files_of_that_name_that_are_something_else_are_not_cells(tmp_path: Path) -> None:
    """A `result.json` or `report.json` of another tool is passed over; a broken one is not."""
    for folder, data in (("a", b"{}"), ("b", b"{"), ("c", TRIAL.read_bytes())):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder / "result.json", data)
        written(tmp_path / folder / "report.json", data)
    assert names(tmp_path) == ["b/result.json", "b/report.json", "c/result.json"]


def test_a_broken_summary_does_not_hide_its_trials(tmp_path: Path) -> None:
    """Where the file at the top cannot be read, it is found as well as the trials below."""
    shutil.copytree(HARBOR, tmp_path / "job")
    written(tmp_path / "job/result.json", b"{")
    assert len(names(tmp_path / "job")) == 4


def test_a_folder_that_cannot_be_searched_is_named(tmp_path: Path) -> None:
    """A folder that is gone is an error."""
    with pytest.raises(BadRecord, match="No such file"):
        names(tmp_path / "none")
