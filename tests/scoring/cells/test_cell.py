from collections.abc import Callable
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from cab.scoring import BadRecord, Cell, Identity, Timing, dump_cell
from cab.scoring.cells.cell import Deviation, cell_line
from tests.scoring.builders import CELL_ID, facts, spans, task_facts
from tests.scoring.cells.test_bundle import bundle


def test_the_file_has_the_agreed_members() -> None:
    """`cell.json` holds its members in the agreed order, indented, with a newline at its end."""
    text = dump_cell(bundle(facts(), calls=[]))
    assert list(orjson.loads(text)) == [
        "schema",
        "identity",
        "timing",
        "task",
        "check",
        "self_reported",
        "scorers",
        "profiles",
        "spans",
    ]
    assert text.startswith(b'{\n  "schema": "cab.cell/1",\n')
    assert text.endswith(b"}\n")


def test_a_cell_reads_back() -> None:
    """A cell's file, read as a cell, is that cell."""
    cell = bundle(facts(), calls=[])
    assert Cell.model_validate(orjson.loads(dump_cell(cell)), strict=True) == cell


def test_the_duration_reads_as_published() -> None:
    """The duration for people has two digits and its unit."""
    timing = Timing.of_run("2026-06-16T18:37:54Z", "2026-06-16T18:41:18Z", 203096.777)
    assert timing.duration == "203.10 s"
    assert (timing.prompt_tokens, timing.tokens_source) == (None, "none")


@pytest.mark.parametrize(
    ("started_at", "ended_at", "duration_ms", "match"),
    [
        ("2026-06-16T18:00:01Z", "2026-06-16T18:00:00Z", 1.0, "is before started_at"),
        ("then", "2026-06-16T18:00:00Z", 1.0, "started_at"),
        ("2026-06-16T18:00:00Z", "2026-06-16T18:00:01Z", -1.0, "duration_ms"),
        ("2026-06-16T18:00:00Z", "2026-06-16T18:00:01Z", float("nan"), "duration_ms"),
    ],
)
def test_impossible_times_are_refused(
    started_at: str, ended_at: str, duration_ms: float, match: str
) -> None:
    """A cell does not end before it starts, and takes no negative time."""
    with pytest.raises(ValidationError, match=match):
        Timing.of_run(started_at, ended_at, duration_ms)


@pytest.mark.parametrize(
    "changes", [{"cell_id": "a/b"}, {"sweep_id": "other"}, {"tui": "aider"}, {"exit_code": "0"}]
)
def test_an_identity_agrees_with_its_id(changes: dict[str, Any]) -> None:
    """Sweep and agent of a cell are those of its id."""
    fields = {**facts().identity.model_dump(), **changes}
    with pytest.raises(ValidationError):
        Identity.model_validate(fields, strict=True)


def test_the_task_is_that_of_the_id() -> None:
    """A cell cannot claim another task than its id names."""
    assert "polyglot/twin" in CELL_ID
    with pytest.raises(ValidationError, match="is not the task of the cell_id"):
        facts(task=task_facts(task_id="polyglot/other"))


def test_a_line_is_the_file_without_white_space() -> None:
    """A line holds the members of `cell.json`, all of them and in their order, and ends the line."""
    cell = bundle(facts(), calls=[])
    line = cell_line(cell)
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    assert orjson.dumps(orjson.loads(line)) == orjson.dumps(orjson.loads(dump_cell(cell)))


@pytest.mark.parametrize("dump", [dump_cell, cell_line])
def test_what_json_cannot_hold_is_named(dump: Callable[[Cell], bytes]) -> None:
    """A number that JSON readers would not take back is an error that names the cell."""
    huge = [spans()[0].model_copy(update={"attrs": {"count": 2**80}})]
    with pytest.raises(BadRecord, match="polyglot/twin: Integer exceeds 64-bit"):
        dump(bundle(facts(spans=huge), calls=[]))


def test_newer_facts_are_kept_and_old_cells_stay_as_they_are() -> None:
    """Deviations and the agent's version are part of a cell; one without gains no member."""
    old = bundle(facts(), calls=[])
    data = orjson.loads(dump_cell(old))
    assert not {"deviations", "agent_version"} & data["identity"].keys()

    data["identity"]["deviations"] = [{"name": "root", "what": "the agent ran as root"}]
    new = Cell.model_validate(data, strict=True)
    assert new.identity.deviations == [Deviation(name="root", what="the agent ran as root")]
    assert orjson.loads(dump_cell(new)) == data

    data["identity"]["deviations"] = []
    data["identity"]["agent_version"] = "0.86.2"
    assert orjson.loads(dump_cell(Cell.model_validate(data, strict=True))) == data
