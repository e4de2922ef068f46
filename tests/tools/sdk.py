"""What the tests with real SDKs share: the proxy between them and an endpoint, and what to compare."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from cab.proxy.control.client import ControlClient
from cab.proxy.demo import Demo, running_demo
from tests.tools.dialects import BY_ENDPOINT, Sample
from tests.tools.proxy import Meter, metered
from tests.tools.upstream import (
    LAST_CHUNK,
    Script,
    ScriptedUpstream,
    Step,
    chunk,
    json_answer,
    scripted_upstream,
    sse_head,
)

CELL = "s/sdk/m/f/t"
SOON = "retry-after-ms: 1"
"""The endpoint's word on when to come again; SDKs wait as long, so that tests need not."""
TOO_MANY = json_answer({"error": {"message": "slow"}}, "429 Too Many Requests", SOON)
BROKEN = json_answer({"error": {"message": "oops"}}, "500 Internal Server Error", SOON)
Sdk = Any
"""A client of an SDK; strict checkers know only a part of the types of these."""


@asynccontextmanager
async def demo_behind(folder: Path) -> AsyncGenerator[tuple[Demo, Meter]]:
    """Run the demo's model server behind a proxy."""
    async with running_demo() as demo, metered(demo.url, folder, cell=CELL) as meter:
        yield demo, meter


@asynccontextmanager
async def behind(
    folder: Path, *scripts: Script, **settings: Any
) -> AsyncGenerator[tuple[ScriptedUpstream, Meter]]:
    """Run a scripted endpoint behind a proxy."""
    async with (
        scripted_upstream(*scripts) as upstream,
        metered(upstream.url, folder, **settings) as meter,
    ):
        yield upstream, meter


async def seal(meter: Meter) -> None:
    """Close the cell."""
    async with ControlClient(meter.url, meter.proxy.mint_keys(CELL, 60).seal) as control:
        await control.seal(CELL)


def answered(sample: Sample, *, stream: bool) -> list[Step]:
    """Return the script of an undisturbed answer."""
    if not stream:
        return [json_answer(sample.answer)]
    return [sse_head(), *(chunk(e) for e in sample.events), LAST_CHUNK]


def counts(row: dict[str, Any]) -> dict[str, int | None]:
    """Return the token counts of a record."""
    return {name: row[name] for name in BY_ENDPOINT["chat.completions"].figures}


def without_nulls(members: dict[str, Any]) -> dict[str, Any]:
    """Leave out what an SDK has a place for and the endpoint did not say."""
    return {
        name: without_nulls(cast("dict[str, Any]", each)) if isinstance(each, dict) else each
        for name, each in members.items()
        if each is not None
    }


def assert_account_agrees(demo: Demo, rows: list[dict[str, Any]]) -> None:
    """The ledger's calls and token counts are those that the model server wrote down itself."""
    served = demo.account()["by_call"]
    recorded = [(r["upstream_id"], r["prompt_tokens"], r["completion_tokens"]) for r in rows]
    assert recorded == [(c["id"], c["prompt_tokens"], c["completion_tokens"]) for c in served]
    assert {row["usage_source"] for row in rows} == {"upstream"}
