import shutil
from pathlib import Path

import orjson
import pytest

from cab.scoring import (
    PROFILES,
    BadRecord,
    ScoringError,
    UnknownProfile,
    find_cells,
    score_one,
    score_path,
)
from cab.scoring.axes import Axes
from cab.scoring.imports import Note, ReadingWarning
from tests.scoring.builders import CELL_ID, FIXTURES, PAGES, end_fields, write_bundle
from tests.scoring.cells.test_bundle import stored
from tests.scoring.imports.files import (
    ALL,
    HARBOR,
    LIST,
    RUN_REPORT,
    TRIAL,
    VERSION_1,
    changed,
    written,
)


def test_a_result_holds_cell_profile_composite_and_axes(tmp_path: Path) -> None:
    """The result of a bundle has the agreed keys, the axes under their published names."""
    folder = stored(tmp_path / "b", calls=[end_fields("a")])
    [result] = score_path(folder, "published/1")
    cell = orjson.loads((folder / "cell.json").read_bytes())
    assert (result["cell_id"], result["profile"]) == (CELL_ID, "published/1")
    assert result["composite"] == cell["scorers"]["composite"]["composite"]
    for name in Axes.model_fields:
        assert result[name] == cell["scorers"][name]
    assert (result["rescored_from"], result["identical"]) == ("facts", True)
    assert orjson.loads(orjson.dumps(result)) == result


def test_a_cell_file_stands_for_its_bundle(tmp_path: Path) -> None:
    """A `cell.json` beside its facts gives what its folder gives."""
    folder = stored(tmp_path / "b")
    assert list(score_path(folder / "cell.json")) == list(score_path(folder))


def test_a_cell_file_alone_is_scored_from_its_axes(tmp_path: Path) -> None:
    """A `cell.json` that was taken out of its bundle gives the same composite."""
    folder = stored(tmp_path / "b", calls=[end_fields("a")])
    shutil.copy(folder / "cell.json", tmp_path / "cell.json")
    alone, whole = score_one(tmp_path / "cell.json"), score_one(folder)
    assert alone.composite == whole.composite
    assert alone.as_dict()["tokens"] == whole.as_dict()["tokens"]
    assert (alone.as_dict()["rescored_from"], alone.identical) == ("scores", True)


def test_a_folder_of_pages_gives_each_cell() -> None:
    """A folder of published cells gives one result each, all reproduced."""
    results = list(score_path(FIXTURES))
    assert [result["path"] for result in results] == [str(path) for path in PAGES]
    assert {result["identical"] for result in results} == {True}


def test_a_changed_page_is_not_identical(tmp_path: Path) -> None:
    """A page whose composite is not what its axes give is reported; without a composite nothing is compared."""
    data = orjson.loads(PAGES[0].read_bytes())
    path = tmp_path / "page.json"
    for stored_composite, identical in ((0.9, False), (None, None)):
        data["scorers"]["composite"]["composite"] = stored_composite
        path.write_bytes(orjson.dumps(data))
        assert score_one(path).identical is identical


def test_bundles_are_found_at_any_depth(tmp_path: Path) -> None:
    """Bundles below a folder are found in order; what an agent left inside one is not a cell."""
    for name in ("s/b/m/f/t", "s/a/m/f/t", "s/a/m/f/t#run2"):
        stored(tmp_path / name)
    (tmp_path / "sweep.json").write_bytes(b"{}")
    inside = tmp_path / "s/a/m/f/t/workspace"
    inside.mkdir()
    (inside / "cell.json").write_bytes(b"{}")
    found = [path.relative_to(tmp_path).as_posix() for path in find_cells(tmp_path)]
    assert found == ["s/a/m/f/t", "s/a/m/f/t#run2", "s/b/m/f/t"]


def test_one_bad_cell_does_not_stop_the_others(tmp_path: Path) -> None:
    """With a handler, a broken bundle is reported and the rest is scored."""
    stored(tmp_path / "a")
    write_bundle(tmp_path / "b")
    stored(tmp_path / "c")
    errors: list[ScoringError] = []
    assert len(list(score_path(tmp_path, on_error=errors.append))) == 2
    assert "cell.json" in str(errors[0])
    with pytest.raises(BadRecord):
        list(score_path(tmp_path))


def test_an_interrupted_cell_is_reported(tmp_path: Path) -> None:
    """A folder that a run has only begun to fill is found, so that it is not passed over."""
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "INCOMPLETE").touch()
    with pytest.raises(BadRecord, match="is not a finished cell"):
        list(score_path(tmp_path))


def test_a_folder_that_cannot_be_searched_is_named(tmp_path: Path) -> None:
    """A folder that fails while it is searched is an error, its cells are not passed over."""
    stored(tmp_path / "a")
    (tmp_path / "b").mkdir()
    found = find_cells(tmp_path)
    assert next(found) == tmp_path / "a"
    (tmp_path / "b").rmdir()
    with pytest.raises(BadRecord, match="b: No such file"):
        next(found)


def test_nothing_to_score_is_an_error(tmp_path: Path) -> None:
    """A folder without cells, a missing path and an unknown profile are errors."""
    with pytest.raises(BadRecord, match="holds no cell"):
        list(score_path(tmp_path))
    with pytest.raises(BadRecord, match="none"):
        list(score_path(tmp_path / "none"))
    with pytest.raises(UnknownProfile):
        list(score_path(PAGES[0], "mine/1"))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, (None, "not_scored")),
        (1, (0.0, "no_op")),
        (2, (0.7588669415954507, "scored")),
        (3, (None, "not_scored")),
    ],
)
def test_the_reference_cells_as_measured(number: int, expected: tuple[float | None, str]) -> None:
    """Where no profile is named, a page is scored on what it measured, and says why it cannot be."""
    [result] = score_path(PAGES[number])
    assert result["profile"] == "measured/1"
    assert (result["composite"], result["verdict"]) == expected
    assert (result["reason"] is None) is (expected[1] == "scored")
    assert result["identical"] is True
    assert "calls" not in result


