import shutil
from pathlib import Path

import pytest

from cab.scoring import BadRecord, PublishedCell
from cab.scoring.imports import read_cells
from tests.scoring.builders import PAGES
from tests.scoring.imports.files import (
    ANAGRAM,
    BY_INSTANCE,
    CLOCK,
    JOB,
    LINES,
    LIST,
    RESOLVED,
    RUN_REPORT,
    TRIAL,
    UNVERSIONED,
    VERSION_1_1,
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
}


@pytest.mark.parametrize(("path", "form"), FORMS.items(), ids=FORMS.values())
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
    "data", [{}, [], 7, "text", {"a": 1}, [{}], {"a": {}}, {"exception": "x", "b": 1}, [[[]]]]
)
def test_the_error_of_an_unknown_form_lists_the_known_ones(tmp_path: Path, data: object) -> None:
    """What is none of the forms is refused, with their names."""
    with pytest.raises(BadRecord, match=r"no form that is known.*Harbor.*SWE-bench"):
        read_cells(written(tmp_path / "x.json", data))


def test_a_job_is_told_where_its_cells_are() -> None:
    """Harbor's summary of a job is recognised, and is not a cell."""
    with pytest.raises(BadRecord, match="whole job"):
        read_cells(JOB)


def test_text_that_is_not_json_is_named(tmp_path: Path) -> None:
    """What is neither JSON nor a page is named by its line."""
    with pytest.raises(BadRecord, match=":1: not valid JSON"):
        read_cells(written(tmp_path / "x", b"hello\n{"))
