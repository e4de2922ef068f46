import csv
import io
from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main
from cab.adapters.commands.ledger.calls import COLUMNS
from tests.scoring.builders import end_fields, open_fields, start_fields, write_bundle
from tests.scoring.ledgers import calls, overlong, write_ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger of two cells in two chains, in several segments."""
    folder = tmp_path / "cab-ledger"
    write_ledger(folder, calls(3, "s/a/m/f/t"), per_segment=2, compressed=True)
    write_ledger(folder, calls(1, "s/b/m/f/t", prompt_tokens=None), worker=1)
    return folder


@pytest.mark.usefixtures("ledger")
def test_calls_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Each call is one line under a heading, in the order of the ledger; unknown is not zero."""
    assert main(["ledger", "calls"]) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.split()[0] == "started"
    assert [line.split()[-1] for line in lines] == [*["s/a/m/f/t"] * 3, "s/b/m/f/t"]
    assert lines[0].split()[:5] == ["2026-11-20T12:00:00", "200", "completed", "100", "20"]
    assert lines[3].split()[3] == "-"


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--prefix", "s/a/"], 3),
        (["--cell", "s/a/m/f/t"], 3),
        (["--limit", "2"], 2),
        (["--limit", "0"], 0),
        (["--since", "2026-11-20", "--until", "2026-11-21"], 4),
    ],
)
def test_calls_can_be_chosen(
    ledger: Path, arguments: list[str], count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cell, model, time and limit choose calls."""
    assert main(["ledger", "calls", str(ledger), *arguments]) == 0
    assert len(capsys.readouterr().out.splitlines()) == count + 1


@pytest.mark.parametrize("form", [[], ["--by-cell"], ["--json"]])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--cell", "s/a/"], "no call of cell s/a/: that is unknown, not zero; --prefix takes"),
        (["--prefix", "s/a/m/f/u"], "no call of cells whose id starts with s/a/m/f/u: that is"),
        (["--model", "none"], "no call of model none: that is unknown, not zero"),
        (["--since", "2026-11-21"], "no call in that time: that is unknown, not zero"),
    ],
)
def test_nothing_chosen_is_not_zero(
    ledger: Path,
    arguments: list[str],
    text: str,
    form: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What no record is about is unknown: the command says so on stderr and ends 1."""
    assert main(["ledger", "calls", str(ledger), *arguments, *form]) == 1
    assert text in capsys.readouterr().err


def test_a_cell_without_calls_is_zero_once_it_was_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An opened cell has zero calls, in sums too; the opening says nothing of `#run10` or of a model."""
    opened, tried = open_fields("s/a/m/f/t#run1"), start_fields(cell_id="s/a/m/f/u")
    write_ledger(tmp_path, [opened, tried])
    command = ["ledger", "calls", str(tmp_path)]
    assert main([*command, "--cell", "s/a/m/f/t#run1"]) == 0
    assert "zero calls" in capsys.readouterr().err
    assert main([*command, "--cell", "s/a/m/f/t#run1", "--by-cell", "--json"]) == 0
    row = orjson.loads(capsys.readouterr().out)
    assert (row["calls"], row["total_tokens"]) == (0, 0)
    assert main([*command, "--cell", "s/a/m/f/t#run1", "--model", "m"]) == 1
    assert main([*command, "--cell", "s/a/m/f/t#run10"]) == 1
    assert main([*command, "--cell", "s/a/m/f/u"]) == 1
    assert "no call of cell s/a/m/f/u has ended" in capsys.readouterr().err


def test_a_sealed_bundle_without_calls_is_zero(tmp_path: Path) -> None:
    """A slice without a line is that of a cell without calls if its seal is beside it."""
    sealed = write_bundle(tmp_path / "a", sealed=True)
    assert main(["ledger", "calls", str(sealed)]) == 0
    assert main(["ledger", "calls", str(sealed), "--cell", "s/other/m/f/t"]) == 1
    assert main(["ledger", "calls", str(write_bundle(tmp_path / "b"))]) == 1


def test_json_is_the_ledgers_own_line(
    ledger: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """With --json each call is its line of the ledger, byte for byte."""
    assert main(["ledger", "calls", "--json", "--prefix", "s/b/"]) == 0
    line = capfdbinary.readouterr().out
    assert line == (ledger / "w1-000001.jsonl").read_bytes().splitlines(keepends=True)[1]


def test_csv_has_a_column_per_member(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --csv there is a header, unknown is empty, and what has parts is JSON."""
    fields = end_fields(stream=True, usage_raw={"a": [1]}, user_agent='x,"y"', cell_id=None)
    write_ledger(tmp_path, [fields])
    assert main(["ledger", "calls", str(tmp_path), "--csv"]) == 0
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(row) == COLUMNS
    assert (row["stream"], row["usage_raw"], row["user_agent"]) == ("true", '{"a":[1]}', 'x,"y"')
    assert (row["cell_id"], row["prompt_tokens"], row["latency_ms"]) == ("", "100", "500.0")


@pytest.mark.usefixtures("ledger")
def test_cells_are_summed(capsys: pytest.CaptureFixture[str]) -> None:
    """With --by-cell each cell is one line; a sum that is not known is not a number."""
    assert main(["ledger", "calls", "--by-cell"]) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["3", "0", "0", "300", "60", "360", "360", "360", "s/a/m/f/t"]
    assert second.split() == ["1", "0", "0", "-", "20", "120", "120", "120", "s/b/m/f/t"]


def test_cells_come_as_json_and_csv(
    ledger: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The sums of cells can be had as JSON lines and as CSV, with the same members."""
    assert main(["ledger", "calls", str(ledger), "--by-cell", "--json", "--limit", "1"]) == 0
    [line] = capfdbinary.readouterr().out.splitlines()
    row = orjson.loads(line)
    assert (row["cell_id"], row["attempts"], row["known_total_tokens"]) == ("s/a/m/f/t", 3, 360)
    assert main(["ledger", "calls", str(ledger), "--by-cell", "--csv", "--prefix", "s/a/"]) == 0
    [read] = csv.DictReader(io.StringIO(capfdbinary.readouterr().out.decode()))
    interval = {"known_total": 360, "unknown_calls": 0, "upper_total": 360}
    assert row.pop("total_interval") == orjson.loads(read.pop("total_interval")) == interval
    assert read == {name: "" if value is None else str(value) for name, value in row.items()}


def test_calls_without_a_cell_are_summed_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calls that no cell was named for are a line of their own."""
    write_ledger(tmp_path, calls(1, None))
    assert main(["ledger", "calls", str(tmp_path), "--by-cell"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-1] == "-"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none"], "none: No such file"),
        ([".", "--limit", "-1"], "--limit -1 is below 0"),
        (["."], "is not a ledger"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path without a ledger, or a limit that is none, is one line and exit code 2."""
    assert main(["ledger", "calls", *arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"], ["--by-cell"]])
def test_a_damaged_line_is_named_and_the_others_are_printed(
    tmp_path: Path, form: list[str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Damaged lines are named on stderr, all other calls are printed, and the exit code is 1."""
    [file] = write_ledger(tmp_path / "l", calls(2, "s/a/m/f/t"))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], b"no JSON\n", overlong("end", "c9"), *lines[2:]]))
    assert main(["ledger", "calls", str(tmp_path / "l"), *form]) == 1
    out, err = capfdbinary.readouterr()
    assert [line.split(b"jsonl:")[1][:2] for line in err.splitlines()] == [b"3:", b"4:"]
    assert out.count(b"s/a/m/f/t") == (1 if form == ["--by-cell"] else 2)