def test_a_profile_can_be_given_as_data(tmp_path: Path) -> None:
    """A profile of one's own scores a cell, and the two that every cell has stand beside it."""
    mine = PROFILES["published/1"].model_copy(update={"name": "mine/1"})
    [result] = score_path(PAGES[0], mine)
    assert (result["profile"], result["composite"]) == ("mine/1", 0.8287027413585233)
    assert list(result["profiles"]) == ["published/1", "measured/1"]
    folder = stored(tmp_path / "b", calls=[end_fields("a")])
    assert score_one(folder, mine).composite.profile == "mine/1"


@pytest.mark.parametrize("path", ALL, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_file_of_another_harness_is_scored(path: Path) -> None:
    """Each cell of such a file is one result, tagged as self-reported, with a reason for no number."""
    results = list(score_path(path))
    assert results
    for result in results:
        assert (result["rescored_from"], result["identical"]) == ("self_reported", None)
        assert (result["composite"], result["verdict"]) == (None, "not_scored")
        assert result["profiles"] == {"published/1": None, "measured/1": None}
        assert result["reason"]
        assert result["tokens"]["total_tokens"] is None
        assert result["imported"].keys() == {"form", "version", "name", "id", "verdicts", "notes"}
        assert orjson.loads(orjson.dumps(result)) == result


def test_what_another_harness_counted_stands_apart() -> None:
    """Its counts are in the result under a name of their own, and its clock under the published one."""
    [result] = score_path(TRIAL)
    own = result["self_reported"]
    assert (own["prompt_tokens"], own["cost_usd"], own["source"]) == (
        12000,
        "0.0425",
        "self_reported",
    )
    assert (result["latency"]["wall_clock_ms"], result["pass_rate"]["pass"]) == (90_500.0, 1)
    assert (result["blast_radius"], result["integrity"], result["stopped"]) == (None, None, False)
    assert "calls" not in result


def test_too_little_of_a_trial_is_measured() -> None:
    """A pass and a clock are 0.55 of the weight: below the minimum of 0.75."""
    scored = score_one(TRIAL)
    assert scored.composite.coverage == pytest.approx(0.55, abs=1e-12)
    assert (scored.composite.reason or "").startswith("coverage 0.55 is below 0.75: integrity:")
    published = scored.profiles["published/1"]
    assert published.reason == "nobody looked whether protected files were touched"


def test_a_file_of_several_cells_is_not_one() -> None:
    """A report of six instances is six results, and no single one."""
    assert len(list(score_path(RUN_REPORT))) == 6
    with pytest.raises(BadRecord, match="holds 6 cells, not one"):
        score_one(RUN_REPORT)


def test_a_folder_of_another_harness_gives_its_cells(tmp_path: Path) -> None:
    """A job's folder gives its trials; one that is broken is reported, and the others are scored."""
    assert [result["imported"]["name"] for result in score_path(HARBOR)] == [
        "fix-git__Xk3aQ7p",
        "slow-start__b7Wm2Rt",
        "two-steps__Zp1kLm9",
    ]
    shutil.copytree(HARBOR, tmp_path / "job")
    written(tmp_path / "job" / "fix-git__Xk3aQ7p" / "result.json", b"{")
    errors: list[ScoringError] = []
    assert len(list(score_path(tmp_path / "job", on_error=errors.append))) == 2
    assert "fix-git__Xk3aQ7p/result.json:1: not valid JSON" in str(errors[0])


def test_a_copied_trial_counts_once(tmp_path: Path) -> None:
    """Two files of one run are one cell, which is said; another run of the same task counts."""
    for name, changes in (
        ("a", {}),
        ("b", {}),
        ("c", {"id": "0190a0c4-0000-7000-8000-0000000000ff"}),
    ):
        (tmp_path / name).mkdir()
        changed(TRIAL, tmp_path / name, changes)
    notes: list[Note] = []
    assert len(list(score_path(tmp_path, on_note=notes.append))) == 2
    first, copy = tmp_path / "a/result.json", tmp_path / "b/result.json"
    assert [str(note) for note in notes] == [f"{copy}: is a copy of {first}: it counts once"]
    with pytest.warns(ReadingWarning, match="is a copy of"):
        list(score_path(tmp_path))


def test_bundles_come_before_files_of_others(tmp_path: Path) -> None:
    """In a folder of bundles an agent's own files are not cells."""
    stored(tmp_path / "a")
    shutil.copy(VERSION_1, tmp_path / "left.traj.json")
    shutil.copy(LIST, tmp_path / "preds.json")
    assert [path.name for path in find_cells(tmp_path)] == ["a"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_text_of_a_page_scores_as_the_page(path: Path) -> None:
    """Both forms of a published cell give one result, composites to the last digit."""
    [page], [text] = score_path(path), score_path(path.with_suffix(".page.txt"))
    assert {**text, "path": ""} == {**page, "path": ""}
    assert text["identical"] is True


def test_the_count_on_a_page_is_the_agents_own() -> None:
    """aider's rounded tokens stand beside the zeros of its page, and stay out of the score."""
    [result] = score_path(PAGES[0])
    assert result["tokens"]["total_tokens"] == 0
    own = result["self_reported"]
    assert (own["total_tokens"], own["source"], own["exact"]) == (2800, "tui_stdout", False)
    assert result["stopped"] is None
