import csv
import io
from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main
from tests.scoring.builders import FIXTURES, spans
from tests.scoring.imports.files import LINES
from tests.scoring.results import stored_cell


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """An agent that passes two tasks of three, and one that was stopped on its only task."""
    for task, passed in (("t", True), ("u", True), ("v", False)):
        stored_cell(tmp_path, f"s/a/m/f/{task}", passed=passed)
    late = spans()[1].model_copy(update={"parent_id": None, "attrs": {"timed_out": True}})
    stored_cell(tmp_path, "s/b/m/f/t", passed=False, spans=[late])
    return tmp_path


def test_a_line_per_agent(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Failures are paid for, what was stopped took longer, and no price is not $0."""
    assert main(["score", str(runs), "--by", "tui", "--markdown"]) == 0
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    a, b = lines[2:]
    assert (a[:3], a[5]) == (["| a", "3", "3"], "0")
    assert a[3] == a[4] == "66.7 (0.0 to 100.0)"
    assert a[6].startswith("180 (")
    assert a[7] == "0% known"
    assert b[6] == "nothing passed"
    assert b[10:12] == ["over 3.00", "over 3.00"]


def test_all_figures_as_json(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has value, interval, coverage, method and reason of each figure, and the profile."""
    assert main(["score", str(runs), "--by", "all", "--json", "--profile", "published/1"]) == 0
    [group] = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (group["key"], group["cells"], group["profile"]) == ({}, 4, "published/1")
    assert group["tokens_per_correct"]["value"] == 4 * 120 / 2
    assert group["cost_usd_per_pass"] == {
        "value": None,
        "low": None,
        "high": None,
        "coverage": 0.0,
        "method": None,
        "reason": "measured on 0.0% of the cells",
    }


TABLE = """
name = "acme"
[models.big]
input = 4
output = 15
"""
"""By it a call of 100 + 20 tokens costs (100 x 4 + 20 x 15) / 10^6 = 0.0007 dollars."""


@pytest.fixture
def priced(tmp_path: Path) -> Path:
    """Two models: of one the endpoint states prices and two cells of three pass, the other has none."""
    stated = {"cost_usd": "0.50", "price_source": "upstream", "model_served": "big"}
    for task, passed in (("t", True), ("u", True), ("v", False)):
        stored_cell(tmp_path / "runs", f"s/a/big/f/{task}", passed=passed, call=stated)
    stored_cell(tmp_path / "runs", "s/a/other/f/t", call={"model_served": "other"})
    (tmp_path / "prices.toml").write_text(TABLE)
    return tmp_path


def test_dollars_per_solved_task_by_another_table(
    priced: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three cells of 0.0007 by two passes, beside the stored 3 x 0.50 by two; a model it lacks is unknown."""
    how = ["score", str(priced / "runs"), "--by", "model", "--reprice", str(priced / "prices.toml")]
    assert main([*how, "--json"]) == 0
    big, other = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert big["cost_usd_per_pass"]["value"] == 1.5 / 2
    repriced = big["repriced"]
    assert repriced["price_source"].startswith("table:acme@")
    assert repriced["cost_usd_per_pass"]["value"] == pytest.approx(0.00105, rel=1e-12)
    assert repriced["cost_usd_per_cell"]["value"] == pytest.approx(0.0007, rel=1e-12)
    assert repriced["on_cost_front"] == "front"
    assert other["repriced"]["cost_usd_per_pass"]["value"] is None
    assert other["repriced"]["on_cost_front"] == "unknown"


@pytest.mark.parametrize("form", [[], ["--csv"], ["--markdown"]])
def test_other_prices_are_a_column_of_groups(
    form: list[str],
    priced: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stands beside the stored one; a table says below it whose prices these are."""
    monkeypatch.setenv("COLUMNS", "200")
    how = ["score", str(priced / "runs"), "--by", "model", "--reprice", str(priced / "prices.toml")]
    assert main([*how, *form]) == 0
    out = capsys.readouterr().out
    assert "0.0010" in out
    assert "0.75" in out
    assert ("repriced: by the operator's table acme@" in out) == (form == [])


def test_without_its_calls_a_cell_has_no_other_price(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A published page has no calls, so nothing of its group is known by another table."""
    table = tmp_path / "prices.toml"
    table.write_text(TABLE)
    how = ["score", str(FIXTURES), "--by", "all", "--json"]
    assert main([*how, "--reprice", str(table)]) == 0
    (group,) = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert group["repriced"]["cost_usd_per_pass"]["value"] is None


def test_the_same_seed_gives_the_same_bytes(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs of the command print the same."""
    printed: list[str] = []
    for _ in range(2):
        assert main(["score", str(runs), "--by", "tui", "--by", "model", "--csv"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    rows = list(csv.DictReader(io.StringIO(printed[0])))
    assert [(row["key.tui"], row["key.model"]) for row in rows] == [("a", "m"), ("b", "m")]


def test_pass_at_k(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1 of 2 runs: pass@2 is certain, pass^2 impossible, and three runs were not made."""
    for run in (1, 2):
        stored_cell(tmp_path, f"s/a/m/f/t#run{run}", passed=run == 1)
    assert main(["score", str(tmp_path), "--by", "tui", "--k", "2", "--k", "3"]) == 0
    out = capsys.readouterr().out
    for text in (
        "pass@2",
        "pass^3, %",
        "  100.0  ",
        "  0.0  ",
        "k = 3 needs 3 runs or more; there are 2",
    ):
        assert text in out


def test_infrastructure_is_shown_in_and_out(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A check that did not run is out of the rate, and the rate with it is shown beside."""
    path = runs / "s/a/m/f/v/cell.json"
    data = orjson.loads(path.read_bytes())
    data["check"] |= {"exit_code": None, "passed": False, "reason": "no interpreter"}
    path.write_bytes(orjson.dumps(data))
    assert main(["score", str(runs / "s/a"), "--by", "tui"]) == 0
    out = capsys.readouterr().out
    assert "1 (66.7% with them)" in out
    assert "100.0 (34.2 to 100.0)" in out


def test_cells_without_verdicts_failed_nothing(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Predictions are shown beside what the infrastructure failed; no rate counts them."""
    assert main(["score", str(runs / "s/a"), str(LINES), "--by", "all"]) == 0
    out = capsys.readouterr().out
    assert f"0; {len(LINES.read_text().splitlines())} without verdict" in out
    assert main(["score", str(LINES), "--by", "all", "--json"]) == 0
    group = orjson.loads(capsys.readouterr().out)
    assert group["pass_rate_with_infrastructure"]["value"] is None


def test_published_cells_can_be_grouped(capsys: pytest.CaptureFixture[str]) -> None:
    """Pages have verdicts and times; their tokens were not measured and are not 0."""
    assert main(["score", str(FIXTURES), "--by", "tui", "--csv"]) == 0
    for row in csv.DictReader(io.StringIO(capsys.readouterr().out)):
        assert row["pass_rate.value"]
        assert row["tokens_per_cell.value"] == ""
        assert row["tokens_per_cell.coverage"] == "0.0"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--by", "tui", "--write"], "--write and --explain are about single cells"),
        (["--by", "tui", "--explain"], "--write and --explain are about single cells"),
    ],
)
def test_groups_and_single_cells_do_not_mix(
    arguments: list[str], text: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--by with what is about one cell is one line and exit code 2."""
    assert main(["score", str(runs), *arguments]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("k", ["0", "-1", "two", "²"])
def test_a_number_of_runs_is_at_least_one(
    k: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not a number of runs is refused."""
    with pytest.raises(SystemExit):
        main(["score", str(runs), "--by", "tui", "--k", k])
    assert "is not a number of runs" in capsys.readouterr().err
