from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.cli import main
from cab.adapters.commands.export import _FORMATS
from tests.adapters.report.pagecells import write_capture
from tests.scoring.builders import PAGES, end_fields, start_fields, write_bundle
from tests.scoring.exports.cells import PATCH, bundle, cell_id
from tests.scoring.ledgers import calls, write_ledger
from tests.tools.otlp import attributes_of, parsed, spans_of

CALLS = [start_fields("a"), end_fields("a")]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A sweep of two agents; one of them has two runs of one task."""
    folder = tmp_path / "runs"
    bundle(folder / "1", cell_id("one", run=1), calls=CALLS)
    bundle(folder / "2", cell_id("one", run=2), calls=CALLS, passed=False)
    bundle(folder / "3", cell_id("one", tui="other"), calls=CALLS)
    return folder


def lines(file: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in file.read_bytes().splitlines()]


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


@pytest.mark.usefixtures("runs")
def test_cells_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """`cell` writes every cell as a line of one file, whatever its name, and says how many."""
    assert main(["export", "cell", "runs", "-o", "cells"]) == 0
    assert capsys.readouterr().out == "cells: 3 cells\n"
    found = lines(Path("cells"))
    assert [cell["identity"]["cell_id"] for cell in found] == [
        cell_id("one", run=1),
        cell_id("one", run=2),
        cell_id("one", tui="other"),
    ]


@pytest.mark.usefixtures("runs")
def test_inspect_logs_go_to_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Two agents are two logs, named for sweep, agent and model."""
    assert main(["export", "inspect", "runs", "-o", "logs"]) == 0
    assert capsys.readouterr().out == "logs: 3 cells in 2 files\n"
    assert files(Path("logs")) == ["local/other/lab/demo.eval", "local/scripted/lab/demo.eval"]


