from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring.imports import ImportedCell, Note
from tests.scoring.imports.files import OPENHANDS, cells_of, written

ROW: dict[str, Any] = orjson.loads(OPENHANDS.read_bytes().splitlines()[2])


def one(folder: Path, **changes: Any) -> ImportedCell:
    """Return the cell of a file of one line with other members."""
    [cell] = cells_of(written(folder / "output.jsonl", {**ROW, **changes}))
    return cell


def test_a_line_is_a_cell_with_the_verdict_beside_it() -> None:
    """The dataset is the family, the folder the sweep; the evaluation of SWE-bench lies beside the file."""
    first, second, third = cells_of(OPENHANDS)
    assert first.cell_id == "small-1/openhands/vendor/small-1/demo-set/demo__lib-1"
    assert (first.passed, first.reason) == (1, "resolved")
    assert (second.passed, second.origin.verdicts) == (None, False)
    assert (third.passed, third.reason) == (0, "not resolved: the patch did not apply")
    assert (first.origin.version, third.origin.version) == ("0123abc", "1.2.0")


def test_a_line_has_counts_and_a_clock() -> None:
    """4000 + 200 tokens of 2 calls, from the first event to the last 90.5 s; sums of 0 are not measured."""
    first, second, _ = cells_of(OPENHANDS)
    own = first.self_reported
    assert own is not None
    assert (own.prompt_tokens, own.completion_tokens, own.cache_read_tokens) == (4000, 200, 2000)
    assert (own.model_calls, own.counted_calls, own.cost_usd) == (2, 2, "0.05")
    assert first.wall_clock_ms == 90_500.0
    assert second.self_reported is not None
    assert (second.self_reported.prompt_tokens, second.self_reported.model_calls) == (None, 2)


@pytest.mark.parametrize(
    ("changes", "passed", "evaluated"),
    [
        ({"test_result": {"passed": True}}, 1, True),
        ({"test_result": {"resolved": False}}, 0, True),
        ({"test_result": {"report": {"resolved": True, "error_eval": True}}}, None, True),
        ({"test_result": {"report": {"resolved": False, "test_timeout": True}}}, 0, True),
        ({"test_result": {"report": {"resolved": False, "empty_generation": True}}}, 0, True),
        ({"test_result": {"git_patch": "x"}}, None, False),
        ({"error": "the key sk-1"}, None, True),
    ],
)
def test_what_a_line_says_of_the_outcome(
    tmp_path: Path, changes: Any, passed: int | None, evaluated: bool
) -> None:
    """A verdict is a report's or the test's own; an error is the harness's, and its text stays out."""
    cell = one(tmp_path, **changes)
    assert (cell.passed, cell.origin.verdicts) == (passed, evaluated)
    assert "sk-1" not in cell.reason


def test_calls_that_were_not_counted_leave_no_sum(tmp_path: Path) -> None:
    """Where one of two calls reported no usage, the sum of the other is not the whole."""
    metrics = {**ROW["metrics"], "response_latencies": [{}, {}], "token_usages": [{}]}
    own = one(tmp_path, metrics=metrics).self_reported
    assert own is not None
    assert (own.prompt_tokens, own.model_calls, own.counted_calls) == (None, 2, 1)
    assert one(tmp_path, metrics=None).self_reported is None


def test_runs_that_came_from_harbor_have_totals(tmp_path: Path) -> None:
    """There the totals have names of their own."""
    metrics = {"total_cost_usd": 0.5, "total_prompt_tokens": 10, "total_completion_tokens": 2}
    own = one(tmp_path, metrics=metrics).self_reported
    assert own is not None
    assert (own.total_tokens, own.cost_usd, own.model_calls) == (12, "0.5", None)


def test_another_agent_has_its_own_name(tmp_path: Path) -> None:
    """Since 1.0 OpenHands' harness runs other agents, and attempts are numbered."""
    metadata = {**ROW["metadata"], "agent_type": "acp-codex"}
    cell = one(tmp_path, metadata=metadata, attempt=2)
    assert "/openhands-acp-codex/" in cell.cell_id
    assert cell.origin.name == "demo__lib-3 attempt 2"
    result = {"acp_agent_name": "codex-acp"}
    assert "/codex-acp/" in one(tmp_path, test_result=result).cell_id


@pytest.mark.parametrize(
    ("history", "time_ms"),
    [
        ([], None),
        (None, None),
        ([{"timestamp": "2025-06-01T10:00:00"}], None),
        ([{"timestamp": "soon"}, {"timestamp": 5}, 7], None),
        (
            [[{"timestamp": "2025-06-01T10:00:02"}, {"timestamp": "2025-06-01T10:00:01"}], ["x"]],
            1000.0,
        ),
    ],
)
def test_the_clock_is_that_of_the_events(
    tmp_path: Path, history: Any, time_ms: float | None
) -> None:
    """Events may be in pairs, in any order, and undated."""
    assert one(tmp_path, history=history).wall_clock_ms == time_ms


def test_events_with_and_without_a_time_zone_have_no_time_between_them(tmp_path: Path) -> None:
    """Whose clock is meant is not known: the time is lost, and the cell says so."""
    history = [{"timestamp": "2025-06-01T10:00:00Z"}, {"timestamp": "2025-06-01T10:00:00"}]
    notes: list[Note] = []
    path = written(tmp_path / "output.jsonl", b"%s\n" % orjson.dumps({**ROW, "history": history}))
    path.write_bytes(path.read_bytes() * 2)
    cell, _ = cells_of(path, notes)
    assert cell.wall_clock_ms is None
    assert "time zone" in cell.notes[0]
    assert [note.line for note in notes] == [1, 2]


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    """A harness that was killed leaves half a line: the others count, and that one is named."""
    text = OPENHANDS.read_bytes()
    notes: list[Note] = []
    path = written(tmp_path / "output.jsonl", text[:-200])
    assert [cell.origin.name for cell in cells_of(path, notes)] == ["demo__lib-1", "demo__lib-2"]
    [note] = notes
    assert (note.line, note.row_lost) == (3, True)
    assert note.text.startswith("the last line is torn: not valid JSON")


def test_an_evaluation_that_is_broken_is_said(tmp_path: Path) -> None:
    """Without the file beside it a line has no verdict; where that file is broken, it is named."""
    path = written(tmp_path / "output.jsonl", OPENHANDS.read_bytes())
    written(tmp_path / "output.swebench_eval.jsonl", b"{")
    notes: list[Note] = []
    assert [cell.passed for cell in cells_of(path, notes)] == [None, None, 0]
    assert notes[0].text.startswith("the evaluation beside it cannot be read")


def test_the_evaluation_alone_has_verdicts() -> None:
    """It is a file of the same form."""
    [cell] = cells_of(OPENHANDS.with_name("output.swebench_eval.jsonl"))
    assert (cell.passed, cell.self_reported) == (1, None)


def test_a_line_of_another_form_is_left_out(tmp_path: Path) -> None:
    """The first line says what the file is; the evaluation beside it may have such lines, too."""
    notes: list[Note] = []
    text = OPENHANDS.read_bytes() + b'{"other": 1}\n'
    path = written(tmp_path / "output.jsonl", text)
    beside = b'{"instance_id": "demo__lib-1", "test_result": {"report": {"resolved": true}}}\n'
    written(tmp_path / "output.swebench_eval.jsonl", b"[]\n".join([beside, b"{}\n"]) + b"7\n")
    assert [cell.passed for cell in cells_of(path, notes)] == [None, None, 0]
    assert [note.line for note in notes if note.row_lost] == [4]
