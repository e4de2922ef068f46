"""Whatever is done to a ledger and to its shipper, the table ends as the ledger, byte for byte."""

import asyncio
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cab.proxy.ledger.compression import compress_segment
from cab.proxy.ledger.ledger import Ledger
from cab.proxy.ledger.recovery import recover
from cab.proxy.ledger.shipping.postgres.sink import PostgresSink
from cab.proxy.ledger.shipping.shipper import Shipper
from cab.proxy.ledger.shipping.sink import SinkFailed
from cab.proxy.ledger.writer import LedgerOptions
from cab.scoring.ledger.segments import find_segments
from tests.tools.shipped import Database, assert_same, calls, ship

pytestmark = pytest.mark.postgres

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 8)),
        st.tuples(st.just("rotate"), st.integers(1, 4)),
        st.tuples(st.just("compress"), st.just(0)),
        st.tuples(st.just("crash"), st.integers(1, 300)),
        st.tuples(st.just("cut off"), st.integers(1, 500)),
        st.tuples(st.just("ship"), st.just(0)),
        st.tuples(st.just("kill before"), st.integers(1, 3)),
        st.tuples(st.just("kill after"), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=9,
)


class DyingSink(PostgresSink):
    """The real sink, whose connection the server ends before or after it has stored so many batches."""

    def __init__(self, database: Database, batches: int, *, before: bool) -> None:
        super().__init__(database.target)
        self._database, self._left, self._before = database, batches, before

    def store(self, *arguments: Any) -> None:
        self._left -= 1
        if self._left > 0 or not self._before:
            super().store(*arguments)
        if self._left <= 0:
            pid = self._connection.info.backend_pid
            self._database.rows("select pg_terminate_backend(%s, 5000)", pid)
            raise (
                SinkFailed("the server ended the connection")
                if not self._before
                else _of(super().store, arguments)
            )


def _of(store: Any, arguments: tuple[Any, ...]) -> SinkFailed:
    with pytest.raises(SinkFailed) as failed:
        store(*arguments)
    assert isinstance(failed.value.__cause__, psycopg.Error)
    return failed.value


async def write(ledger: Path, first: int, last: int, segment_bytes: int) -> None:
    async with asyncio.timeout(60):
        opened = Ledger(ledger, options=LedgerOptions(segment_max_bytes=segment_bytes))
        for record in calls(first, last):
            await opened.append(record)
        await opened.close()


def crash(ledger: Path, torn: int) -> None:
    """Leave a torn line at the end of the newest segment, and a START without its END."""
    newest = find_segments(ledger)[-1]
    if not newest.compressed:
        with newest.path.open("ab") as handle:
            handle.write(b'{"schema":"cab.call/1","kind":"start","text":"' + b"x" * torn)


def cut_off(ledger: Path, size: int) -> None:
    """Take bytes off the newest segment, as a disk does that lost what it had confirmed."""
    newest = find_segments(ledger)[-1]
    if not newest.compressed:
        os.truncate(newest.path, max(0, newest.path.stat().st_size - size))


def do(step: tuple[str, int], ledger: Path, database: Database, number: int) -> None:
    what, amount = step
    match what:
        case "append":
            asyncio.run(write(ledger, number * 100, number * 100 + amount, 1 << 20))
        case "rotate":
            asyncio.run(write(ledger, number * 100, number * 100 + amount, 700))
        case "compress":
            for segment in find_segments(ledger)[:-1]:
                if not segment.compressed:
                    compress_segment(segment.path, threading.Event())
        case "crash":
            crash(ledger, amount)
        case "cut off":
            cut_off(ledger, amount)
        case "ship":
            ship(ledger, database)
        case _:
            sink = DyingSink(database, amount, before=what == "kill before")
            try:
                Shipper(ledger, "test").run_pass(sink)
            except SinkFailed:
                pass
            finally:
                sink.close()


@given(steps=STEPS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_table_ends_as_the_ledger(database: Database, steps: list[tuple[str, int]]) -> None:
    """After appends, rotations, compressions, crashes, lost tails, and shippers that die in between."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        asyncio.run(write(ledger, 0, 2, 1 << 20))
        for number, step in enumerate(steps, 1):
            do(step, ledger, database, number)
        recover(ledger)
        ship(ledger, database)
        try:
            assert_same(ledger, database)
            twice = database.rows(
                "select segment, line from cab.lines group by ledger, chain, segment, line having count(*) > 1"
            )
            assert twice == []
        finally:
            database.do("truncate cab.lines, cab.chains, cab.replaced_lines")
