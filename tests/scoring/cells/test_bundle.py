import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cab.scoring import (
    BadRecord,
    Bundle,
    Cell,
    CellFacts,
    SelfReport,
    dump_cell,
    read_bundle,
    rescore,
    score_bundle,
    sum_calls,
)
from cab.scoring.ledger.records import CallEnd
from tests.scoring.builders import (
    AFTER,
    BEFORE,
    CELL_ID,
    end,
    end_fields,
    facts,
    line,
    open_fields,
    start_fields,
    unmeasured,
    write_bundle,
)


def bundle(known: CellFacts, calls: list[CallEnd] | None) -> Cell:
    """Return the scored cell of facts and calls in memory."""
    sums = None if calls is None else sum_calls(calls)
    return score_bundle(Bundle(known, BEFORE, AFTER, sums, "done"))


def stored(folder: Path, **files: Any) -> Path:
    """Write a whole bundle, `cell.json` included, and return its folder."""
    write_bundle(folder, **files)
    (folder / "cell.json").write_bytes(dump_cell(score_bundle(read_bundle(folder, facts()))))
    return folder


CALLS = [start_fields("a"), end_fields("a"), start_fields("b", seq=2), end_fields("b", seq=2)]


def test_a_bundle_is_scored_from_its_files(tmp_path: Path) -> None:
    """Tokens and calls come from the ledger slice, changes from the trees, times from the facts."""
    cell = score_bundle(read_bundle(write_bundle(tmp_path / "b", calls=CALLS), facts()))
    scorers = cell.scorers
    assert (scorers.tokens.model_calls, scorers.tokens.total_tokens) == (2, 240)
    assert scorers.tokens.tokens_per_correct_task == 240
    assert (scorers.latency.model_call_ms, scorers.latency.model_call_busy_ms) == (1000.0, 500.0)
    assert (scorers.latency.wall_clock_ms, scorers.latency.container_active_ms) == (
        3000.125,
        2900.5,
    )
    assert scorers.blast_radius.blast_radius == 0.5
    assert scorers.blast_radius.scratch_changes == [".aider.log"]
    assert (cell.timing.prompt_tokens, cell.timing.completion_tokens) == (200, 40)
    assert cell.timing.tokens_source == "upstream"
    assert cell.profiles["published/1"] == scorers.composite


def test_the_published_keys_are_all_there(tmp_path: Path) -> None:
    """Each scorer of a cell has every key that the published scorer has, the optional ones too."""
    cell = orjson.loads(rescore(stored(tmp_path / "b")))
    published = {
        "pass_rate": "pass exit_code timed_out stdout_tail stderr_tail partial_score",
        "tokens": "prompt_tokens completion_tokens total_tokens model_calls "
        "tokens_per_correct_task pass_used_for_division",
        "latency": "wall_clock_ms container_active_ms model_call_ms",
        "blast_radius": "blast_radius added removed modified unexpected_changes expected_changes "
        "total_changes extra_git_dir",
        "refusal": "refusal not_applicable expected_refusal refusal_produced "
        "fabricated_fix_detected refusal_correct refusal_reasons refusal_signals marker_hits "
        "keyword_hits",
        "integrity": "integrity violations not_applicable task_id",
        "composite": "composite weights components note",
    }
    for scorer, keys in published.items():
        assert set(keys.split()) <= cell["scorers"][scorer].keys()


@pytest.mark.parametrize(
    "files",
    [
        {"calls": CALLS},
        {"calls": []},
        {"calls": None},
        {"calls": [unmeasured("a")]},
        {"stdout": None},
        {"stdout": "é" * 5000},
    ],
)
def test_rescoring_gives_the_same_bytes(tmp_path: Path, files: dict[str, Any]) -> None:
    """A stored cell comes out of its bundle again, byte for byte."""
    folder = stored(tmp_path / "b", **files)
    assert rescore(folder) == (folder / "cell.json").read_bytes()


ATTRS = st.dictionaries(
    st.text(),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ),
    max_size=3,
)


@given(st.floats(0, 1e9), st.text(), ATTRS)
def test_facts_survive_any_number_of_rounds(duration_ms: float, prompt: str, attrs: Any) -> None:
    """Whatever durations, texts and attributes a cell has, its facts give the same bytes again."""
    known = facts()
    span = known.spans[1].model_copy(update={"duration_ms": duration_ms, "attrs": attrs})
    task = known.task.model_copy(update={"prompt": prompt})
    first = dump_cell(bundle(known.model_copy(update={"spans": [span], "task": task}), calls=[]))
    read = CellFacts.model_validate(orjson.loads(first), strict=True)
    assert dump_cell(bundle(read, calls=[])) == first


