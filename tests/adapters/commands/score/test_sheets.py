import csv
import io
from pathlib import Path

import pytest

from cab.adapters.cli import main
from tests.scoring.builders import FIXTURES, PAGES
from tests.scoring.results import stored_cell


def test_cells_as_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CSV has a line per cell in the stored units; a page's missing cost is empty."""
    stored_cell(tmp_path, "s/a/m/f/t")
    assert main(["score", str(tmp_path), str(FIXTURES), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 1 + 4
    first = rows[0]
    assert (first["cell_id"], first["pass"], first["total_tokens"]) == ("s/a/m/f/t", "1", "120")
    assert (first["wall_clock_ms"], first["stored"]) == ("3000.125", "identical")
    assert {row["cost_usd"] for row in rows} == {""}


def test_cells_as_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Markdown has a line per cell with its composite under the profile asked for."""
    stored_cell(tmp_path, "s/a/m/f/t")
    assert main(["score", str(tmp_path), "--markdown"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "| cell | pass | tokens | calls | wall clock, s | blast radius | "
        "composite | stored score |\n"
    )
    assert "| s/a/m/f/t | 1 | 120 | 1 | 3.00 |" in out
    assert out.endswith(" identical |\n")


def test_a_page_s_zeros_are_empty(capsys: pytest.CaptureFixture[str]) -> None:
    """Tokens, calls and their time were not measured on a published page: no column says 0."""
    assert main(["score", "--csv", str(PAGES[0])]) == 0
    [cell] = csv.DictReader(capsys.readouterr().out.splitlines())
    for name in ("prompt_tokens", "total_tokens", "model_calls", "model_call_ms"):
        assert cell[name] == ""
    assert float(cell["wall_clock_ms"]) > 0
