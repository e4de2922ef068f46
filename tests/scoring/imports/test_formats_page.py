"""The page on formats says what is read, and its lines run as they stand."""

import shutil
from pathlib import Path
from typing import get_args

import pytest

from cab.scoring.imports.model import FileForm
from tests.scoring.imports.files import HARBOR, RUN_REPORT
from tests.tools.programs import run_python

PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", get_args(FileForm))
def test_every_form_is_on_the_page(form: str) -> None:
    """Each form that a cell can be from has its row in the table."""
    assert f"\n| `{form}` |" in PAGE


def test_the_example_runs(tmp_path: Path) -> None:
    """The lines for Python run on a job and a report that lie where they look for them."""
    shutil.copytree(HARBOR, tmp_path / "jobs" / "nightly")
    (tmp_path / "reports").mkdir()
    shutil.copy(RUN_REPORT, tmp_path / "reports" / "model.run-1.json")
    section = PAGE.partition("\n## In:")[2]
    code = section.partition("```python\n")[2].partition("```")[0]
    printed = run_python("-c", code, cwd=tmp_path)
    assert printed.startswith("nightly/mini-swe-agent/vendor/small-1/demo-suite/fix-git 1 ")


def test_who_scores_bundles_does_not_wait_for_the_readers() -> None:
    """Importing the room does not import the readers of other harnesses' files."""
    code = "import sys, cab.scoring; print('cab.scoring.imports' in sys.modules)"
    assert run_python("-c", code) == "False\n"
