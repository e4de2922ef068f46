"""SIGHUP with several workers: each of them prices by the new table and keeps the new limits."""

import asyncio
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from tests.proxy.cli.test_main import running
from tests.proxy.cli.test_service import Log, url_in
from tests.tools.client import post
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.upstream import json_answer, scripted_upstream

CHAT = BY_ENDPOINT["chat.completions"]
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
ANSWER = json_answer({"model": "m", "choices": [CHOICE], "usage": USAGE})
WORKERS = (0, 1)


def table(version: int) -> str:
    """Return prices: as many dollars for a million tokens of the prompt, and ten times that for others."""
    head = f'name = "acme"\nversion = "{version}"\n'
    return f"{head}[models.m]\ninput = {version}\noutput = {10 * version}\n"


def price(version: int) -> Decimal:
    """Return what a call costs by that table, by hand."""
    return (11 * Decimal(version) + 7 * 10 * Decimal(version)) / 1_000_000


def ends_of(ledger: Path) -> list[list[dict[str, Any]]]:
    """Return the END records of model calls, by worker."""
    found: list[list[dict[str, Any]]] = []
    for worker in WORKERS:
        files = sorted(ledger.glob(f"w{worker}-*.jsonl"))
        lines = [orjson.loads(s) for file in files for s in file.read_bytes().splitlines()]
        found.append([end for end in lines if end["kind"] == "end" and end["status"] == 200])
    return found


async def test_all_workers_price_by_the_new_table(tmp_path: Path) -> None:
    """Each later call of any worker has the new prices and limits; one that is under way keeps the old ones."""
    config, prices, ledger = (tmp_path / name for name in ("cab.toml", "prices.toml", "cab-ledger"))
    prices.write_text(table(1))
    release = asyncio.Event()
    async with scripted_upstream([ANSWER[:-1], release, ANSWER[-1:]], [ANSWER]) as upstream:
        usual = f'upstream = "{upstream.url}"\nworkers = 2\nprices_file = "prices.toml"\n'
        config.write_text(usual)
        with running("--config", str(config), cwd=tmp_path) as (process, printed):
            log, url = Log(process), url_in(printed)

            async def call(body: object = CHAT.request) -> int | None:
                # Each on a connection of its own: any worker may get it.
                return (await post(url, CHAT.path, body, "Connection: close")).status

            async def until_both(before: list[int]) -> list[list[dict[str, Any]]]:
                """Call until each worker has made a call more, and return what each has made since."""
                while True:
                    assert await call() == 200
                    made = [ends[n:] for ends, n in zip(ends_of(ledger), before, strict=True)]
                    if all(made):
                        return made

            async with asyncio.TaskGroup() as tasks:
                early = tasks.create_task(call())
                await upstream.arrived.wait()
                old = await until_both([0, 0])
                prices.write_text(table(2))
                config.write_text(f"{usual}max_request_bytes = 200\n")
                process.send_signal(signal.SIGHUP)
                line = await log.next("reloaded", "reload_refused")
                assert (line["event"], line["changed"]) == ("reloaded", "max_request_bytes, prices")
                assert " operator's table acme@2+" in str(line["prices"])
                new = await until_both([len(ends) for ends in ends_of(ledger)])
                assert {await call({**CHAT.request, "user": "x" * 200}) for _ in range(6)} == {413}
                before = [len(ends) for ends in ends_of(ledger)]
                release.set()
            assert early.result() == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    [late] = [end for ends, n in zip(ends_of(ledger), before, strict=True) for end in ends[n:]]
    for version, ends in ((1, [*old[0], *old[1], late]), (2, [*new[0], *new[1]])):
        assert {end["price_source"].partition("+")[0] for end in ends} == {f"table:acme@{version}"}
        assert {Decimal(end["cost_usd"]) for end in ends} == {price(version)}
