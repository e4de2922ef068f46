"""The table of faults: what breaks meters, what the END record says then, what the client saw.

Each case produces one fault on real sockets, for every dialect and mode that it can happen in. The
table is what the test runs and what `docs/catalogue.md` shows.
"""

import asyncio
import bisect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cab.scoring.ledger.records import Endpoint
from tests.tools.client import Leave, Seen, post
from tests.tools.dialects import SAMPLES, Sample
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

Tokens = Literal["exact", "counted here", "none", "nothing written", "at most", "see the case"]
"""What the token counts of the row are: the endpoint's, ours, unknown, 0 written, or unknown with the
bound that the request gives."""

ALL: tuple[Endpoint, ...] = tuple(sample.endpoint for sample in SAMPLES)
STREAMING: tuple[Endpoint, ...] = tuple(s.endpoint for s in SAMPLES if s.streams)
OPENAI: tuple[Endpoint, ...] = ("chat.completions", "completions")


@dataclass
class World:
    """One run of a case: a dialect, a mode, and the means to run it."""

    sample: Sample
    stream: bool
    folder: Path
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client has left and the proxy has noticed."""
    rows: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    upstream: ScriptedUpstream = field(default_factory=lambda: ScriptedUpstream([]))

    def whole(self, *headers: str) -> list[Step]:
        """The script of an undisturbed answer."""
        if not self.stream:
            return [json_answer(self.sample.answer, "200 OK", *headers)]
        return [sse_head(*headers), *(chunk(e) for e in self.sample.events), LAST_CHUNK]

    @property
    def expected_body(self) -> bytes:
        """The body of an undisturbed answer."""
        if self.stream:
            return b"".join(self.sample.events)
        return json_answer(self.sample.answer).partition(b"\r\n\r\n")[2]

    @asynccontextmanager
    async def running(self, *scripts: Script, **settings: Any) -> AsyncIterator[Meter]:
        """Run an upstream and a proxy; on leaving, all calls have ended and are in `rows`."""
        async with (
            scripted_upstream(*scripts) as upstream,
            metered(settings.pop("upstream", upstream.url), self.folder, **settings) as meter,
        ):
            self.upstream = upstream
            yield meter
            assert await meter.proxy.quiet(20)
            self.rows = meter.ends()
            made = [r["call_id"] for r in self.rows if r["end_reason"] != "rejected"]
            assert sorted(r["call_id"] for r in meter.starts()) == sorted(made)

    async def post(self, meter: Meter, *headers: str, leave: Leave | None = None) -> Seen:
        """Send the sample's request; if the client leaves, wait until the proxy has noticed."""
        target = self.sample.target(stream=self.stream)
        body = self.sample.body(stream=self.stream)
        seen = await post(meter.url, target, body, *headers, leave=leave)
        if seen.hung_up:
            await meter.noticed()
            self.left.set()
        return seen

    async def call(
        self, script: Script, *headers: str, leave: Leave | None = None, **settings: Any
    ) -> Seen:
        """Run one call against a script."""
        async with self.running(script, **settings) as meter:
            return await self.post(meter, *headers, leave=leave)


Run = Callable[[World], Awaitable[Seen]]


@dataclass(frozen=True)
class Case:
    """One fault."""

    number: str
    """Its place in the list of faults that other meters had."""
    title: str
    run: Run
    end: dict[str, Any]
    """What the END record holds, at least."""
    tokens: Tokens
    client: str
    """What the client saw."""
    dialects: tuple[Endpoint, ...]
    streaming: tuple[bool, ...]
    rows: int

    @property
    def order(self) -> tuple[int, str]:
        return _order(self.number)

    @property
    def name(self) -> str:
        return self.run.__name__.strip("_")


def _order(number: str) -> tuple[int, str]:
    digits = number.rstrip("b")
    return int(digits), number[len(digits) :]


TABLE: list[Case] = []


def case(
    number: str,
    title: str,
    *,
    client: str,
    tokens: Tokens = "exact",
    dialects: tuple[Endpoint, ...] = ALL,
    streaming: tuple[bool, ...] = (False, True),
    rows: int = 1,
    **end: Any,
) -> Callable[[Run], Run]:
    """Add a case to the table."""

    def add(run: Run) -> Run:
        # In the list's order, whichever file is imported first.
        place = bisect.bisect([e.order for e in TABLE], _order(number))
        TABLE.insert(
            place, Case(number, title, run, end, tokens, client, dialects, streaming, rows)
        )
        return run

    return add


def runs() -> list[tuple[Case, Sample, bool]]:
    """Return every case in every dialect and mode that it is for."""
    return [
        (entry, sample, stream)
        for entry in TABLE
        for sample in SAMPLES
        for stream in entry.streaming
        if sample.endpoint in entry.dialects and (sample.streams or not stream)
    ]
