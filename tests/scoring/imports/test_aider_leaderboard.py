import sys
from pathlib import Path

import pytest

from cab.scoring import BadRecord
from cab.scoring.imports import Note, read_cells
from tests.scoring.imports.files import LEADERBOARD, cells_of, written

TEXT = LEADERBOARD.read_bytes()


def test_a_row_is_a_rate_and_no_verdict() -> None:
    """The rate of the last try is the partial score; the run is the sweep, and a commit stays a text."""
    new, old = cells_of(LEADERBOARD)
    assert new.cell_id == ("2026-01-05-10-00-00--small/aider/small-1/aider-benchmark/225-exercises")
    assert (new.passed, new.partial_score, new.origin.verdicts) == (None, 0.356, False)
    assert new.reason == "35.6 percent of 225 exercises passed at try 2; a rate is no verdict"
    assert (old.partial_score, old.origin.version) == (0.534, "0.30.2-dev")


def test_counts_are_those_of_all_exercises() -> None:
    """Rows before 2025 have no tokens; a cost is what the file says."""
    new, old = cells_of(LEADERBOARD)
    assert new.self_reported is not None
    assert (new.self_reported.total_tokens, new.self_reported.cost_usd) == (2_710_000, "1.25")
    assert old.self_reported is not None
    assert (old.self_reported.total_tokens, old.self_reported.cost_usd) == (None, "0.0")


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        (b"pass_rate_2: 35.6", b"pass_rate_2: 135.6", "0.pass_rate_2: is more than 100 percent"),
        (b"pass_rate_2: 35.6", b"pass_rate_2: .nan", "0.pass_rate_2: is not a number"),
        (b"total_cost: 1.2500", b"total_cost: -1", "0.total_cost: is not a number"),
    ],
)
def test_a_value_that_is_none_is_lost(tmp_path: Path, old: bytes, new: bytes, lost: str) -> None:
    """The others of the row stay, and its cell says what was lost."""
    notes: list[Note] = []
    first, _ = cells_of(written(tmp_path / "x.yml", TEXT.replace(old, new)), notes)
    assert first.notes[0].startswith(lost)
    assert len(notes) == 1


def test_a_row_without_a_name_is_left_out(tmp_path: Path) -> None:
    """The other rows count."""
    notes: list[Note] = []
    path = written(tmp_path / "x.yml", TEXT + b"- model: x\n- text\n")
    assert len(cells_of(path, notes)) == 2
    assert [note.row_lost for note in notes] == [True, True]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TEXT + b"- dirname: [\n", r"x\.yml:[0-9]+: not valid YAML"),
        (TEXT + b"- &a x\n- *a\n", "has aliases"),
        (TEXT + b"- " * 3000 + b"x\n", "not valid YAML: .*nest"),
        (TEXT + b"#" * (4 << 20), "over the limit"),
    ],
    ids=["torn", "aliases", "deep", "large"],
)
def test_hostile_yaml_is_refused(tmp_path: Path, text: bytes, reason: str) -> None:
    """What is torn, refers to itself, is deep or large is one error."""
    with pytest.raises(BadRecord, match=reason):
        read_cells(written(tmp_path / "x.yml", text))


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room alone does not need PyYAML."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(BadRecord, match=r"pip install 'coding-agent-bench\[yaml\]'"):
        read_cells(LEADERBOARD)
