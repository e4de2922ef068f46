"""What the proxy costs a call: the same calls directly and through it, in turns, in one run.

    python benchmarks/overhead.py [--calls 500] [--chunks 100] [--concurrency 1]

An endpoint that answers at once, the proxy and this client are three processes. Absolute times depend
on the machine and its disk (each call waits for two syncs); the last columns, measured in one run,
are what to compare. `--ack none` shows the same without waiting for the disk.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time

import aiohttp
import orjson
from aiohttp import web
from programs import PROXY, process

USAGE = {"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 110}


def delta(**fields: object) -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: " + orjson.dumps({**head, **fields}) + b"\n\n"


async def endpoint(chunks: int) -> None:
    """Answer chat completions at once; print the port."""
    text = delta(choices=[{"index": 0, "delta": {"content": "word "}, "finish_reason": None}])
    last = delta(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    whole = orjson.dumps({"id": "c", "model": "m", "choices": [], "usage": USAGE})

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if not orjson.loads(await request.read()).get("stream"):
            return web.Response(body=whole, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(chunks):
            await response.write(text)
        await response.write(last + delta(choices=[], usage=USAGE) + b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def call(client: aiohttp.ClientSession, url: str, *, stream: bool) -> float:
    """Return the seconds that one call took."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi " * 500}], "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    began = time.perf_counter()
    async with client.post(f"{url}/v1/chat/completions", json=body) as answer:
        await answer.read()
    return time.perf_counter() - began


async def measure(urls: dict[str, str], calls: int, concurrency: int, *, stream: bool) -> None:
    times: dict[str, list[float]] = {name: [] for name in urls}
    async with aiohttp.ClientSession() as client:
        for _ in range(calls // concurrency):
            for name, url in urls.items():
                batch = (call(client, url, stream=stream) for _ in range(concurrency))
                times[name] += await asyncio.gather(*batch)
    direct = statistics.median(times["direct"])
    for name, seconds in times.items():
        ms = [s * 1000 for s in sorted(seconds)]
        p50, p99 = statistics.median(ms), ms[int(len(ms) * 0.99)]
        kind = "streamed" if stream else "whole"
        added = p50 - direct * 1000
        ratio = p50 / (direct * 1000)
        print(f"{kind:9} {name:8} {p50:8.2f} {p99:8.2f} {added:+8.2f} {ratio:7.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--ack", choices=["end", "none"], default="end")
    parser.add_argument("--endpoint", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.endpoint:
        asyncio.run(endpoint(options.chunks))
        return
    server = [sys.executable, __file__, "--endpoint", "--chunks", str(options.chunks)]
    with (
        tempfile.TemporaryDirectory(dir=".") as folder,
        process(server, r"(\d+)") as port,
        process(
            [
                *(*PROXY, "--upstream", f"http://127.0.0.1:{port}", "--port", "0"),
                *("--ledger", folder, "--ack", options.ack, "--log-level", "error"),
            ],
            r"listens on\s+(\S+)",
        ) as proxy,
    ):
        print("calls     way       p50_ms   p99_ms added_ms   ratio")
        for stream in (False, True):
            urls = {"direct": f"http://127.0.0.1:{port}", "proxied": proxy}
            asyncio.run(measure(urls, options.calls, options.concurrency, stream=stream))


if __name__ == "__main__":
    main()
