import gzip
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import zstandard

from cab.scoring import BadRecord, PublishedCell
from cab.scoring.imports import read_cells
from tests.scoring.builders import PAGES
from tests.scoring.imports.files import (
    ANAGRAM,
    BY_INSTANCE,
    CLOCK,
    DETAILS,
    HAL,
    INSPECT,
    JOB,
    LEADERBOARD,
    LINES,
    LIST,
    MESSAGES,
    OLDER_HAL,
    OLDER_SUBMISSION,
    OPENHANDS,
    RESOLVED,
    RUN_REPORT,
    SWE_AGENT_0,
    SWE_AGENT_1,
    TB_RUN,
    TB_TRIAL,
    TRAJECTORY,
    TRIAL,
    UNVERSIONED,
    VERSION_1_1,
    cells_of,
    written,
)

FORMS = {
    TRIAL: "harbor.trial",
    ANAGRAM: "aider.results",
    CLOCK: "aider.results",
    UNVERSIONED: "mini-swe-agent.trajectory",
    VERSION_1_1: "mini-swe-agent.trajectory",
    BY_INSTANCE: "swebench.predictions",
    LIST: "swebench.predictions",
    LINES: "swebench.predictions",
    RUN_REPORT: "swebench.run_report",
    RESOLVED: "swebench.instance_report",
    TRAJECTORY: "harbor.trajectory",
    TB_RUN: "terminal-bench.results",
    TB_TRIAL: "terminal-bench.results",
    LEADERBOARD: "aider.leaderboard",
    MESSAGES: "mini-swe-agent.trajectory",
    SWE_AGENT_0: "swe-agent.trajectory",
    SWE_AGENT_1: "swe-agent.trajectory",
    OLDER_SUBMISSION: "swebench.submission",
    DETAILS: "swebench.submission",
    OPENHANDS: "openhands.output",
    HAL: "hal.upload",
    OLDER_HAL: "hal.upload",
    INSPECT: "inspect.log",
}


@pytest.mark.parametrize(("path", "form"), FORMS.items(), ids=lambda each: str(each)[-30:])
def test_a_file_is_recognised_by_what_stands_in_it(tmp_path: Path, path: Path, form: str) -> None:
    """Under another name, each file is still what it is."""
    copy = Path(shutil.copy(path, tmp_path / "renamed.bin"))
    cells = read_cells(copy)
    assert isinstance(cells, list)
    assert {cell.origin.form for cell in cells} == {form}


