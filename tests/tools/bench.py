"""A proxy and an upstream that serve many examples of one property, on a loop in a thread of their own."""

import asyncio
import logging
import threading
from collections.abc import Coroutine, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson
from aiohttp.http_exceptions import HttpProcessingError
from structlog.testing import capture_logs

from tests.tools.proxy import Meter, metered
from tests.tools.raw import Answer, connected
from tests.tools.tap import Sent, Tap, tapped
from tests.tools.upstream import ScriptedUpstream, Step, scripted_upstream
from tests.tools.wires import Wire

T = TypeVar("T")
LIMIT_S = 20


class News(NamedTuple):
    """What one example did."""

    ends: list[dict[str, Any]]
    """Its END records."""
    sent: list[Sent]
    """Its requests to the upstream."""


class Bench:
    """What one property's examples share.

    No dataclass: hypothesis prints its arguments, and this would be much.
    """

    def __init__(
        self, upstream: ScriptedUpstream, tap: Tap, meter: Meter, script: list[Step]
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.upstream = upstream
        self.tap = tap
        self.meter = meter
        self._script = script
        self._read_until: dict[Path, int] = {}

    def play(self, *steps: Step) -> None:
        """Set what the upstream answers from now on."""
        self._script[:] = steps

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine where the proxy runs."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(LIMIT_S)

    def exchange(self, raw: bytes, patience_s: float = LIMIT_S) -> Answer | None:
        """Send bytes and return the answer; None if none came, or none within that time."""
        return self.run(self._exchange(raw, patience_s))

    async def _exchange(self, raw: bytes, patience_s: float) -> Answer | None:
        answer = None
        async with connected(self.meter.url) as line:
            line.send(raw)
            try:
                async with asyncio.timeout(patience_s):
                    answer = await line.answer()
            except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
                pass
        assert await self.meter.proxy.quiet(LIMIT_S)
        return answer

    def news(self) -> News:
        """Return what happened since the last look; each END has its START, each row its request."""
        return self.run(self._news())

    async def _news(self) -> News:
        lines = [orjson.loads(line) for line in self._new_lines()]
        ends = [line for line in lines if line["kind"] == "end"]
        starts = [line["call_id"] for line in lines if line["kind"] == "start"]
        sent = self.tap.requests()
        made = [end["call_id"] for end in ends if end["end_reason"] != "rejected"]
        assert starts == made
        assert len(sent) == len(made)
        for connection in self.tap.connections:
            connection.clear()
        return News(ends, sent)

    def _new_lines(self) -> list[bytes]:
        """Return the ledger's new lines; reading all of it each time would cost more than the calls."""
        new: list[bytes] = []
        for segment in sorted(self.meter.proxy.ledger_dir.glob("*.jsonl")):
            with segment.open("rb") as handle:
                handle.seek(self._read_until.get(segment, 0))
                new += handle.readlines()
                self._read_until[segment] = handle.tell()
        return new


@contextmanager
def running_bench(folder: Path, wire: Wire, **settings: Any) -> Generator[Bench]:
    """Run a bench on a wire; when it ends, nothing of it has failed."""
    started: Future[Bench] = Future()
    stop = asyncio.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=wire.new_loop) as runner:
            runner.run(_serve(folder, {**wire.settings(), **settings}, started, stop))

    thread = threading.Thread(target=run, name="bench")
    with capture_logs() as logs, _unhandled() as errors:
        thread.start()
        bench = started.result(LIMIT_S)
        try:
            yield bench
        finally:
            bench.loop.call_soon_threadsafe(stop.set)
            thread.join(LIMIT_S)
    # Nothing of ours failed, as far as any log says.
    failed = [entry for entry in logs if entry["log_level"] == "error"]
    assert failed == []
    assert errors == []


async def _serve(
    folder: Path, settings: dict[str, Any], started: "Future[Bench]", stop: asyncio.Event
) -> None:
    script: list[Step] = []
    try:
        async with (
            scripted_upstream(lambda _: script) as upstream,
            tapped(upstream.url) as tap,
            metered(tap.url, folder, **settings) as meter,
        ):
            started.set_result(Bench(upstream, tap, meter, script))
            await stop.wait()
    except Exception as error:
        if not started.done():
            started.set_exception(error)
        raise


@contextmanager
def _unhandled() -> Generator[list[BaseException]]:
    """Collect what aiohttp logs of exceptions that got out of a handler of ours."""
    errors: list[BaseException] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            if error is not None and not isinstance(error, HttpProcessingError):
                errors.append(error)

    collect, logger = Collect(), logging.getLogger("aiohttp.server")
    logger.addHandler(collect)
    try:
        yield errors
    finally:
        logger.removeHandler(collect)
