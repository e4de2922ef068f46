import csv
import io
from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main
from tests.scoring.builders import PAGES
from tests.scoring.imports.files import TRIAL
from tests.scoring.results import stored_cell


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three agents of 120 metered tokens: one reports 108, one 120, one nothing."""
    stored_cell(tmp_path, "s/few/m/f/t", own=108)
    stored_cell(tmp_path, "s/same/m/f/t", own=120)
    stored_cell(tmp_path, "s/silent/m/f/t")
    return tmp_path


def test_how_wrong_each_counter_is(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One agent is 10 % short, one is right, and one gives no count, which is not an error of 0."""
    assert main(["reconcile", str(runs)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    few, same, silent = (line for line in lines if line[1:2] == ["total"])
    assert few[:9] == ["few", "total", "1", "1", "0", "108", "120", "-10.00", "12.0"]
    assert same[:9] == ["same", "total", "1", "1", "1", "120", "120", "+0.00", "0.0"]
    assert silent[3:8] == ["0", "none", "none", "none", "none"]
    assert few[-3:] == ["tui_stdout,", "not", "exact"]
    assert silent[-3:] == ["gives", "no", "count"]


def test_per_cell(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--cells gives both counts of each cell; what one side does not know stays empty."""
    assert main(["reconcile", str(runs), "--cells", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["total_tokens.error"] for row in rows] == ["-12", "0", ""]
    assert [row["total_tokens.measured"] for row in rows] == ["120", "120", "120"]
    assert main(["reconcile", str(runs), "--cells", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "| s/few/m/f/t | total | 108 | 120 | -12 | -10.00 | tui_stdout |" in out
    assert "| s/silent/m/f/t | total | none | 120 | none | none | gives no count |" in out


def test_cells_that_were_not_metered(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell without a ledger slice is not compared."""
    for name in ("calls.jsonl", "seal.json"):
        (runs / "s/few/m/f/t" / name).unlink()
    assert main(["reconcile", str(runs / "s/few"), "--cells", "--markdown"]) == 0
    assert "| total | 108 | not measured | none | none |" in capsys.readouterr().out


def test_other_groups_as_json(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By model all three are one group: 228 of 240 tokens over two cells."""
    assert main(["reconcile", str(runs), "--by", "model", "--json"]) == 0
    [group] = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (group["key"], group["cells"], group["reporting"]) == ({"model": "m"}, 3, 2)
    total = group["counts"]["total_tokens"]
    assert (total["reported"], total["measured"]) == (228, 240)
    assert total["relative_error"] == -12 / 240


def test_nothing_to_read_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path without cells is one line on stderr."""
    assert main(["reconcile", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_counts_of_other_harnesses_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """What a trial and a published page say of themselves is shown beside no meter at all."""
    assert main(["reconcile", str(TRIAL), str(PAGES[0]), "--cells", "--json"]) == 0
    trial, page = map(orjson.loads, capsys.readouterr().out.splitlines())
    assert (trial["source"], trial["exact"]) == ("self_reported", True)
    assert (page["source"], page["exact"]) == ("tui_stdout", False)
    for cell, reported in ((trial, 12_900), (page, 2_800)):
        total = cell["total_tokens"]
        assert (total["reported"], total["measured"], total["error"]) == (reported, None, None)