@pytest.mark.usefixtures("runs")
def test_one_file_takes_one_agent(capsys: pytest.CaptureFixture[str]) -> None:
    """A path that is one file does not take two agents: exit code 2, the fix, and no file."""
    assert main(["export", "inspect", "runs", "-o", "x.eval"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "cab: x.eval holds one log, and these cells are of local/scripted/lab/demo and "
        "local/other/lab/demo; give a folder, which takes a file of each\n"
    )
    assert not list(Path().glob("x.eval*"))
    assert main(["export", "inspect", "runs/1", "runs/2", "-o", "x.eval"]) == 0
    assert capsys.readouterr().out == "x.eval: 2 cells\n"


@pytest.mark.usefixtures("runs")
def test_predictions_are_apart_by_run() -> None:
    """SWE-bench takes one prediction of an instance, so each run has a file."""
    assert main(["export", "swebench", "runs", "-o", "preds"]) == 0
    assert files(Path("preds")) == [
        "local/other/lab/demo.jsonl",
        "local/scripted/lab/demo.run1.jsonl",
        "local/scripted/lab/demo.run2.jsonl",
    ]
    assert lines(Path("preds/local/scripted/lab/demo.run2.jsonl")) == [
        {
            "instance_id": "one",
            "model_name_or_path": "scripted/lab/demo",
            "model_patch": PATCH,
        }
    ]


@pytest.mark.usefixtures("runs")
def test_predictions_are_read_again(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """What is written for SWE-bench is what is read from it: agent with model, and instance."""
    assert main(["export", "swebench", "runs/1", "-o", "p.jsonl"]) == 0
    capfdbinary.readouterr()
    assert main(["score", "p.jsonl", "--json"]) == 0
    read = orjson.loads(capfdbinary.readouterr().out)
    assert read["imported"]["form"] == "swebench.predictions"
    assert read["cell_id"].endswith("/one")


def test_an_instance_is_predicted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second cell of one instance in one file is reported and left out; the first one stays."""
    bundle(tmp_path / "runs" / "1")
    bundle(tmp_path / "runs" / "2")
    assert main(["export", "swebench", "runs", "-o", "p.jsonl"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "cab: runs/2: twin is in the file already\n"
    assert captured.out == "p.jsonl: 1 cell\n"
    assert len(lines(Path("p.jsonl"))) == 1


def test_a_cell_that_fails_does_not_stand_in_its_twins_way(tmp_path: Path) -> None:
    """A cell that cannot be written leaves its instance to the next one that can."""
    broken = bundle(tmp_path / "runs" / "1")
    (broken / "changes.patch").unlink()
    bundle(tmp_path / "runs" / "2")
    assert main(["export", "swebench", "runs", "-o", "p.jsonl"]) == 2
    assert len(lines(Path("p.jsonl"))) == 1


@pytest.mark.usefixtures("runs")
def test_trajectories_are_a_file_each() -> None:
    """A trajectory is a JSON document of its own, named for its cell."""
    assert main(["export", "atif", "runs", "-o", "tr"]) == 0
    assert files(Path("tr")) == [
        f"{cell_id('one', tui='other')}.json",
        f"{cell_id('one', run=1)}.json",
        f"{cell_id('one', run=2)}.json",
    ]
    made = orjson.loads((Path("tr") / f"{cell_id('one', run=2)}.json").read_bytes())
    assert (made["schema_version"], len(made["steps"])) == ("ATIF-v1.7", 2)


@pytest.mark.usefixtures("runs")
def test_calls_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """`otel` writes a line for each model call of each cell."""
    assert main(["export", "otel", "runs", "-o", "o.jsonl"]) == 0
    assert capsys.readouterr().out == "o.jsonl: 3 calls\n"
    spans = [span for line in lines(Path("o.jsonl")) for span in spans_of(parsed(line))]
    found = [attributes_of(span.attributes)["cab.cell_id"] for span in spans]
    assert found == [
        cell_id("one", run=1),
        cell_id("one", run=2),
        cell_id("one", tui="other"),
    ]


def test_a_ledger_has_calls_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ledger's folder, and a file of one, are read without any cell; what is not a call is left out."""
    more = [start_fields("x"), end_fields("y", endpoint="other")]
    write_ledger(tmp_path / "cab-ledger", [*calls(3, "a"), *more])
    assert main(["export", "otel", "cab-ledger", "-o", "o.jsonl"]) == 0
    assert capsys.readouterr().out == "o.jsonl: 3 calls\n"
    [segment] = (tmp_path / "cab-ledger").glob("*.jsonl")
    assert main(["export", "otel", str(segment), "-o", "p.jsonl"]) == 0
    assert Path("o.jsonl").read_bytes() == Path("p.jsonl").read_bytes()


def test_a_run_that_is_cut_short_is_no_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calls of a bundle whose run did not come to its end are not taken for those of a ledger."""
    whole = bundle(tmp_path / "b", calls=[end_fields()])
    (whole / "cell.json").unlink()
    (whole / "INCOMPLETE").write_bytes(b"{}")
    assert main(["export", "otel", str(whole), "-o", str(tmp_path / "calls.jsonl")]) == 2
    assert "is not a finished cell: its run was stopped" in capsys.readouterr().err
    assert not (tmp_path / "calls.jsonl").exists()


def test_a_broken_ledger_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ledger that cannot be read is an error that names file and line, and nothing is written."""
    (tmp_path / "l.jsonl").write_bytes(b"{}\n{")
    assert main(["export", "otel", "l.jsonl", "-o", "o.out"]) == 2
    assert "l.jsonl:2: the line is cut off" in capsys.readouterr().err
    assert files(tmp_path) == ["l.jsonl"]


@pytest.mark.parametrize("form", [*_FORMATS, "otel"])
def test_bad_cells_are_reported_and_the_rest_is_written(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each bad cell is one line on stderr, the others are exported, and the exit code is 2."""
    bundle(tmp_path / "runs" / "a", calls=CALLS)
    write_bundle(tmp_path / "runs" / "b")
    (tmp_path / "empty").mkdir()
    assert main(["export", form, "runs", "none", "empty", "-o", "out"]) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("out: 1 c")
    assert len(captured.err.splitlines()) == 3


@pytest.mark.parametrize("form", [*_FORMATS, "otel"])
def test_nothing_to_write_is_no_file(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If no cell can be written, a file that was there stays, and there is no new one."""
    write_bundle(tmp_path / "runs" / "b")
    (tmp_path / "out").write_bytes(b"old") if form in {"cell", "parquet", "otel"} else None
    before = files(tmp_path)
    assert main(["export", form, "runs", "-o", "out"]) == 2
    assert capsys.readouterr().out == ""
    assert files(tmp_path) == before


@pytest.mark.parametrize("form", [*_FORMATS, "otel"])
def test_a_page_is_for_tables_only(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A published page has scores and no facts: parquet takes it, the others say so."""
    assert main(["export", form, str(PAGES[0]), "-o", "out"]) == (0 if form == "parquet" else 2)
    reported = "holds scores and no facts" in capsys.readouterr().err
    assert reported == (form != "parquet")


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("form", [*_FORMATS, "otel"])
def test_the_same_runs_give_the_same_bytes(form: str, tmp_path: Path) -> None:
    """Two exports of the same runs are the same, file for file; a cell that is named twice is once."""
    assert main(["export", form, "runs", "-o", "a"]) == 0
    assert main(["export", form, "runs", "runs/1", "-o", "b"]) == 0
    a, b = tmp_path / "a", tmp_path / "b"
    if a.is_dir():
        assert files(a) == files(b)
        assert all((a / name).read_bytes() == (b / name).read_bytes() for name in files(a))
    else:
        assert a.read_bytes() == b.read_bytes()


def test_a_wrong_format_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """A format that there is not is a usage error with the one that was meant."""
    with pytest.raises(SystemExit) as caught:
        main(["export", "inspct", "runs", "-o", "x"])
    assert caught.value.code == 2
    assert "did you mean 'inspect'?" in capsys.readouterr().err


def test_messages_are_handed_over_only_if_asked_for(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the option a capture is named; a format that has no place for messages refuses it."""
    said = cell_id("two")
    bundle(runs / "4", said, calls=[start_fields("c1"), end_fields("c1")])
    write_capture(runs / "4", said, "overheard")
    for form in ("atif", "inspect", "otel"):
        for option, is_held in (((), False), (("--messages",), True)):
            path = Path(f"{form}-{is_held}")
            assert main(["export", form, "runs/4", "-o", str(path), *option]) == 0
            told = "1 cell holds captured messages, which are left out"
            assert (told in capsys.readouterr().err) is not is_held
            if form != "inspect":  # a log is packed
                made = b"".join(
                    f.read_bytes() for f in ([path] if path.is_file() else path.rglob("*.json"))
                )
                assert (b"overheard" in made) is is_held
    (parts,) = runs.rglob("*.parts")
    parts.write_bytes(b"")
    for form in ("atif", "inspect", "otel"):
        assert main(["export", form, "runs/4", "-o", f"torn-{form}", "--messages"]) == 2
        assert "w0.parts: it ends before part" in capsys.readouterr().err
        assert Path(f"torn-{form}").exists()
    assert main(["export", "swebench", "runs", "-o", "x", "--messages"]) == 2
    assert "has no place for messages" in capsys.readouterr().err
