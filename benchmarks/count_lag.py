"""How long the event loop waits while a text is counted beside it.

    python benchmarks/count_lag.py

prints, for texts that are hard on tokenizers, how long the count takes and the longest time that the
loop could not turn meanwhile; without a count the loop turns every few microseconds.
"""

import asyncio
import random
import string
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import orjson

from cab.proxy.ledger.call_records import CallContext
from cab.proxy.meter import CallMeter, Outcome, dialect_for
from cab.proxy.tokens.usage import Counter

PATH = "/v1/chat/completions"
ANSWER = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}'
LETTERS = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=1 << 20))

T = TypeVar("T")

CASES = {
    "1 MB without white space": LETTERS,
    "1 MB of one letter": "a" * (1 << 20),
    "1 MB of spaces": " " * (1 << 20),
    "1 M Chinese characters": "漢" * 1_000_000,
    "1 M words": "word " * 1_000_000,
    "8 MB of code": "    for line in lines:\n        total += len(line)\n" * 165_000,
}


async def main() -> None:
    counter = Counter({}, 64 << 20, 60)
    await counter.count(*call("warm up"))
    print(f"{'text':<28}{'tokens':>10}{'count':>10}{'longest wait':>16}")
    # What the machine itself does to a loop: a thread that sleeps takes nothing from it.
    _, took_s, longest_s = await watched(asyncio.to_thread(time.sleep, 1))
    show("none: a second of sleep", "", took_s, longest_s)
    for name, text in CASES.items():
        counted, took_s, longest_s = await watched(counter.count(*call(text)))
        tokens = counted.usage.prompt_tokens if counted.usage else None
        show(name, tokens or "", took_s, longest_s)


def show(name: str, tokens: object, took_s: float, longest_s: float) -> None:
    print(f"{name:<28}{tokens:>10}{took_s * 1e3:>7.0f} ms{longest_s * 1e3:>13.1f} ms")


async def watched(work: Coroutine[Any, Any, T]) -> tuple[T, float, float]:
    """Return the work's result, how long it took, and the longest turn of the loop meanwhile."""
    async with asyncio.TaskGroup() as tasks:
        start = before = time.perf_counter()
        task = tasks.create_task(work)
        longest_s = 0.0
        while not task.done():
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest_s, before = max(longest_s, now - before), now
    return task.result(), before - start, longest_s


def call(text: str) -> tuple[CallContext, Outcome]:
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})
    meter = CallMeter(dialect_for("POST", PATH), PATH, body)
    meter.start(200, "application/json", "", None)
    meter.feed(ANSWER, 0)
    meter.finish(0)
    facts = CallContext(
        call_id="",
        cell_id=None,
        endpoint="chat.completions",
        request=meter.request,
        request_bytes=len(body),
        user_agent=None,
        started_wall_ns=0,
        started_ns=0,
    )
    return facts, meter.outcome()


if __name__ == "__main__":
    asyncio.run(main())