def test_derived_numbers_are_made_again(tmp_path: Path) -> None:
    """Scores that were changed by hand do not come out again; the facts do."""
    folder = stored(tmp_path / "b", calls=CALLS)
    honest = (folder / "cell.json").read_bytes()
    data = orjson.loads(honest)
    data["scorers"]["tokens"]["total_tokens"] = 1
    data["scorers"]["composite"]["composite"] = 1.0
    data["profiles"] = {}
    data["timing"]["prompt_tokens"] = 1
    (folder / "cell.json").write_bytes(orjson.dumps(data))
    assert rescore(folder) == honest


def sealed(folder: Path, **changes: Any) -> Path:
    """Give a bundle the seal of its slice."""
    lines = (folder / "calls.jsonl").read_bytes()
    seal = {
        "cell_id": CELL_ID,
        "records": lines.count(b"\n"),
        "digest": f"sha256:{hashlib.sha256(lines).hexdigest()}",
    }
    (folder / "seal.json").write_bytes(orjson.dumps({**seal, **changes}))
    return folder


def test_a_slice_is_held_against_its_seal(tmp_path: Path) -> None:
    """A bundle whose calls are not those that were sealed is refused, with the line and what it is."""
    folder = sealed(stored(tmp_path / "b", calls=CALLS))
    assert rescore(folder) == (folder / "cell.json").read_bytes()
    calls = folder / "calls.jsonl"
    calls.write_bytes(
        calls.read_bytes().replace(b'"completion_tokens":20', b'"completion_tokens":2')
    )
    with pytest.raises(BadRecord, match=r"calls\.jsonl:2: edited: its bytes have the hash"):
        read_bundle(folder)
    calls.unlink()
    with pytest.raises(BadRecord, match=r"calls\.jsonl: No such file"):
        read_bundle(folder)


def test_the_seal_of_another_cell_is_refused(tmp_path: Path) -> None:
    """A seal that names another cell does not vouch for this one."""
    folder = sealed(stored(tmp_path / "b", calls=CALLS), cell_id="local/a/m/f/t")
    with pytest.raises(BadRecord, match=r"seal\.json: cell_id: 'local/a/m/f/t' is not this cell"):
        read_bundle(folder)


def test_unmetered_is_unknown_and_not_zero(tmp_path: Path) -> None:
    """Without a ledger slice no token, call or model time is known, and none is scored as 0."""
    cell = score_bundle(read_bundle(write_bundle(tmp_path / "b", calls=None), facts()))
    tokens = cell.scorers.tokens.model_dump()
    assert tokens.pop("pass_used_for_division") == 1
    assert tokens.pop("by_source") == {}
    assert set(tokens.values()) == {None}
    assert cell.scorers.latency.model_call_ms is None
    assert (cell.timing.prompt_tokens, cell.timing.tokens_source) == (None, "none")


@pytest.mark.parametrize(
    ("calls", "seal", "zero"),
    [
        ([], False, None),
        ([], True, 0),
        ([open_fields()], False, 0),
        ([{"kind": "cell_seal", "cell_id": CELL_ID}], False, 0),
        ([{"kind": "proxy_start"}], False, None),
        ([end_fields(end_reason="rejected", usage_source="none", total_tokens=None)], False, 0),
    ],
    ids=["nothing", "seal", "opened", "seal in the slice", "other records", "a rejected call"],
)
def test_no_call_is_zero_only_of_a_cell_that_was_metered(
    tmp_path: Path, calls: list[dict[str, Any]], seal: bool, zero: int | None
) -> None:
    """Without its opening, its seal or a line of a call nobody knows what a cell has called."""
    folder = write_bundle(tmp_path / "b", calls=calls)
    if seal:
        sealed(folder)
    scores = score_bundle(read_bundle(folder, facts())).scorers
    assert (scores.tokens.model_calls, scores.tokens.total_tokens) == (zero, zero)
    made, cost = scores.calls, scores.cost
    assert made is not None
    assert cost is not None
    assert (made.attempts, scores.latency.model_call_ms) == (zero, zero)
    assert cost.cost_usd == (None if zero is None else "0")


