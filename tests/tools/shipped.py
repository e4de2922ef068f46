"""A ledger and its copy in a database: made, shipped, compared byte for byte."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import psycopg

from cab.proxy.ledger.compression import compress_segment
from cab.proxy.ledger.ledger import Ledger
from cab.proxy.ledger.shipping.postgres.reading import fetched_ledger
from cab.proxy.ledger.shipping.postgres.url import database_of
from cab.proxy.ledger.shipping.service import ShippingService
from cab.proxy.ledger.shipping.shipper import PassResult, Shipper
from cab.proxy.ledger.shipping.sink import SinkTarget, sink_opener
from cab.proxy.ledger.writer import LedgerOptions
from cab.scoring.ledger.chain import line_hash
from cab.scoring.ledger.records import GENESIS
from cab.scoring.ledger.segments import find_segments, open_segment
from tests.tools.postgres import PASSWORD, PostgresServer


class Database(NamedTuple):
    """A database of a test's own."""

    server: PostgresServer
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    @property
    def target(self) -> SinkTarget:
        return SinkTarget(self.url, PASSWORD)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query, asked as the administrator."""
        with psycopg.connect(self.server.admin_url(self.name)) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def do(self, *statements: str) -> None:
        """Do something as the administrator."""
        with psycopg.connect(self.server.admin_url(self.name), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


def chained(records: list[dict[str, Any]], prev: str = GENESIS) -> tuple[list[bytes], str]:
    """Return records as lines of one chain, and its head."""
    lines: list[bytes] = []
    for record in records:
        body = orjson.dumps({"schema": "cab.call/1", **record, "prev": prev})[:-1]
        stub = body + b',"hash":"' + b"0" * 64 + b'"}\n'
        prev = line_hash(stub).decode()
        lines.append(body + b',"hash":"' + prev.encode() + b'"}\n')
    return lines, prev


def call(number: int, **changes: object) -> list[dict[str, Any]]:
    """Return the START and the END of a call."""
    same = {
        "call_id": f"call-{number}",
        "cell_id": f"s/aider/m/polyglot/t{number % 3}",
        "seq": number + 1,
        "started_at": "2026-11-20T08:00:00.000000Z",
    }
    what = {"endpoint": "chat.completions", "model_requested": "m"}
    start = {"kind": "start", **same, **what, "stream": False, "request_hash": None}
    end: dict[str, Any] = {
        "kind": "end",
        **same,
        "ended_at": "2026-11-20T08:00:01.500000Z",
        **what,
        "status": 200,
        "end_reason": "completed",
        "usage_source": "upstream",
        "prompt_tokens": 10 + number,
        "completion_tokens": 5,
        "total_tokens": 15 + number,
        "cost_usd": "0.00012",
        "latency_ms": 1500.25,
    }
    return [{**start, **{k: v for k, v in changes.items() if k in start}}, {**end, **changes}]


def calls(first: int, last: int) -> list[dict[str, Any]]:
    """Return the records of some calls."""
    return [record for number in range(first, last) for record in call(number)]


def ship(ledger: Path, database: Database, **options: Any) -> PassResult:
    """Ship what is there."""
    target = database.target
    shipper = Shipper(ledger, "test", **options)
    service = ShippingService(
        shipper, sink_opener(target), target, threading.Event(), lambda _: None
    )
    try:
        return service.run_once()
    finally:
        service.close()


async def append(folder: Path, records: list[dict[str, Any]], segment_bytes: int = 4_000) -> None:
    """Write records as the proxy does, in segments of about so many bytes, all but the last one packed."""
    ledger = Ledger(folder, options=LedgerOptions(segment_max_bytes=segment_bytes))
    for record in records:
        await ledger.append(record)
    await ledger.close()
    for segment in find_segments(folder)[:-1]:
        if not segment.compressed:
            compress_segment(segment.path, threading.Event())


@contextmanager
def fetched(database: Database, ledger: str | None = None) -> Iterator[Path]:
    """Yield the ledger as the database has it."""
    address = database_of(database.url)._replace(ledger=ledger)
    with fetched_ledger(address, PASSWORD) as folder:
        yield folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return the unpacked bytes of each segment up to its last newline."""
    found: dict[str, bytes] = {}
    segments = find_segments(folder)
    last = {segment.worker: segment.number for segment in segments}
    for segment in segments:
        with open_segment(segment.path) as handle:
            data = handle.read()
        if segment.number == last[segment.worker] and not segment.compressed:
            data = data[: data.rfind(b"\n") + 1]
        found[segment.path.name.removesuffix(".zst")] = data
    return found


def assert_same(ledger: Path, database: Database) -> None:
    """Hold the database against the ledger, byte for byte."""
    with fetched(database) as folder:
        assert contents(folder) == contents(ledger)
