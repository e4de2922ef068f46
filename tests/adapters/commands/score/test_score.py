from functools import partial
from pathlib import Path

import orjson
import pytest

from cab.adapters.cli import main
from tests.scoring.builders import CELL_ID, FIXTURES, PAGES, end_fields, facts, write_bundle
from tests.scoring.cells.test_bundle import stored as whole
from tests.scoring.imports.files import HARBOR, JOB, RUN_REPORT, TRIAL

stored = partial(whole, sealed=True)


def tampered(folder: Path) -> Path:
    """Return a bundle whose stored composite is not what its facts give."""
    stored(folder)
    path = folder / "cell.json"
    data = orjson.loads(path.read_bytes())
    data["scorers"]["composite"]["composite"] = 1.0
    path.write_bytes(orjson.dumps(data))
    return folder


def test_a_whole_bundle_comes_out_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle whose score is what its facts give is shown as a table, and exit code 0."""
    folder = stored(tmp_path / "b", calls=[end_fields("a")])
    assert main(["score", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(CELL_ID)
    assert "100 prompt, 20 completion; counted by upstream (1)" in out
    assert out.endswith("\nchecked: calls.jsonl against seal.json\ncell.json: identical\n")


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"], ["--explain"], ["--by", "tui"]])
def test_a_bundle_without_a_seal_is_named(
    form: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its score comes out again, and what nobody vouches for is said: in text, in JSON, by exit code 3."""
    folder = stored(tmp_path / "runs" / "b", calls=[end_fields("a")])
    (folder / "seal.json").unlink()
    assert main(["score", str(tmp_path / "runs"), *form]) == 3
    captured = capfd.readouterr()
    assert captured.err == (
        "cab: not checked: 1 cell has no seal that says which calls are the cell's\n"
    )
    what = "calls.jsonl: no seal.json says that these are the cell's calls, and all of them"
    if not form:
        assert f"not checked: {what}\n" in captured.out
    if form == ["--json"]:
        result = orjson.loads(captured.out)
        assert (result["checked"], result["not_checked"]) == ([], [what])


def test_a_score_that_differs_counts_more_than_a_missing_seal(tmp_path: Path) -> None:
    """Exit codes 2 and 1 come before 3."""
    folder = tampered(tmp_path / "b")
    (folder / "seal.json").unlink()
    assert main(["score", str(folder)]) == 1
    assert main(["score", str(folder), str(tmp_path / "none")]) == 2


