"""The metrics of several workers are one sum, which neither a stop nor a kill makes smaller."""

import asyncio
import os
import signal
from pathlib import Path

from cab.proxy.config import ProxySettings
from cab.proxy.workers.supervisor import MultiProcessProxy, running_workers
from tests.proxy.control.metrics.reading import Scraped, compared, scraped, value
from tests.tools.client import post
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import records
from tests.tools.upstream import json_answer, scripted_upstream

CHAT = BY_ENDPOINT["chat.completions"]
TOKEN = "metrics-token-of-the-tests"


async def read(proxy: MultiProcessProxy) -> Scraped:
    sent = f"Authorization: Bearer {TOKEN}", "Connection: close"
    seen = await post(proxy.url, "/cab/metrics", b"", *sent, method="GET")
    while seen.status == 0:  # the kernel gave it to the worker that was just killed
        seen = await post(proxy.url, "/cab/metrics", b"", *sent, method="GET")
    assert seen.status == 200, seen
    return scraped(seen.body.decode())


async def call(proxy: MultiProcessProxy, number: int) -> None:
    """Send calls, each on a connection of its own: the kernel spreads them over the workers."""
    async with asyncio.TaskGroup() as tasks:
        for _ in range(number):
            tasks.create_task(post(proxy.url, CHAT.path, CHAT.request, "Connection: close"))


async def until(proxy: MultiProcessProxy, name: str, number: float) -> Scraped:
    """Return the metrics once one of them has a value; counters that are sums never become smaller."""
    calls = 0.0
    async with asyncio.timeout(20):
        while True:
            samples = await read(proxy)
            before, calls = calls, value(samples, "cab_calls_total") or 0.0
            assert calls >= before
            if value(samples, name) == number:
                return samples
            await asyncio.sleep(0.05)  # asking all the time would keep the worker from starting


async def test_one_sum_that_survives_a_kill(tmp_path: Path) -> None:
    """Whichever worker is asked, the sum is that of the ledger, also of calls that a killed one told nobody of."""
    async with scripted_upstream([json_answer(CHAT.answer)]) as upstream:
        where = {"upstream": upstream.url, "port": 0, "ledger": tmp_path / "ledger"}
        parsed = ProxySettings.model_validate({**where, "workers": 2, "log_level": "error"})
        async with running_workers(parsed, metrics_token=TOKEN) as proxy:
            await call(proxy, 20)
            first = await read(proxy)
            compared(first, records(proxy.ledger_dir))
            assert value(first, "cab_workers") == 2
            await call(proxy, 20)
            os.kill(proxy.workers.pids[0], signal.SIGKILL)
            restarted = await until(proxy, "cab_worker_restarts_total", 1)
            assert (value(restarted, "cab_calls_total") or 0) >= 20
            await call(proxy, 20)
            assert (await read(proxy)).keys() >= first.keys()
            last = await until(proxy, "cab_calls_total", 60)
            compared(last, records(proxy.ledger_dir))
            assert value(last, "cab_start_time_seconds") == value(first, "cab_start_time_seconds")