@pytest.mark.parametrize("kind", ["cell_open", "cell_seal"])
def test_another_cells_opening_or_seal_vouches_for_nothing(tmp_path: Path, kind: str) -> None:
    """It is an error in a bundle: whoever put it there meant this cell."""
    record = {**open_fields("s/a/m/f/other"), "kind": kind}
    with pytest.raises(BadRecord, match=r"calls\.jsonl:1: cell_id: .*other' is not this cell"):
        read_bundle(write_bundle(tmp_path / "b", calls=[record]), facts())


def test_the_agents_own_count_stays_apart(tmp_path: Path) -> None:
    """What the agent says of its tokens is kept beside the metered ones, never mixed in."""
    report = SelfReport(
        prompt_tokens=1200,
        completion_tokens=1600,
        total_tokens=2800,
        source="tui_stdout",
        exact=False,
    )
    folder = write_bundle(tmp_path / "b", calls=CALLS)
    cell = score_bundle(read_bundle(folder, facts(self_reported=report)))
    assert cell.self_reported == report
    assert cell.scorers.tokens.total_tokens == 240


def test_a_new_git_folder_is_told(tmp_path: Path) -> None:
    """A `.git` that was not there before is reported, one that was is not."""
    with_git = AFTER.model_copy(update={"git_dir": True})
    was_there = BEFORE.model_copy(update={"git_dir": True})
    new = read_bundle(write_bundle(tmp_path / "new", after=with_git), facts())
    old = read_bundle(write_bundle(tmp_path / "old", before=was_there, after=with_git), facts())
    assert score_bundle(new).scorers.blast_radius.extra_git_dir
    assert not score_bundle(old).scorers.blast_radius.extra_git_dir


def test_only_the_end_of_the_output_is_looked_at(tmp_path: Path) -> None:
    """The tail is the last 4096 bytes, and a character that was cut there is no error."""
    folder = write_bundle(tmp_path / "b", stdout="é" * 3000 + "!")
    tail = read_bundle(folder, facts()).stdout_tail
    assert tail == "\N{REPLACEMENT CHARACTER}" + "é" * 2047 + "!"


