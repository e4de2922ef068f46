"""The live page in a real Chromium, while many cells call."""

import asyncio
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.config import ProxySettings
from cab.proxy.control.live.tokens import new_live_token
from tests.tools.dialects import BY_ENDPOINT
from tests.tools.proxy import Meter, chat_body, metered
from tests.tools.upstream import json_answer, scripted_upstream
from tests.tools.wires import AIOHTTP

ANSWER = [json_answer(BY_ENDPOINT["chat.completions"].answer)]
CELLS, CALLS = 40, 3
LIMITS = KeyLimits(max_calls=CALLS, max_tokens=1_000_000)


async def call_all(meter: Meter, keys: list[str]) -> None:
    """Make one call of each cell, all at the same time."""

    async def call(key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{meter.url}/v1/chat/completions"
        answer = await meter.client.post(url, json=chat_body(), headers=headers)
        assert answer.status == 200
        await answer.read()

    async with asyncio.TaskGroup() as tasks:
        for key in keys:
            tasks.create_task(call(key))


async def shows(page: Page, calls: int) -> list[str]:
    """Return the texts of the rows once each says so many calls."""
    script = f"""() => [...document.querySelectorAll("#cells tr")].filter(
        (row) => row.cells.length === 8 && row.cells[3].textContent === "{calls}").length === {CELLS}"""
    await page.wait_for_function(script)
    return await page.locator("#cells tr").all_inner_texts()


@pytest.mark.asyncio(loop_factories=[AIOHTTP.name])
@pytest.mark.slow
async def test_the_page_follows_cells_and_their_budgets(tmp_path: Path) -> None:
    """Each row is brought up to date while cells call, with what is spent of its limits; two pages see the same."""
    program = shutil.which("chromium")
    assert program is not None, "chromium is missing: apt-get install chromium"
    noise: list[str] = []
    async with (
        scripted_upstream(ANSWER) as upstream,
        metered(upstream.url, tmp_path, auth="keys") as meter,
        async_playwright() as playwright,
    ):
        keys = [meter.proxy.mint_key(f"s/a/m/f/t{n}", 600, LIMITS) for n in range(CELLS)]
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        context = await browser.new_context()
        state: Any = {"upstream": upstream.url, "ledger": meter.proxy.ledger_dir}
        folder = ProxySettings.model_validate(state).state_folder
        token = new_live_token(folder, int(time.time()))
        pages = [await context.new_page(), await context.new_page()]
        for page in pages:
            page.on("console", lambda message: noise.append(message.text))
            page.on("pageerror", lambda error: noise.append(str(error)))
        await pages[0].goto(f"{meter.url}/cab/?token={token}")
        await pages[1].goto(f"{meter.url}/cab/")
        heading = pages[0].locator("#budgets")
        assert not await heading.is_visible()  # no cell has any
        for round_ in range(1, CALLS + 1):
            await call_all(meter, keys)
            first, second = await asyncio.gather(*(shows(page, round_) for page in pages))
            assert len(first) == len(second) == CELLS
            assert all(f"{round_} of {CALLS} calls" in row for row in first)
        limits = re.compile(r"of 1,000,000 tokens\s.* of (9:5\d|10:00) min$")
        assert all(limits.search(row) for row in first)
        assert await heading.is_visible()
        assert await pages[0].locator("#cells .limit .alarm").count() == CELLS  # all calls are made
        await browser.close()
    assert noise == []
