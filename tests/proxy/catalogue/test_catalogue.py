"""Runs the table of faults; the results are what docs/catalogue.md shows."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.scoring.ledger.records import METERED_ENDPOINTS, parse_record
from cab.scoring.ledger.totals import may_have_cost
from tests.proxy.catalogue import bodies, calls, counts, disconnects, media, usage, websocket, wire
from tests.proxy.catalogue.report import FILE, page
from tests.proxy.catalogue.table import TABLE, Case, World, runs
from tests.tools.cases import case
from tests.tools.dialects import SAMPLES, Sample

assert [
    *(bodies, calls, counts, disconnects),
    *(media, usage, websocket, wire),
]  # importing them fills the table
RUNS = runs()


def label(run: tuple[Case, Sample, bool]) -> str:
    entry, sample, stream = run
    return f"{entry.number}-{entry.name}-{sample.endpoint}-{'stream' if stream else 'whole'}"


def check_tokens(entry: Case, sample: Sample, row: dict[str, Any]) -> None:
    """Check the token counts of a row against what the case says of them."""
    counts = {name: row[name] for name in sample.figures}
    match entry.tokens:
        case "exact":
            assert counts == sample.figures
            assert row["usage_source"] == "upstream"
        case "counted here":
            assert row["usage_source"] == "tokenizer"
            assert row["prompt_tokens"] > 0
            assert row["completion_tokens"] > 0 or sample.endpoint == "embeddings"
            assert row["total_tokens"] == row["prompt_tokens"] + row["completion_tokens"]
        case "none":
            assert set(counts.values()) == {None}
            assert row["usage_source"] == "none"
        case "nothing written":
            assert (row["completion_tokens"], row["prompt_tokens"]) == (0, None)
            assert not may_have_cost(row)
        case "at most":
            assert set(counts.values()) == {None}
            assert may_have_cost(row)
            caps = {"messages": sample.request.get("max_tokens"), "embeddings": 0}
            assert row["completion_tokens_at_most"] == caps.get(sample.endpoint)
            assert row["prompt_tokens_at_most"] == row["request_bytes"] + 1024
        case _:
            pass


async def check(run: tuple[Case, Sample, bool], folder: Path) -> None:
    """Run a case, and hold that accepted requests are rows, each of which says what the case says."""
    entry, sample, stream = run
    world = World(sample, stream, folder)
    async with asyncio.timeout(60):
        await entry.run(world)
    assert len(world.rows) == entry.rows
    for row in world.rows:
        parse_record(orjson.dumps(row))
        assert {name: row[name] for name in entry.end} == entry.end
        assert row["endpoint"] in METERED_ENDPOINTS | {"other"}
        check_tokens(entry, sample, row)


def in_one_dialect(first: int) -> list[tuple[Case, Sample, bool]]:
    """Return each case streamed and whole, in one of its dialects: in another one from case to case.

    Args:
        first: Which of its dialects the first case is for.
    """
    groups: dict[tuple[str, bool], list[tuple[Case, Sample, bool]]] = {}
    for run in RUNS:
        groups.setdefault((run[0].name, run[2]), []).append(run)
    return [group[(first + at) % len(group)] for at, group in enumerate(groups.values())]


async def check_case(entry: Case, those: list[tuple[Case, Sample, bool]], folder: Path) -> None:
    """Run a case in those of its dialects and modes."""
    for run in (run for run in those if run[0] is entry):
        with case(label(run)):
            await check(run, folder / label(run))


IN_ONE_DIALECT, IN_ANOTHER = in_one_dialect(0), in_one_dialect(1)
CASES = pytest.mark.parametrize("entry", TABLE, ids=lambda entry: f"{entry.number}-{entry.name}")


@CASES
@pytest.mark.asyncio(loop_factories=["direct"])
async def test_fault(entry: Case, tmp_path: Path) -> None:
    """Each case holds in one of its dialects, streamed and whole."""
    await check_case(entry, IN_ANOTHER, tmp_path)


@CASES
@pytest.mark.asyncio(loop_factories=["aiohttp"])
async def test_fault_on_the_other_wire(entry: Case, tmp_path: Path) -> None:
    """Each case holds on aiohttp's wire too, which knows of no dialect: the meter behind both is one."""
    await check_case(entry, IN_ONE_DIALECT, tmp_path)


@pytest.mark.slow
@pytest.mark.asyncio(loop_factories=["direct"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: str(sample.endpoint))
async def test_faults_of_a_dialect(sample: Sample, tmp_path: Path, record_property: Any) -> None:
    """Each case holds in each of its dialects, streamed and whole."""
    for run in (run for run in RUNS if run[1] is sample):
        with case(label(run)):
            await check(run, tmp_path / label(run))
        record_property("run", [run[0].name, sample.endpoint, run[2]])


def test_the_table_has_every_number_of_the_list() -> None:
    """Each fault of the list up to 22 has a case in the table."""
    assert {entry.number for entry in TABLE} == {str(n) for n in range(1, 23)} | {
        "2b",
        "12b",
        "21b",
    }


def test_the_page_shows_the_table_as_it_is() -> None:
    """docs/catalogue.md is what a run in which all pass writes; else: make catalogue."""
    everything = [(entry.name, sample.endpoint, stream) for entry, sample, stream in RUNS]
    assert FILE.read_text() == page(everything)
