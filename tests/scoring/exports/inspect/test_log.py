import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring.errors import BadRecord
from cab.scoring.exports.inspect.log import Group, InspectLog
from cab.scoring.exports.inspect.sample import sample
from cab.scoring.exports.source import Source
from cab.scoring.imports import Note
from tests.scoring.builders import end_fields, unmeasured
from tests.scoring.exports.cells import cell_id, source
from tests.scoring.imports.files import cells_of
from tests.tools.programs import run_python

pytestmark = pytest.mark.slow

READER = Path(__file__).parent / "read_log.py"
GROUP = Group("local", "scripted", "lab/demo")
CALL = end_fields(model_requested="demo", cache_read_tokens=60, reasoning_tokens=5, ttft_ms=40.0)


def write(file: Path, *sources: Source, with_messages: bool = False) -> Path:
    """Write a log of some cells."""
    with file.open("wb") as handle, closing(InspectLog(handle, GROUP)) as log:
        for found in sources:
            captured = found.messages() if with_messages else None
            log.add(found, sample(found, captured))
        log.finish()
    return file


def cells(folder: Path) -> list[Source]:
    """Return a task with two runs, one of which failed, and another with one that nobody counted."""
    return [
        source(folder / "1", cell_id("one", run=1), calls=[CALL]),
        source(
            folder / "2",
            cell_id("one", run=2),
            calls=[CALL, {**CALL, "call_id": "b"}],
            passed=False,
        ),
        source(folder / "3", cell_id("two"), calls=[unmeasured()]),
    ]