@pytest.mark.parametrize("name", ["cell.json", "before.json", "after.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    """A bundle that lacks a file it needs is an error that names the file."""
    folder = stored(tmp_path / "b")
    (folder / name).unlink()
    with pytest.raises(BadRecord, match=name):
        rescore(folder)


def test_a_bundle_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    """A bundle with the marker of an unfinished run is not a result."""
    folder = stored(tmp_path / "b")
    (folder / "INCOMPLETE").touch()
    with pytest.raises(BadRecord, match="not a finished cell"):
        rescore(folder)


@pytest.mark.parametrize(
    ("keys", "value", "field"),
    [
        (("schema",), "cab.cell/2", "schema"),
        (("identity", "cell_id"), "a/b", "identity"),
        (("identity", "exit_code"), "0", "identity.exit_code"),
        (("timing", "ended_at"), "2026-11-20T11:00:00Z", "timing"),
        (("timing", "duration_ms"), -1, "timing.duration_ms"),
        (("timing", "prompt_tokens"), -1, "timing.prompt_tokens"),
        (("task", "task_id"), "polyglot/other", None),
        (("task", "expected_changes"), "src", "task.expected_changes"),
        (("check", "passed"), 1, "check.passed"),
        (("check", "exit_code"), None, "check"),
        (("spans", 0, "kind"), "party", "spans.0.kind"),
        (("self_reported",), {"prompt_tokens": -3}, "self_reported.prompt_tokens"),
    ],
)
def test_a_wrong_fact_is_named(
    tmp_path: Path, keys: tuple[str | int, ...], value: object, field: str | None
) -> None:
    """A fact that is wrong, out of range or contradicts another is named by file and field."""
    folder = stored(tmp_path / "b")
    data = orjson.loads((folder / "cell.json").read_bytes())
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (folder / "cell.json").write_bytes(orjson.dumps(data))
    with pytest.raises(BadRecord) as caught:
        rescore(folder)
    assert caught.value.path.endswith("cell.json")
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("calls", "number", "field"),
    [
        ([end_fields("a", cell_id="x/y/z/f/t")], 1, "cell_id"),
        ([start_fields("a", cell_id=None)], 1, "cell_id"),
        ([end_fields("a"), end_fields("a")], 2, "call_id"),
        ([end_fields("a", ended_at="2026-11-20T11:59:59Z")], 1, "ended_at"),
        ([end_fields("a", started_at="noon")], 1, "started_at"),
        ([end_fields("a", ended_at="noon")], 1, "ended_at"),
        ([end_fields("a"), end_fields("b", total_tokens=-1)], 2, "total_tokens"),
    ],
)
def test_a_wrong_call_is_named(
    tmp_path: Path, calls: list[dict[str, Any]], number: int, field: str
) -> None:
    """A call that is not this cell's, ends twice or too early is named by file, line and field."""
    with pytest.raises(BadRecord) as caught:
        read_bundle(write_bundle(tmp_path / "b", calls=calls), facts())
    assert caught.value.path.endswith("calls.jsonl")
    assert (caught.value.line, caught.value.field) == (number, field)


def test_other_records_of_a_slice_are_left_alone(tmp_path: Path) -> None:
    """Opening and sealing a cell are not calls."""
    folder = write_bundle(tmp_path / "b", calls=CALLS)
    with (folder / "calls.jsonl").open("ab") as handle:
        handle.write(line({"kind": "cell_seal", "cell_id": CELL_ID}))
    assert score_bundle(read_bundle(folder, facts())).scorers.tokens.model_calls == 2


@pytest.mark.parametrize("name", ["calls.jsonl", "stdout.txt"])
def test_a_link_to_nowhere_is_not_a_missing_file(tmp_path: Path, name: str) -> None:
    """A file that is a broken link is an error; it is not taken for one that was never there."""
    folder = write_bundle(tmp_path / "b")
    (folder / name).unlink()
    (folder / name).symlink_to("nowhere")
    with pytest.raises(BadRecord, match=name):
        read_bundle(folder, facts())


def test_lines_come_from_the_patch(tmp_path: Path) -> None:
    """A bundle's patch shows the lines of its changes; a patch that is broken is named."""
    folder = write_bundle(tmp_path / "b")
    assert score_bundle(read_bundle(folder, facts())).scorers.blast_radius.lines_added is None
    patch = folder / "changes.patch"
    patch.write_bytes(b"diff --git a/src/lib.py b/src/lib.py\n@@ -1 +1,2 @@\n-a\n+b\n+c\n")
    blast = score_bundle(read_bundle(folder, facts())).scorers.blast_radius
    assert (blast.lines_added, blast.lines_removed, blast.collateral_lines) == (2, 1, 0)
    patch.write_bytes(b"diff --git a/src/lib.py b/src/lib.py\n@@ -1 +1 @@\n")
    with pytest.raises(BadRecord, match=r"changes\.patch:2"):
        read_bundle(folder, facts())


def test_a_cell_has_both_profiles(tmp_path: Path) -> None:
    """Every cell holds its composite under both profiles, and rescoring gives both again."""
    folder = stored(tmp_path / "b", calls=CALLS)
    data = orjson.loads((folder / "cell.json").read_bytes())
    assert list(data["profiles"]) == ["published/1", "measured/1"]
    assert data["profiles"]["measured/1"]["verdict"] == "scored"
    assert data["scorers"]["calls"]["succeeded"] == 2
    assert data["scorers"]["cost"]["unpriced_calls"] == 2


def test_a_cell_can_be_scored_without_files() -> None:
    """Facts, trees and records in memory give a scored cell."""
    assert bundle(facts(), calls=[end("a")]).scorers.tokens.total_tokens == 120


def test_trees_that_are_not_whole(tmp_path: Path) -> None:
    """Of a workspace that nobody saw to its end the blast radius is null, with the reason, and no 0 stands for it."""
    folder = write_bundle(tmp_path / "b")
    after = orjson.loads((folder / "after.json").read_bytes())
    (folder / "after.json").write_bytes(orjson.dumps({**after, "incomplete": ["entries"]}))
    cell = score_bundle(read_bundle(folder, facts()))
    blast = cell.scorers.blast_radius
    assert blast is not None
    assert (blast.blast_radius, blast.total_changes) == (None, None)
    assert blast.reason == "the file trees are not whole: entries"
    terms = {term.name: term for term in cell.profiles["measured/1"].terms}
    assert (terms["blast_radius"].value, terms["blast_radius"].state) == (None, "not_measured")