@pytest.mark.parametrize("ending", [".json", ".page.txt"])
def test_a_page_is_recognised_in_both_forms(tmp_path: Path, ending: str) -> None:
    """A page is a published cell, under any name."""
    copy = Path(shutil.copy(PAGES[0].with_suffix(ending), tmp_path / "renamed"))
    page = read_cells(copy)
    assert isinstance(page, PublishedCell)
    assert page.composite == 0.8287027413585233


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        ({}, "an object with no members"),
        ([], "a list of 0"),
        (7, "the value 7"),
        ("text", "a text"),
        ({"a": 1, "b\x1b": 2}, r"an object with the members a, b\\x1b"),
        ([{}], "a list of 1, the first with no members"),
        ({"a": {}}, "an object with the members a"),
        ({"exception": "x", "b": 1}, "an object with the members exception, b"),
        ([[[]]], "a list of 1"),
        (
            dict.fromkeys("abcdefghij", 0),
            "an object with the members a, b, c, d, e, f, g, h and 2 more",
        ),
        ({"resolved_ids": []}, "an object with the members resolved_ids"),
        ({"resolved": ["a"]}, "an object with the members resolved"),
        ({"trial_name": "x", "task_name": "y"}, "an object with the members trial_name, task_name"),
        ({"info": {}, "messages": 1}, "an object with the members info, messages"),
    ],
)
def test_an_unknown_form_is_described(tmp_path: Path, data: object, seen: str) -> None:
    """The error says in one line what was seen and what is read; a single mark makes no form."""
    with pytest.raises(BadRecord, match=f"has no form that is known: it is {seen};") as caught:
        read_cells(written(tmp_path / "x.json", data))
    assert re.search(r"known are .*Harbor.*SWE-bench.*Inspect.*HAL", str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_file_with_the_marks_of_two_forms_is_refused(tmp_path: Path) -> None:
    """What could be either is not guessed at."""
    both = {**orjson.loads(TRIAL.read_bytes()), **orjson.loads(TB_TRIAL.read_bytes())}
    what = "could be a Harbor trial or a trial of Terminal-Bench: it is an object with"
    with pytest.raises(BadRecord, match=what):
        read_cells(written(tmp_path / "x.json", both))


def test_a_run_of_terminal_bench_is_not_a_report_of_swe_bench() -> None:
    """Both list `resolved_ids`; the attempts of a task are cells of their own."""
    assert [cell.passed for cell in cells_of(TB_RUN)] == [1, 0, 0, None]


@pytest.mark.parametrize(
    "data",
    [
        {"resolved_ids": [], "unresolved_ids": [], "total_instances": 0},
        {"resolved": [], "no_generation": [], "generated": []},
        {**orjson.loads(TB_RUN.read_bytes()), "results": []},
        {**orjson.loads(INSPECT.read_bytes()), "samples": []},
    ],
    ids=["report", "submission", "terminal-bench", "inspect"],
)
def test_a_file_of_no_run_says_so(tmp_path: Path, data: object) -> None:
    """A file of a known form in which nothing is listed is an error, and not silence."""
    with pytest.raises(BadRecord, match="holds no run"):
        read_cells(written(tmp_path / "x.json", data))


def test_a_job_is_told_where_its_cells_are() -> None:
    """Harbor's summary of a job is recognised, and is not a cell."""
    with pytest.raises(BadRecord, match="whole Harbor job"):
        read_cells(JOB)


@pytest.mark.parametrize("text", [b"hello\n{", b"", b"\xff\xfe{\0}\0", b"{\n{\n"])
def test_text_that_is_not_json_is_named(tmp_path: Path, text: bytes) -> None:
    """What is neither JSON nor a page is named by its line."""
    with pytest.raises(BadRecord, match=r"x:1: .*not valid JSON"):
        read_cells(written(tmp_path / "x", text))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize("path", [TRIAL, LINES, LEADERBOARD, OPENHANDS], ids=lambda path: path.name)
def test_a_packed_file_is_read(tmp_path: Path, path: Path, pack: Callable[[bytes], bytes]) -> None:
    """Packed with gzip or zstd, under any name, a file holds the same verdicts and counts."""
    packed = written(tmp_path / "x.bin", pack(path.read_bytes()))
    # Where OpenHands' evaluation lies beside the file, its name tells.
    expected = [(cell.origin.name, cell.self_reported) for cell in cells_of(path)]
    assert [(cell.origin.name, cell.self_reported) for cell in cells_of(packed)] == expected


def test_pages_take_no_lost_values(tmp_path: Path) -> None:
    """A page is written without `NaN`: where one stands in it, it was changed."""
    text = PAGES[0].with_suffix(".json").read_bytes()
    changed = text.replace(b"0.8287027413585233", b"NaN")
    assert changed != text
    with pytest.raises(BadRecord, match=r"not valid JSON: .*is not a number"):
        read_cells(written(tmp_path / "x.json", changed))


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("cab.call/1", "is a line of an audit log, which has no score; cab ledger calls lists"),
        ("cab.meter/1", "is what cab meter --json wrote"),
        ("cab.task/1", "is a file of CAB that is no cell; cab score reads a bundle"),
    ],
)
def test_files_of_ours(tmp_path: Path, schema: str, said: str) -> None:
    """A file of ours that holds no cell is named, and so is what reads it."""
    path = tmp_path / "file.json"
    path.write_text(f'{{"schema": "{schema}"}}')
    with pytest.raises(BadRecord, match=said):
        read_cells(path)
