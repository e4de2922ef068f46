"""Files in which anything may stand anywhere: cells, or one error that says what is wrong."""

import contextlib
import itertools
import tempfile
import warnings
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cab.scoring import BadRecord, score_path
from cab.scoring.analysis.observe import observe
from cab.scoring.imports import (
    ImportedCell,
    Note,
    ReadingWarning,
    read_aider_results,
    read_cells,
    read_harbor,
    read_mini_trajectory,
    read_page,
    read_swebench_predictions,
    read_swebench_report,
)
from tests.scoring.cells.test_hostile_bundles import VALUES, places, put
from tests.scoring.imports.files import (
    ALL,
    ANAGRAM,
    BY_INSTANCE,
    LEADERBOARD,
    LINES,
    LIST,
    OPENHANDS,
    RESOLVED,
    RUN_REPORT,
    STEPS,
    TRIAL,
    VERSION_1,
    VERSION_1_1,
    assert_rejected,
    cells_of,
    changed,
    written,
)
from tests.tools.cases import cases

OBJECTS = [path for path in ALL if path not in {LINES, LEADERBOARD, OPENHANDS}]
EXAMPLES = 12
"""Of each file: there are as many files as that, and each run of the tests tries others."""
READERS = (
    read_aider_results,
    read_cells,
    read_harbor,
    read_mini_trajectory,
    read_page,
    read_swebench_predictions,
    read_swebench_report,
)


def scored(path: Path) -> None:
    """Score a file and write the results out, as `cab score --json` does, and take them in."""
    notes: list[Note] = []
    for result in score_path(path, on_note=notes.append):
        assert orjson.dumps(result)
        observe(result)
    assert all(str(note).isprintable() for note in notes)


