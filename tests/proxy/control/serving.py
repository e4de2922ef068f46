"""A proxy whose control API is asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from tests.tools.client import Seen, post
from tests.tools.proxy import Meter, chat_body, metered
from tests.tools.upstream import Step, json_answer, scripted_upstream

ADMIN = "admin-token-of-the-tests"
CELL = "s/aider/org/m/f/t#run2"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
MESSAGE = {"role": "assistant", "content": "hey"}
COMPLETION = {"id": "1", "model": "m", "choices": [{"index": 0, "message": MESSAGE}]}


@dataclass
class Api:
    """A client of the control API."""

    meter: Meter
    token: str | None = ADMIN

    async def ask(self, method: str, path: str, body: object = b"", token: str = "") -> Seen:
        """Send a request to `/cab/...` with the admin token, or another."""
        sent = token or self.token
        headers = [f"Authorization: Bearer {sent}"] if sent else []
        return await post(
            self.meter.proxy.control_url, f"/cab/{path}", body, *headers, method=method
        )

    async def get(self, path: str, token: str = "") -> Any:
        seen = await self.ask("GET", path, token=token)
        assert seen.status == 200, seen
        return orjson.loads(seen.body)

    def key(self, cell_id: str = CELL) -> str:
        return self.meter.proxy.mint_key(cell_id, 60)

    async def call(self, key: str) -> Seen:
        sent = f"Authorization: Bearer {key}"
        return await post(self.meter.url, "/v1/chat/completions", chat_body(), sent)


@asynccontextmanager
async def api(
    folder: Path, *script: Step, admin: str | None = ADMIN, **settings: Any
) -> AsyncIterator[Api]:
    script = script or (json_answer({**COMPLETION, "usage": USAGE}),)
    async with (
        scripted_upstream(list(script)) as upstream,
        metered(upstream.url, folder, admin_token=admin, **settings) as meter,
    ):
        yield Api(meter, admin)


def code_of(seen: Seen) -> tuple[int, str]:
    error = orjson.loads(seen.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert seen.header("Content-Type") == "application/json"
    return seen.status, error["code"]


def path_of(cell_id: str = CELL) -> str:
    return f"cells/{quote(cell_id, safe='')}"
