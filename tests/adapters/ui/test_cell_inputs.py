import argparse
import shutil
from pathlib import Path

import pytest

from cab.adapters.ui.cell_inputs import (
    PROFILE,
    STATISTICS,
    CellReader,
    profile_of,
    settings_of,
)
from cab.scoring import BadRecord, Timing, UnknownProfile
from cab.scoring.analysis.estimates import Settings
from tests.scoring.builders import FIXTURES
from tests.scoring.imports.files import LINES, RUN_REPORT, TB_RUN, TRIAL, written
from tests.scoring.results import stored_cell


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    for option in (PROFILE, *STATISTICS):
        option.add_to(parser)
    return parser


def observer() -> CellReader:
    return CellReader(profile_of("measured/1"))


def test_cells_of_several_paths_come_once(tmp_path: Path) -> None:
    """A bundle that lies below two of the paths is one cell."""
    stored_cell(tmp_path, "s/a/m/f/t")
    found = list(observer().cells([tmp_path, tmp_path / "s", FIXTURES]))
    assert str(found[0].cell) == "s/a/m/f/t"
    assert len(found) == 1 + 4


def test_a_copy_is_no_second_run(tmp_path: Path) -> None:
    """A bundle that was copied counts once; another run of the same cell counts as well."""
    stored_cell(tmp_path / "a", "s/a/m/f/t")
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    later = Timing.of_run("2026-11-21T12:00:00.000000Z", "2026-11-21T12:00:03.000000Z", 3000.5)
    stored_cell(tmp_path / "b", "s/a/m/f/t", timing=later)
    assert len(list(observer().cells([tmp_path]))) == 2


def test_all_cells_of_one_file_come_once() -> None:
    """A file of several cells gives each of them, and none twice if it is named twice."""
    assert len(list(observer().cells([RUN_REPORT, RUN_REPORT]))) == 6


def test_attempts_of_one_task_in_one_file_are_runs_of_it() -> None:
    """They share a cell id, and each of them counts."""
    assert len(list(observer().cells([TB_RUN, TB_RUN]))) == 4


def test_a_copy_of_another_harness_s_run_is_said_and_counts_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below one path and across several: a run has an id of its own, and is not two runs."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(TRIAL, tmp_path / name)
    reading = observer()
    assert len(list(reading.cells([tmp_path, TRIAL]))) == 1
    assert reading.exit_code == 0
    assert "b/result.json: is a copy of" in capsys.readouterr().err


def test_a_lost_row_is_a_cell_that_cannot_be_read_and_a_lost_value_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are a line on stderr; only the row changes the exit code, and the other rows count."""
    torn = written(tmp_path / "torn.jsonl", LINES.read_bytes()[:-20])
    reading = observer()
    assert len(list(reading.cells([torn]))) == 2
    assert reading.exit_code == 2
    assert ":3: the last line is torn: not valid JSON" in capsys.readouterr().err
    reading = observer()
    nan = written(tmp_path / "nan.json", TRIAL.read_bytes().replace(b"0.0425", b"NaN"))
    assert len(list(reading.cells([nan]))) == 1
    assert reading.exit_code == 0
    assert "agent_result.cost_usd: is not a number" in capsys.readouterr().err


def test_a_bad_cell_is_reported_and_the_others_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken bundle and a missing path are a line each and exit code 2; the rest is there."""
    stored_cell(tmp_path, "s/a/m/f/t")
    stored_cell(tmp_path, "s/a/m/f/u")
    (tmp_path / "s/a/m/f/t/cell.json").write_bytes(b"{}")
    reading = observer()
    assert [cell.cell.task for cell in reading.cells([tmp_path, tmp_path / "none"])] == ["u"]
    assert reading.exit_code == 2
    assert [line[:5] for line in capsys.readouterr().err.splitlines()] == ["cab: ", "cab: "]


def test_options_make_settings() -> None:
    """The options stand for the settings, and their defaults for the default settings."""
    assert settings_of(options().parse_args([])) == Settings()
    given = ["--confidence", "0.9", "--min-coverage", "0", "--seed", "7"]
    assert settings_of(options().parse_args(given)) == Settings(0.9, 0.0, 7)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--confidence", "95"], "95 is not a share between 0 and 1, both excluded"),
        (["--confidence", "1"], "1 is not a share between 0 and 1, both excluded"),
        (["--confidence", "high"], "high is not a share between 0 and 1, both excluded"),
        (["--min-coverage", "1.5"], "1.5 is not a share from 0 to 1"),
        (["--min-coverage", "nan"], "nan is not a share from 0 to 1"),
    ],
)
def test_what_is_no_share_is_refused(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A percentage, a word and NaN are errors that say what is asked for."""
    with pytest.raises(SystemExit):
        options().parse_args(arguments)
    assert reason in capsys.readouterr().err


def test_a_profile_is_a_name_or_a_file(tmp_path: Path) -> None:
    """An unknown name, and a file that is not there, are errors that name it."""
    assert profile_of("published/1").name == "published/1"
    with pytest.raises(UnknownProfile, match="mine/1"):
        profile_of("mine/1")
    with pytest.raises(BadRecord, match=r"mine\.toml"):
        profile_of(str(tmp_path / "mine.toml"))
