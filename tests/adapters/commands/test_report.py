from pathlib import Path

import pytest

from cab.adapters.cli import main
from cab.scoring.ids import CellId
from tests.adapters.report.pagecells import write_capture, write_cell


def write(folder: Path, task: str) -> None:
    write_cell(folder, cell_id=CellId("local", "aider", "m", "polyglot", task))


def test_a_site_is_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The path of its first page goes to stdout; what was done, and what could not be, to stderr."""
    write(tmp_path / "runs" / "a", "twin")
    assert main(["report", "runs", "-o", "site"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "site/index.html\n"
    assert printed.err == "1 cell, 1 page rendered, 0 removed\n"
    (tmp_path / "runs" / "b").mkdir()
    (tmp_path / "runs" / "b" / "cell.json").write_text("{")
    assert main(["report", "runs", "-o", "site"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "site/index.html\n"
    assert "not valid JSON" in printed.err
    pages = sorted(Path("site").rglob("*"))
    (tmp_path / "empty").mkdir()
    for wrong in (["nothing"], ["runs", "nothing"], ["empty"]):
        assert main(["report", *wrong, "-o", "site"]) == 2
        assert capsys.readouterr().err.startswith(f"cab: {wrong[-1]}: ")
    assert sorted(Path("site").rglob("*")) == pages


def test_one_cell_is_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--single` takes one cell, not two."""
    write(tmp_path / "runs" / "a", "twin")
    assert main(["report", "runs", "--single", "cell.html"]) == 0
    assert capsys.readouterr().out == "cell.html\n"
    assert "<style>" in (tmp_path / "cell.html").read_text("utf-8")
    write(tmp_path / "runs" / "b", "other")
    assert main(["report", "runs", "--single", "cell.html"]) == 2
    assert "there are 2" in capsys.readouterr().err


def test_a_capture_that_is_not_shown_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Publishing prompts is a decision: without `--messages` the command says what it left out."""
    write(tmp_path / "runs" / "a", "twin")
    write_capture(tmp_path / "runs" / "a", "local/aider/m/polyglot/twin", "overheard")
    left_out = "1 cell holds captured messages, which are left out; --messages adds them\n"
    for target in (["-o", "site"], ["--single", "cell.html"]):
        assert main(["report", "runs", *target]) == 0
        assert left_out in capsys.readouterr().err
        assert main(["report", "runs", *target, "--messages"]) == 0
        assert "left out" not in capsys.readouterr().err
    assert "overheard" in (tmp_path / "cell.html").read_text("utf-8")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//host/",
        'https://h/"x',
        "https://h/ x",
        "https://h/?a",
        "https://h/#b",
        "",
    ],
)
def test_a_site_is_at_a_web_address(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Embeds lead to http or https, whatever is given."""
    assert main(["report", ".", "-o", "site", "--base-url", url]) == 2
    assert "is not a URL" in capsys.readouterr().err