def read_by_inspect(*logs: Path) -> list[dict[str, Any]]:
    """Return what the real Inspect reads in each log."""
    read: list[dict[str, Any]] = orjson.loads(run_python(READER, *logs))
    return read


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the real Inspect reads in a log of three cells, and in one of the first two, `whole`."""
    folder, other = tmp_path_factory.mktemp("log"), tmp_path_factory.mktemp("whole")
    log = write(folder / "cells.eval", *cells(folder))
    read, whole = read_by_inspect(log, write(other / "cells.eval", *cells(other)[:2]))
    return {**read, "logs": [log, folder / "again.eval"], "whole": whole}


def test_inspect_reads_the_log_in_every_way(seen: dict[str, Any]) -> None:
    """Whole, header alone, one sample, streamed, by summaries, and written again: all agree."""
    assert seen["alone_is_the_same"]
    assert seen["written_again_is_the_same"]
    assert sorted(seen["streamed"]) == sorted(one["uuid"] for one in seen["samples"])
    assert [(one["id"], one["epoch"]) for one in seen["samples"]] == [
        ("polyglot/one", 1),
        ("polyglot/two", 1),
        ("polyglot/one", 2),
    ]


def test_our_reader_finds_the_cells_in_our_log_and_in_that_of_inspect(seen: dict[str, Any]) -> None:
    """Inspect packs its own logs with zstd; the ids, verdicts and counts are those of the cells."""
    notes: list[Note] = []
    for log in seen["logs"]:
        one, two, again = sorted(
            cells_of(log, notes), key=lambda cell: (cell.cell_id, cell.origin.name)
        )
        assert one.cell_id == two.cell_id == "local/scripted/lab/demo/polyglot/one"
        assert again.cell_id == "local/scripted/lab/demo/polyglot/two"
        assert again.self_reported is not None
        assert (again.self_reported.total_tokens, again.self_reported.model_calls) == (None, 1)
        assert (one.passed, two.passed, again.passed) == (1, 0, 1)
        assert one.self_reported is not None
        assert (one.self_reported.prompt_tokens, one.self_reported.model_calls) == (100, 1)
    assert notes == []


def test_a_log_is_a_success_if_every_run_is_there(seen: dict[str, Any]) -> None:
    """Inspect asks a log of success for each run of each task; where one is missing it is none."""
    assert seen["header"]["status"] == "cancelled"
    whole = seen["whole"]
    assert whole["header"]["status"] == "success"
    assert len(whole["streamed"]) == 2


def test_the_header_names_sweep_agent_and_model(seen: dict[str, Any]) -> None:
    """A sweep is the task, the agent the solver, and the most runs of a task are the epochs."""
    spec = seen["header"]["eval"]
    assert (spec["task"], spec["solver"], spec["model"]) == ("local", "scripted", "lab/demo")
    assert spec["dataset"]["sample_ids"] == ["polyglot/one", "polyglot/two"]
    assert spec["config"]["epochs"] == 2
    assert spec["metadata"]["cab"]["versions"] == ["0.1.0"]
    assert spec["metadata"]["cab"]["price_sources"] == []
    assert spec["created"].startswith("2026-11-20T12:00:00")


def test_usage_is_in_the_convention_of_inspect(seen: dict[str, Any]) -> None:
    """Input excludes the 60 cached tokens; a cell that nobody counted has no usage, and no total."""
    first, unknown, _ = seen["samples"]
    used = {name: value for name, value in first["model_usage"]["lab/demo"].items() if value}
    assert used == {
        "input_tokens": 40,
        "output_tokens": 20,
        "total_tokens": 120,
        "input_tokens_cache_read": 60,
        "reasoning_tokens": 5,
    }
    assert unknown["model_usage"] == {}
    assert seen["header"]["stats"]["model_usage"] == {}


def test_scores_are_per_axis_and_composite(seen: dict[str, Any]) -> None:
    """Every axis and every profile is a score; what could not be scored is missing, with a reason."""
    first, unknown, failed = seen["samples"]
    values = {name: score["value"] for name, score in first["scores"].items()}
    assert (
        values.items() >= {"pass_rate": 1, "tokens": 120, "calls": 1, "latency": 3000.125}.items()
    )
    assert {"composite_measured_1", "composite_published_1", "blast_radius"} <= values.keys()
    assert not {"cost", "refusal", "integrity"} & values.keys()
    assert first["metadata"]["cab"]["not_scored"] == {
        "cost": "not measured",
        "refusal": "does not apply to the task",
        "integrity": "does not apply to the task",
    }
    assert failed["scores"]["pass_rate"]["value"] == 0
    assert "tokens" not in unknown["scores"]
    assert unknown["metadata"]["cab"]["not_scored"]["tokens"] == "not measured"
    assert first["scores"]["tokens"]["metadata"]["by_source"]["upstream"]["calls"] == 1


def test_metrics_are_means_over_tasks_of_means_over_runs(seen: dict[str, Any]) -> None:
    """(1 + 0) / 2 for task one and 1 for task two: 3/4; tokens are (120 + 240) / 2 of one task."""
    scores = {score["name"]: score for score in seen["header"]["results"]["scores"]}
    assert scores["pass_rate"]["metrics"]["mean"]["value"] == 0.75
    assert scores["tokens"]["metrics"]["mean"]["value"] == 180
    assert (scores["tokens"]["scored_samples"], scores["tokens"]["unscored_samples"]) == (1, 1)
    assert scores["cost"]["metrics"] == {}
    reductions = {one["scorer"]: one["samples"] for one in seen["reductions"]}
    assert [(one["sample_id"], one["value"]) for one in reductions["pass_rate"]] == [
        ("polyglot/one", 0.5),
        ("polyglot/two", 1.0),
    ]
    assert seen["header"]["results"]["total_samples"] == 3


def test_calls_are_model_events(seen: dict[str, Any]) -> None:
    """Each attempt is an event with its usage, its times and its place in the ledger."""
    _, _, two_calls = seen["samples"]
    assert [event["event"] for event in two_calls["events"]] == ["model", "model"]
    event = two_calls["events"][0]
    assert (event["model"], event["working_time"]) == ("demo", 0.5)
    assert event["output"]["usage"]["input_tokens_cache_read"] == 60
    assert event["metadata"]["cab"]["usage_source"] == "upstream"
    assert event["input"] == event["output"]["choices"] == []


def test_summaries_list_the_samples(seen: dict[str, Any]) -> None:
    """Summaries have the values without what they were made from."""
    by_id = {(one["id"], one["epoch"]): one for one in seen["summaries"]}
    assert by_id["polyglot/one", 2]["scores"]["pass_rate"]["value"] == 0
    assert by_id["polyglot/one", 2]["input"] == "fix it"
    assert by_id["polyglot/two", 1]["model_usage"] == {}


def test_known_usages_add_up(tmp_path: Path) -> None:
    """Where every cell was counted the log has the sum."""
    log = write(tmp_path / "l.eval", *cells(tmp_path)[:2])
    header = orjson.loads(zipfile.ZipFile(log).read("header.json"))
    assert header["stats"]["model_usage"]["lab/demo"] == {
        "input_tokens": 120,
        "output_tokens": 60,
        "total_tokens": 360,
        "input_tokens_cache_read": 180,
        "reasoning_tokens": 15,
    }


def test_the_same_cells_give_the_same_bytes(tmp_path: Path) -> None:
    """A log holds no time of its writing, and nothing that was drawn at random."""
    found = cells(tmp_path)
    logs = [write(tmp_path / name, *found).read_bytes() for name in ("a.eval", "b.eval")]
    assert logs[0] == logs[1]


def test_no_cell_is_in_a_log_twice(tmp_path: Path) -> None:
    """A second sample of one task and run is refused: Inspect would show the last one alone."""
    found = source(tmp_path / "a", cell_id("one", run=1))
    with pytest.raises(BadRecord, match="polyglot/one#run1 is in the log already"):
        write(tmp_path / "l.eval", found, found)


def test_the_members_are_those_of_inspect(tmp_path: Path) -> None:
    """The zip has a file per sample, and the files that Inspect writes beside them."""
    log = write(tmp_path / "l.eval", source(tmp_path / "a", cell_id("one")))
    assert zipfile.ZipFile(log).namelist() == [
        "samples/polyglot/one_epoch_1.json",
        "_journal/start.json",
        "_journal/summaries/1.json",
        "summaries.json",
        "reductions.json",
        "header.json",
    ]
