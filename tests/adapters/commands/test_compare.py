import csv
import io
from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main
from tests.scoring.results import stored_cell


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two agents on seven tasks: a passes all, b only the last; both take 120 tokens."""
    folder = tmp_path / "runs"
    for task in range(7):
        stored_cell(folder, f"s/a/m/f/t{task}")
        stored_cell(folder, f"s/b/m/f/t{task}", passed=task == 6)
    return folder


def test_two_agents_by_name(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--by tui compares agents under ./runs: effect, interval, p and resolution in a sentence."""
    assert runs.is_dir()
    assert main(["compare", "a", "b", "--by", "tui"]) == 0
    out = capsys.readouterr().out
    assert "+85.7 points" in out
    assert out.endswith(
        "pass rate: a 100.0% against b 14.3%, a difference of +85.7 points (95% interval "
        "+50.8 to +100.0 points, p = 0.031); 7 tasks resolve a difference of 47.9 points or more "
        "at 80% power.\n"
    )


def test_two_folders(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --by the sides are paths; with --json each line has all figures and the sentence."""
    sides = [str(runs / "s/a"), str(runs / "s/b")]
    metrics = ["--metric", "pass_rate", "--metric", "total_tokens"]
    assert main(["compare", *sides, *metrics, "--json"]) == 0
    rate, tokens = (orjson.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (rate["difference"], rate["p"], rate["p_holm"]) == (6 / 7, 2 / 64, 4 / 64)
    assert rate["p_mcnemar"] == 2 / 64
    assert rate["paired_by"] == ["task", "model"]
    assert (tokens["difference"], tokens["p"], tokens["detectable"]) == (0, 1, None)
    assert tokens["sentence"].startswith("tokens per cell: ")


def test_several_models_as_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three models make three lines, each adjusted for all, from folders that --runs names."""
    for model in ("m", "n", "o"):
        for task in range(2):
            stored_cell(tmp_path / model, f"s/a/{model}/f/t{task}", passed=model == "m")
    places = [part for model in "mno" for part in ("--runs", str(tmp_path / model))]
    assert main(["compare", "m", "n", "o", "--by", "model", *places, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["a"], row["b"], row["difference"]) for row in rows] == [
        ("m", "n", "1.0"),
        ("m", "o", "1.0"),
        ("n", "o", "0.0"),
    ]
    assert [row["low"] for row in rows] == ["", "", ""]


def test_what_is_left_out_is_reported(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Cells without a counterpart, and cells whose check did not run, are counted in words."""
    stored_cell(runs, "s/a/m/f/only-a")
    broken = runs / "s/b/m/f/t0/cell.json"
    data = orjson.loads(broken.read_bytes())
    data["check"] |= {"exit_code": None, "passed": False, "reason": "no interpreter"}
    broken.write_bytes(orjson.dumps(data))
    assert main(["compare", "a", "b", "--by", "tui", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("| A | B | metric |")
    assert out.endswith(
        "Cells left out: without a counterpart 2 of A and 0 of B; "
        "without a verdict on the agent 0 of A and 1 of B.\n"
    )


def test_a_cell_that_cannot_be_read_is_reported(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken cell is a line on stderr and exit code 2; the others are compared."""
    (runs / "s/a/m/f/t6/cell.json").write_bytes(b"{}")
    assert main(["compare", "a", "b", "--by", "tui"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("cab: ")
    assert captured.err.count("\n") == 1
    assert "+100.0 points" in captured.out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["a"], "compare needs two or more names"),
        (["a", "b", "--runs", "runs"], "--runs goes with --by"),
        (["a", "bb", "--by", "tui"], "no cell of tui 'bb' under runs; did you mean 'b'?"),
        (["a", "zzz", "--by", "tui"], "no cell of tui 'zzz' under runs; there are: a, b"),
        (["a", "b", "--by", "tui", "--profile", "mine/1"], "profile 'mine/1' is unknown"),
    ],
)
def test_wrong_sides_are_one_line(
    arguments: list[str], text: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be compared is one line that names the fix, and exit code 2."""
    assert runs.is_dir()
    assert main(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert text in captured.err


def test_sides_without_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty folder is named twice: it holds no cell, and there is nothing to compare."""
    (tmp_path / "empty").mkdir()
    assert main(["compare", "empty", "empty"]) == 2
    assert "empty: no cell to compare" in capsys.readouterr().err
    assert main(["compare", "a", "b", "--by", "tui", "--runs", "empty"]) == 2
    assert "there are: none" in capsys.readouterr().err