@pytest.mark.parametrize("source", OBJECTS, ids=lambda path: "/".join(path.parts[-2:]))
@given(st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_any_value_anywhere(source: Path, draw: st.DataObject) -> None:
    """A file with one value changed is scored, or refused with a BadRecord that names it."""
    data: Any = orjson.loads(source.read_bytes())
    put(data, draw.draw(st.sampled_from(places(data))), draw.draw(VALUES))
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(BadRecord):
        scored(written(Path(folder) / source.name, data))


@pytest.mark.parametrize("source", OBJECTS, ids=lambda path: "/".join(path.parts[-2:]))
@given(st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_any_value_missing(source: Path, draw: st.DataObject) -> None:
    """A file with one value taken out is scored, or refused with a BadRecord."""
    data: Any = orjson.loads(source.read_bytes())
    *way, last = draw.draw(st.sampled_from(places(data)))
    inside = data
    for key in way:
        inside = inside[key]
    del inside[last]
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(BadRecord):
        scored(written(Path(folder) / source.name, data))


@pytest.mark.parametrize("source", ALL, ids=lambda path: "/".join(path.parts[-2:]))
@given(st.data())
@settings(deadline=None, max_examples=EXAMPLES)
def test_any_bytes_anywhere(source: Path, draw: st.DataObject) -> None:
    """A file that is cut, or has bytes put into it, is scored, or refused with a BadRecord."""
    text = source.read_bytes()
    cut = draw.draw(st.integers(0, len(text)))
    rest = draw.draw(st.integers(cut, len(text)))
    mangled = text[:cut] + draw.draw(st.binary(max_size=20)) + text[rest:]
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(BadRecord):
        scored(written(Path(folder) / source.name, mangled))


@given(VALUES, st.sampled_from(READERS))
@settings(deadline=None)
def test_any_json_in_any_reader(data: Any, read: Any) -> None:
    """Whatever JSON a reader is given, it reads it or refuses it with a BadRecord."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.suppress(BadRecord),
        warnings.catch_warnings(action="ignore", category=ReadingWarning),
    ):
        read(written(Path(folder) / "x.json", data))


@cases("read, source", itertools.product(READERS, ALL))
def test_a_file_of_another_form_is_refused(read: Any, source: Path) -> None:
    """A reader that is given a file of another form reads nothing out of it by accident."""
    right = read_cells(source)
    with contextlib.suppress(BadRecord):
        with warnings.catch_warnings(action="ignore", category=ReadingWarning):
            cells = read(source)
        assert (cells if isinstance(cells, list) else [cells]) == right


@pytest.mark.parametrize(
    ("source", "way"),
    [
        (TRIAL, "agent_result.n_input_tokens"),
        (STEPS, "step_results.0.agent_result.n_output_tokens"),
        (ANAGRAM, "prompt_tokens"),
        (VERSION_1, "messages.2.extra.response.usage.completion_tokens"),
        (VERSION_1_1, "info.model_stats.api_calls"),
        (RUN_REPORT, "resolved_instances"),
    ],
)
@cases("value", [-1, 1.5, True, "12", [], 2**63, 1e18])
def test_what_is_not_a_count_is_refused(tmp_path: Path, source: Path, way: str, value: Any) -> None:
    """A count that is negative, broken, a text, a verdict or beyond reason names its field."""
    assert_rejected(read_cells, changed(source, tmp_path, {way: value}), way)


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
@pytest.mark.parametrize(("source", "old"), [(ANAGRAM, b"0.0123"), (TRIAL, b"0.0425")])
def test_a_number_that_is_none_is_unknown(
    tmp_path: Path, source: Path, old: bytes, word: bytes
) -> None:
    """`NaN` and the like are written by some harnesses: the value is lost, and the file is not."""
    text = source.read_bytes().replace(old, word)
    assert word in text
    notes: list[Note] = []
    [cell] = cells_of(written(tmp_path / "x.json", text), notes)
    assert cell.passed == 1
    assert cell.self_reported is not None
    assert cell.self_reported.cost_usd is None
    assert [note.text for note in notes] == cell.notes
    assert cell.notes[0].endswith("is not a number: taken as unknown")


def test_the_largest_counts_add_up(tmp_path: Path) -> None:
    """Sums of the largest counts that are taken are still written out."""
    usage = {"prompt_tokens": 10**12, "completion_tokens": 10**12}
    message = {"role": "assistant", "extra": {"response": {"usage": usage}}}
    changes = {"messages": [message] * 1000, "info.model_stats.api_calls": 1000}
    path = changed(VERSION_1, tmp_path, changes)
    [cell] = [read_mini_trajectory(path)]
    assert cell.self_reported is not None
    assert cell.self_reported.total_tokens == 2 * 10**15
    scored(path)


@pytest.mark.parametrize("source", [LIST, BY_INSTANCE, RESOLVED, TRIAL])
def test_deep_values_are_refused(tmp_path: Path, source: Path) -> None:
    """A value nested a hundred thousand times is an error and no crash."""
    deep = b'{"x":' * 100_000 + b"1" + b"}" * 100_000
    text = source.read_bytes().replace(b"{", b'{"deep":' + deep + b",", 1)
    with pytest.raises(BadRecord, match=r"not valid JSON|nested too deeply"):
        read_cells(written(tmp_path / "x.json", text))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        b'{"instance_id"' + b" " * 300_000,
        (b'{"instance_id":1}' + b" " * 1000) * 300,
        b"\nScorer breakdown\n" + b"tokens " + b"a, " * 100_000,
        b"\nScorer breakdown\n" + b"tokens {" * 100_000,
        b"\nScorer breakdown\n" * 20_000,
    ],
    ids=["spaces", "objects", "keys", "braces", "headings"],
)
def test_no_text_takes_long(tmp_path: Path, text: bytes) -> None:
    """Recognising a file takes a time in proportion to its size, whatever is in it."""
    with pytest.raises(BadRecord):
        read_cells(written(tmp_path / "x", text))


def test_a_large_file_is_read(tmp_path: Path) -> None:
    """Ten thousand predictions are ten thousand cells."""
    rows = [{"instance_id": f"a__b-{n}", "model_patch": "x" * 100} for n in range(10_000)]
    cells = read_cells(written(tmp_path / "x.json", rows))
    assert isinstance(cells, list)
    assert len(cells) == 10_000
    assert isinstance(cells[0], ImportedCell)


def test_a_link_to_a_device_is_not_a_file(tmp_path: Path) -> None:
    """A name that leads to an endless device is refused and not read."""
    (tmp_path / "x.json").symlink_to("/dev/zero")
    with pytest.raises(BadRecord, match="not a regular file"):
        read_cells(tmp_path / "x.json")
