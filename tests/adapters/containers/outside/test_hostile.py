"""Hostile agents in containers: all that they do stays inside, nothing is left, and the verdict is theirs."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.adapters.runs.run_cell import run_cell
from cab.adapters.runs.spec import CellSpec
from cab.adapters.sweeps.executors.worker import outcome_of
from cab.scoring.cells.bundle import rescore
from tests.adapters.containers.outside import hostile
from tests.adapters.containers.outside.conftest import REAL_KEY

pytestmark = [
    pytest.mark.containers,
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.xdist_group("outside"),
]


@pytest.fixture
def spec(spec: CellSpec, quick: Path) -> CellSpec:
    """Return a cell with a short check."""
    return replace(spec, task=str(quick))


async def run(spec: CellSpec, agent: str) -> tuple[dict[str, Any], Path]:
    """Run a hostile agent; return its cell, which is a result that counts against it, and its bundle."""
    bundle = await run_cell(replace(spec, tui=f"{hostile.__name__}:{agent}"))
    cell: dict[str, Any] = orjson.loads((bundle / "cell.json").read_bytes())
    outcome = outcome_of(bundle)
    assert (outcome.state, outcome.passed, outcome.succeeded) == ("complete", False, 1)
    assert rescore(bundle) == (bundle / "cell.json").read_bytes()
    return cell, bundle


def container_span(cell: dict[str, Any]) -> dict[str, Any]:
    (span,) = [span["attrs"] for span in cell["spans"] if span["kind"] == "container"]
    return dict(span)


@pytest.fixture
async def another_host() -> AsyncIterator[list[tuple[str, int]]]:
    """Give addresses behind which this machine listens, as another host would, and some of the world's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))  # nothing is sent: which address would be used?
        own = asking.getsockname()[0]

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.close()

    async with await asyncio.start_server(greet, own, 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield [(own, port), ("9.9.9.9", 53), ("1.1.1.1", 443)]


async def test_it_finds_nothing(
    spec: CellSpec, another_host: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reaches no other host, resolves no name, sees no other process, no answer, no key, and is no admin."""
    monkeypatch.setattr(hostile, "TARGETS", another_host)

    cell, bundle = await run(spec, "Looking")

    patch = (bundle / "changes.patch").read_text()
    (line,) = [line[1:] for line in patch.splitlines() if line.startswith("+{")]
    seen = json.loads(line)
    assert seen.pop("uid") != 0
    processes = seen.pop("processes")
    assert [name.partition("\0")[0] for name in processes] == ["python3"]
    assert seen == {
        "caps": "0000000000000000",
        "write_root": False,
        "reached": [],
        "names": False,
        "answers": [],
        "engine": [],
        "cells": 403,
        "mint": 403,
        "seal": 403,
        "environment": [],
    }
    assert REAL_KEY not in line
    assert cell["identity"]["deviations"] == []


async def test_many_processes(spec: CellSpec) -> None:
    """It gets as many processes as its limit says, and all of them end with it."""
    cell, bundle = await run(spec, "Forking")

    patch = (bundle / "changes.patch").read_text()
    (line,) = [
        line[1:] for line in patch.splitlines() if line.startswith("+") and line[1:].isdigit()
    ]
    assert 0 < int(line) < 64
    assert cell["identity"]["exit_code"] == 0


async def test_a_full_disk(spec: CellSpec) -> None:
    """Its folders take little more than its limit; then it is ended, and the cell says why."""
    cell, bundle = await run(spec, "Filling")

    assert container_span(cell)["limit_reached"] == "disk"
    assert cell["identity"]["exit_code"] is None
    after = orjson.loads((bundle / "after.json").read_bytes())
    sizes = [entry.get("size") or 0 for entry in after["entries"].values()]
    assert sum(sizes) > 32 << 20  # it could use what it may


async def test_full_memory(spec: CellSpec) -> None:
    """What it writes to memory counts as memory, of which it gets no more than its limit."""
    cell, _ = await run(spec, "FillingMemory")

    assert container_span(cell).get("limit_reached") in ("memory", None)  # some engines do not say
    assert cell["identity"]["exit_code"] == 137
    assert cell["identity"]["conditions"]["memory_limit_bytes"] == 256 << 20
    assert cell["identity"]["conditions"]["cpus"] <= 2


async def test_it_does_not_listen_to_sigterm(spec: CellSpec) -> None:
    """Past its time limit it is gone all the same."""
    cell, bundle = await run(replace(spec, timeout_s=3), "Staying")

    assert container_span(cell)["timed_out"] is True
    assert cell["identity"]["exit_code"] is None
    assert (bundle / "stdout.txt").read_text() == "stays\n"