def test_json_is_one_object_a_cell(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """With --json each cell is one line with its id, profile, composite and axes."""
    stored(tmp_path / "a")
    stored(tmp_path / "b")
    assert main(["score", str(tmp_path), str(PAGES[0]), "--json"]) == 0
    results = [orjson.loads(text) for text in capfdbinary.readouterr().out.splitlines()]
    assert [result["cell_id"] for result in results[:2]] == [CELL_ID, CELL_ID]
    assert (results[2]["profile"], results[2]["composite"]) == ("measured/1", None)
    assert results[2]["reason"].startswith("coverage 0.69 is below 0.75: cost:")
    assert results[2]["profiles"] == {"published/1": 0.8287027413585233, "measured/1": None}
    assert all(result["tokens"].keys() for result in results)


def test_published_cells_are_reproduced(capsys: pytest.CaptureFixture[str]) -> None:
    """All reference cells come out again, in one table; the missing tokens are not made up."""
    assert main(["score", str(FIXTURES), "--profile", "published/1"]) == 0
    out = capsys.readouterr().out
    assert out.count("identical") == 4
    assert "0.829" in out


def test_one_page_is_compared_with_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """A single page says that its zeros stand for what was not measured."""
    assert main(["score", str(PAGES[0])]) == 0
    out = capsys.readouterr().out
    assert "0 means not measured" in out
    assert out.endswith("composite of the page: identical\n")


def test_a_changed_score_is_reported_and_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stored score that does not come out again is exit code 1; --write puts the right one."""
    folder = tampered(tmp_path / "b")
    honest = (stored(tmp_path / "honest") / "cell.json").read_bytes()
    assert main(["score", str(folder)]) == 1
    assert "cell.json: differs" in capsys.readouterr().out
    assert main(["score", str(folder), "--write"]) == 0
    assert "cell.json: replaced" in capsys.readouterr().out
    assert (folder / "cell.json").read_bytes() == honest
    assert sorted(path.name for path in folder.iterdir()) == [
        "after.json",
        "before.json",
        "calls.jsonl",
        "cell.json",
        "seal.json",
        "stdout.txt",
    ]


def test_a_page_is_never_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page that differs stays as it is: there are no facts to make it from."""
    data = orjson.loads(PAGES[0].read_bytes())
    data["scorers"]["composite"]["composite"] = 0.5
    page = tmp_path / "page.json"
    page.write_bytes(orjson.dumps(data))
    assert main(["score", str(page), "--write"]) == 1
    assert orjson.loads(page.read_bytes()) == data
    data["scorers"]["composite"]["composite"] = None
    page.write_bytes(orjson.dumps(data))
    assert main(["score", str(page)]) == 0
    assert "nothing to compare with" in capsys.readouterr().out


def test_a_cell_that_cannot_be_replaced_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new score that cannot be written is one line and exit code 2; the old one stays."""
    folder = tampered(tmp_path / "b")
    before = (folder / "cell.json").read_bytes()
    (folder / "cell.json.part").mkdir()
    assert main(["score", str(folder), "--write"]) == 2
    assert "cell.json: cannot be replaced" in capsys.readouterr().err
    assert (folder / "cell.json").read_bytes() == before


def test_bad_cells_are_reported_and_the_rest_is_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each bad cell is one line on stderr, the others are scored, and the exit code is 2."""
    stored(tmp_path / "a")
    write_bundle(tmp_path / "b\x1b[31m")
    assert main(["score", str(tmp_path), str(tmp_path / "none")]) == 2
    captured = capsys.readouterr()
    assert "cell.json: identical" in captured.out
    lines = captured.err.splitlines()
    assert len(lines) == 2
    assert "\x1b" not in captured.err
    assert lines[0].startswith("cab: ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["none"], "none: No such file"),
        ([__file__], "not valid JSON"),
        ([str(Path(__file__).parent)], "holds no cell"),
        ([str(PAGES[0]), "--profile", "mine/1"], "profile 'mine/1' is unknown"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong path or profile is one line that names it, exit code 2, and no table."""
    assert main(["score", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert text in captured.err


def test_a_bundle_made_elsewhere_is_scored(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A bundle with a fact that a newer version added keeps it, and is reported as identical."""
    folder = stored(tmp_path / "b")
    known = facts()
    later = known.identity.model_copy(update={"region": "eu"})
    data = orjson.loads((folder / "cell.json").read_bytes())
    data["identity"] = later.model_dump(mode="json")
    (folder / "cell.json").write_bytes(
        orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    )
    assert main(["score", str(folder), "--json"]) == 0
    assert orjson.loads(capfdbinary.readouterr().out)["identical"] is True


PROFILE = """
schema = "cab.profile/1"
name = "thrift/2"
note = "Half of it is the pass, half the tokens."
needs_model_call = true
terms = [
    { name = "pass", weight = 0.5, component = "pass_rate", required = true },
    { name = "thrift", weight = 0.5, component = "cost_efficiency", unit = 1000 },
]
"""


def test_a_profile_of_ones_own(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """A profile from a file scores cells, and is shown beside the two that every cell has."""
    folder = stored(tmp_path / "a", calls=[end_fields("a", total_tokens=9000)])
    mine = tmp_path / "mine.toml"
    mine.write_text(PROFILE)
    assert main(["score", str(folder), "--profile", str(mine), "--json"]) == 0
    result = orjson.loads(capfdbinary.readouterr().out)
    assert (result["profile"], result["composite"]) == ("thrift/2", 0.75)
    stored(tmp_path / "b", calls=[end_fields("a")])
    assert main(["score", str(tmp_path), "--profile", str(mine)]) == 0
    head = capfdbinary.readouterr().out.split(b"stored")[0]
    assert head.split()[-3:] == [b"published/1", b"measured/1", b"thrift/2"]


def test_a_profile_that_does_not_add_up_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong profile is one line with its file and what is wrong, and nothing is scored."""
    mine = tmp_path / "mine.toml"
    mine.write_text(
        PROFILE.replace(
            'weight = 0.5, component = "pass_rate', 'weight = 0.4, component = "pass_rate'
        )
    )
    assert main(["score", str(PAGES[0]), "--profile", str(mine)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"cab: {mine}: terms: the weights add up to 0.9, not to 1\n"


def test_sums_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --explain each cell is its sum, under the profile that was asked for."""
    folder = stored(tmp_path / "a", calls=[end_fields("a")])
    assert main(["score", str(folder), str(PAGES[0]), "--explain"]) == 0
    ours, theirs = capsys.readouterr().out.split(
        "\n\n" + orjson.loads(PAGES[0].read_bytes())["identity"]["cell_id"]
    )
    assert ours.startswith(f"{CELL_ID} under measured/1\n\n  pass_rate ")
    assert "0.15 x 0.9531" in ours
    assert "measured/1 = none" in theirs
    assert main(["score", str(PAGES[0]), "--explain", "--profile", "published/1"]) == 0
    assert "= 0.8287\n" in capsys.readouterr().out


def test_a_file_of_another_harness_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """What Harbor measured is shown, what nobody did is said to be so, and exit code 0."""
    assert main(["score", str(TRIAL)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("nightly/mini-swe-agent/vendor/small-1/demo-suite/fix-git")
    assert "12,000 sent, 900 received (self_reported)" in out
    assert "90.50 s" in out
    assert "not measured" in out
    assert out.endswith("self-reported: harbor.trial\n")


@pytest.mark.parametrize("form", ["--markdown", "--csv", "--explain", "--json"])
def test_cells_of_another_harness_in_every_form(
    form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder and a file of several cells give a line for each, whatever the output."""
    assert main(["score", str(HARBOR), str(RUN_REPORT), form]) == 0
    out = capfd.readouterr().out
    assert "/fix-git" in out
    for number in range(1, 7):
        assert f"/swe-bench/demo__lib-{number}" in out


def test_cells_of_another_harness_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Every instance of a report counts: 1 of 3 passed, and 3 more say nothing about the agent."""
    assert main(["score", str(RUN_REPORT), "--by", "sweep", "--json"]) == 0
    [group] = map(orjson.loads, capsys.readouterr().out.splitlines())
    assert (group["cells"], group["passed"], group["failed"]) == (6, 1, 2)
    assert group["infrastructure"] == {"check_did_not_run": 3}


def test_a_summary_of_a_job_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not a cell is an error in one line that says what to name instead."""
    assert main(["score", str(JOB)]) == 2
    assert "is the result of a whole Harbor job: name its folder" in capsys.readouterr().err


def test_a_killed_attempt_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a killed run left is one line that says so, and how to get a score."""
    folder = stored(tmp_path / "b")
    (folder / "cell.json").unlink()
    (folder / "INCOMPLETE").write_bytes(b"{}")
    assert main(["score", str(folder)]) == 2
    assert capsys.readouterr().err == (
        f"cab: {folder}: is not a finished cell: its run was stopped, or still runs; "
        "run the cell again to score it\n"
    )


TABLE = """
name = "acme"
[models.gpt-5]
input = 4
output = 15
"""


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"], ["--markdown"]])
def test_other_prices_stand_beside_the_stored_ones(
    form: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """100 x $4 + 20 x $15 for each million, beside the endpoint's $0.5; nothing stored changes."""
    call = end_fields(
        "a", cost_usd="0.5", price_source="upstream", model_requested="gpt-5", model_served=None
    )
    folder = stored(tmp_path / "b", calls=[call])
    table = tmp_path / "prices.toml"
    table.write_text(TABLE)
    before = (folder / "cell.json").read_bytes()
    assert main(["score", str(folder), "--reprice", str(table), *form]) == 0
    out = capsys.readouterr().out
    assert (folder / "cell.json").read_bytes() == before
    assert "0.0007" in out
    if not form:
        assert "cost: $0.50 by the endpoint; by the operator's table acme@" in out
        assert out.endswith(" it would be $0.00070\n")
    if form == ["--json"]:
        made = orjson.loads(out)["repriced"]
        assert made.pop("price_source").startswith("table:acme@")
        assert made == {
            "cost_usd": "0.0007",
            "known_cost_usd": "0.0007",
            "cost_usd_per_correct_task": "0.0007",
            "priced_calls": 1,
            "unpriced_calls": 0,
        }


def test_by_a_list_that_does_not_know_the_model_nothing_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stored(
        tmp_path / "b", calls=[end_fields("a", cost_usd="0.5", price_source="upstream")]
    )
    how = ["score", str(folder), "--reprice", "genai-prices"]
    assert main([*how, "--provider", "openai"]) == 0
    assert "it would be not known (1 call without a price)" in capsys.readouterr().out
    assert main([*how, "--provider", "nobody"]) == 2
    assert main([*how, "--write"]) == 2
    assert main(["score", str(folder), "--provider", "openai"]) == 2
    assert main(["score", str(folder), "--reprice", str(tmp_path / "none.toml")]) == 2