def test_nothing_in_a_ledger_steers_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of models and of cells come from outside: their control characters are shown escaped."""
    evil = "a\x1b]0;t\x07\x1b[2J\x9b1m\u202e\r"
    fields = end_fields(cell_id=f"s/{evil}/m/f/t", model_served=evil, end_reason=evil, status=200)
    seal = {"kind": "cell_seal", "cell_id": evil, "sealed_at": evil}
    write_ledger(tmp_path, [fields, seal])
    for arguments in (["calls"], ["calls", "--by-cell"], ["tail"], ["verify"]):
        main(["ledger", *arguments, str(tmp_path)])
        out, err = capsys.readouterr()
        assert {char for char in out + err if not char.isprintable()} == {"\n"}


def test_a_csv_of_calls_holds_no_formula(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that is called like a formula is a text in a spreadsheet, a price is a number."""
    fields = end_fields(model_served="=cmd|' /C calc'!A0", user_agent="@x", cost_usd="-0.5")
    write_ledger(tmp_path, [fields])
    assert main(["ledger", "calls", str(tmp_path), "--csv"]) == 0
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["model_served"], row["user_agent"]) == ("'=cmd|' /C calc'!A0", "'@x")
    assert (row["cost_usd"], row["latency_ms"]) == ("-0.5", "500.0")
