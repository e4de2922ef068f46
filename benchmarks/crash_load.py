"""The load of the crash harness: an endpoint that keeps an account, and clients that note what they saw.

Endpoint, proxy and clients are three processes: what kills the proxy touches neither of the others.
"""

import argparse
import asyncio
import hashlib
import random
import re
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
from aiohttp import web

DONE = b"data: [DONE]\n\n"


class Endpoint:
    """Answers chat completions, and knows for each which tokens it stated."""

    def __init__(self) -> None:
        self.account: dict[str, tuple[int, int]] = {}
        """The `user` of each request that arrived, with its prompt and completion tokens."""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer; a proxy may be killed at any time."""
        try:
            return await self._answer(request)
        except ConnectionError:
            return web.Response()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/account":
            return web.Response(body=orjson.dumps(self.account), content_type="application/json")
        body = orjson.loads(await request.read())
        name = body["user"]
        prompt, completion = random.randint(1, 5000), random.randint(1, 900)
        self.account[name] = prompt, completion
        total = prompt + completion
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
        if body.get("stream"):
            return await self._stream(request, name, usage)
        await asyncio.sleep(random.uniform(0, 0.02))
        message = {"role": "assistant", "content": "done"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {"id": name, "model": "m", "choices": [choice], "usage": usage}
        return web.Response(body=orjson.dumps(whole), content_type="application/json")

    async def _stream(
        self, request: web.BaseRequest, name: str, usage: dict[str, int]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for n in range(5):
            delta = {"content": f"word{n} "}
            await response.write(event(name, [{"index": 0, "delta": delta, "finish_reason": None}]))
            await asyncio.sleep(random.uniform(0, 0.008))
        last = event(name, [{"index": 0, "delta": {}, "finish_reason": "stop"}])
        await response.write(last + event(name, [], usage=usage) + DONE)
        await response.write_eof()
        return response


def event(name: str, choices: list[object], **more: object) -> bytes:
    chunk = {"id": name, "object": "chat.completion.chunk", "model": "m", "choices": choices}
    return b"data: " + orjson.dumps({**chunk, **more}) + b"\n\n"


async def serve() -> None:
    """Run the endpoint and print its port."""
    runner = web.ServerRunner(web.Server(Endpoint().answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"port {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


@asynccontextmanager
async def running_endpoint() -> AsyncGenerator[str]:
    """Run the endpoint in a process of its own; give its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--endpoint", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        port = re.search(rb"port (\d+)", await process.stdout.readline())
        assert port
        yield f"http://127.0.0.1:{port[1].decode()}"
    finally:
        process.kill()
        await process.wait()


@dataclass
class Seen:
    """What the clients sent and got, over all rounds."""

    sent: dict[str, str] = field(default_factory=dict[str, str])
    """The `user` of each request, and its request hash."""
    complete: dict[str, str] = field(default_factory=dict[str, str])
    """The `user` of each answer that came whole, and the call id that it carried."""
    refused: set[str] = field(default_factory=set[str])
    """The `user` of each request that was answered with 503."""
    broken: int = 0
    """Answers that broke off, and connections that were refused."""
    odd: list[str] = field(default_factory=list[str])
    """Answers that nobody expects."""


class Clients:
    """Many clients that call one after the other, streamed and not, until they are stopped."""

    def __init__(self, seen: Seen, number: int, rng: random.Random) -> None:
        self._seen = seen
        self._number = number
        self._random = rng
        self._stopped = False

    @asynccontextmanager
    async def calling(self, url: str) -> AsyncGenerator[None]:
        """Call while the context is open."""
        self._stopped = False
        timeout = aiohttp.ClientTimeout(total=60)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(self._number):
                tasks.create_task(self._loop(session, url))
            try:
                yield
            finally:
                self._stopped = True

    async def _loop(self, session: aiohttp.ClientSession, url: str) -> None:
        while not self._stopped:
            name, stream = uuid.uuid4().hex, self._random.random() < 0.5
            try:
                await self._call(session, url, name, stream=stream)
            except (aiohttp.ClientError, ConnectionError):
                self._seen.broken += 1
                await asyncio.sleep(0.01)

    async def _call(
        self, session: aiohttp.ClientSession, url: str, name: str, *, stream: bool
    ) -> None:
        messages = [{"content": "hi " * 20, "role": "user"}]
        body: dict[str, object] = {"messages": messages, "model": "m", "user": name}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        raw = orjson.dumps(
            body, option=orjson.OPT_SORT_KEYS
        )  # canonical, so its hash is known here
        self._seen.sent[name] = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        headers = {"Content-Type": "application/json"}
        target = f"{url}/v1/chat/completions"
        async with session.post(target, data=raw, headers=headers) as answer:
            await self._read(answer, name, stream=stream)

    async def _read(self, answer: aiohttp.ClientResponse, name: str, *, stream: bool) -> None:
        if answer.status == 503:
            self._seen.refused.add(name)
            await answer.read()
            await asyncio.sleep(0.01)
            return
        if answer.status != 200:
            self._seen.odd.append(f"status {answer.status}: {(await answer.text())[:200]}")
            return
        body = b""
        async for piece in answer.content.iter_any():
            body += piece
            # Many clients take their answer for complete here, whatever comes of the connection.
            if stream and body.endswith(DONE):
                self._complete(answer, name)
                if self._random.random() < 0.5:
                    answer.close()
                    return
        if stream and not body.endswith(DONE):
            self._seen.odd.append(f"a stream of {name} ended without [DONE]")
        elif not stream:
            self._complete(answer, name)

    def _complete(self, answer: aiohttp.ClientResponse, name: str) -> None:
        self._seen.complete[name] = answer.headers["x-cab-call-id"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", action="store_true", required=True)
    parser.parse_args()
    asyncio.run(serve())
