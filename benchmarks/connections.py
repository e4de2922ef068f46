"""Calls against an endpoint that closes its connections: how many fail because of the proxy?

    python benchmarks/connections.py [--calls 10000] [--workers 16] [--idle-s 0.05]

The endpoint announces keep-alive and closes after every streamed answer, as llama.cpp's server does, or
with `--idle-s` after so many idle seconds, as uvicorn and vLLM do after 5. It, the proxy and this client
are three processes. A client that opens a connection for each call sees no failure; with the proxy
between them there must be none either. Exit status 1 if there is one.
"""

import argparse
import asyncio
import contextlib
import random
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import aiohttp
import orjson
from programs import PROXY, process

USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
HEAD = (
    b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
CHUNKS = (
    {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "tea"}}]},
    {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "c", "model": "m", "choices": [], "usage": USAGE},
)
EVENTS = [*(b"data: %b\n\n" % orjson.dumps(chunk) for chunk in CHUNKS), b"data: [DONE]\n\n", b""]
BODY = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS)


async def endpoint(idle_s: float | None) -> None:
    """Answer chat completions with a stream; print the port.

    Args:
        idle_s: Close after so many idle seconds; None closes after every answer.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limit_s = None  # a new connection is not idle
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            while True:
                async with asyncio.timeout(limit_s):
                    head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: *(\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                writer.write(HEAD)
                writer.write(BODY)
                await writer.drain()
                if (limit_s := idle_s) is None:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def measure(url: str, calls: int, workers: int, idle_s: float | None) -> Counter[str]:
    """Return how often each status came; a broken answer has the name of its error."""
    seen: Counter[str] = Counter()
    left = iter(range(calls))

    async def worker(client: aiohttp.ClientSession) -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        for _ in left:
            if idle_s is not None and random.random() < 0.1:
                await asyncio.sleep(idle_s * random.uniform(0.9, 1.1))
            try:
                async with client.post(f"{url}/v1/chat/completions", json=body) as answer:
                    whole = b"[DONE]" in await answer.read()
                    seen[str(answer.status) if whole or answer.status != 200 else "cut"] += 1
            except aiohttp.ClientError as error:
                seen[type(error).__name__] += 1

    async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(worker(client))
    return seen


def stale_connections(ledger: Path) -> int:
    """Return how often the proxy had to send a request once more."""
    lines = [line for file in ledger.glob("*.jsonl") for line in file.read_bytes().splitlines()]
    return sum(orjson.loads(line).get("stale_connections") or 0 for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--idle-s", type=float)
    parser.add_argument("--endpoint", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.endpoint:
        asyncio.run(endpoint(options.idle_s))
        return 0
    server = [sys.executable, __file__, "--endpoint"]
    server += [] if options.idle_s is None else ["--idle-s", str(options.idle_s)]
    with tempfile.TemporaryDirectory(dir=".") as folder:
        with (
            process(server, r"(\d+)") as port,
            process(
                [
                    *(*PROXY, "--upstream", f"http://127.0.0.1:{port}", "--port", "0"),
                    *("--ledger", folder, "--ack", "none", "--log-level", "error"),
                ],
                r"listens on\s+(\S+)",
            ) as proxy,
        ):
            seen = asyncio.run(measure(proxy, options.calls, options.workers, options.idle_s))
        stale = stale_connections(Path(folder))
    statuses = ", ".join(f"{name}: {count}" for name, count in sorted(seen.items()))
    print(f"{options.calls} calls by {options.workers} workers; {statuses}; stale: {stale}")
    return 0 if seen == Counter({"200": options.calls}) else 1


if __name__ == "__main__":
    sys.exit(main())
