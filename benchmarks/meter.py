"""What the meter costs per chunk, against plain splitting of the same stream.

Run it as `python benchmarks/meter.py`. It prints, per way of feeding, the meter's throughput and its
cost as a multiple of finding the events alone, and how the cost grows with the length of a line and of a
stream. The multiples, not the times, are what carries over to another machine.
"""

import time
from collections.abc import Callable

from cab.proxy.meter import CallMeter, dialect_for

PATH = "/v1/chat/completions"
ASKING = b'{"model":"m","stream":true,"messages":[]}'
SSE = "text/event-stream"


def chunk_of(number: int, *, null_usage: bool) -> bytes:
    usage = b',"usage":null' if null_usage else b""
    return (
        b'data: {"id":"chatcmpl-CTx8Qm2LJ0wVfE1sQ4nKdbZ7yRk3P","object":"chat.completion.chunk",'
        b'"created":1795180000,"model":"gpt-4o-mini-2024-07-18","system_fingerprint":"fp_560af6e559",'
        b'"choices":[{"index":0,"delta":{"content":" word%d"},"logprobs":null,"finish_reason":null}]%s}'
        b"\n\n" % (number, usage)
    )


def stream_of(events: int, *, null_usage: bool) -> list[bytes]:
    return [chunk_of(number, null_usage=null_usage) for number in range(events)]


def line_of(chars: int, chunk_bytes: int) -> list[bytes]:
    text = b"x" * chars
    line = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text
    return [line[at : at + chunk_bytes] for at in range(0, len(line), chunk_bytes)]


def best_s(run: Callable[[], object], times: int = 5) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def metered(chunks: list[bytes], *, inject: bool) -> None:
    meter = CallMeter(dialect_for("POST", PATH), PATH, ASKING, inject_usage=inject)
    meter.start(200, SSE, "", None)
    for number, chunk in enumerate(chunks):
        meter.feed(chunk, number)
    meter.finish(len(chunks))
    meter.outcome()


def split(chunks: list[bytes]) -> None:
    for chunk in chunks:
        chunk.split(b"\n\n")


def show_cost() -> None:
    print(f"{'feeding':<44}{'us/event':>10}{'MB/s':>8}{'x split':>9}")
    for inject in (False, True):
        events = stream_of(20_000, null_usage=inject)
        whole = b"".join(events)
        blocks = [whole[start : start + 65536] for start in range(0, len(whole), 65536)]
        what = "usage filtered" if inject else "passed through"
        for name, chunks in (("one event per chunk", events), ("64 KiB chunks", blocks)):
            cost_s = best_s(lambda chunks=chunks, inject=inject: metered(chunks, inject=inject))
            base_s = best_s(lambda chunks=chunks: split(chunks))
            rate = len(whole) / cost_s / 1e6
            per_event = cost_s / len(events) * 1e6
            label = f"{name}, {what}"
            print(f"{label:<44}{per_event:>10.2f}{rate:>8.0f}{cost_s / base_s:>9.1f}")


def show_growth() -> None:
    print(f"\n{'growth when the size doubles (2.0 is linear)':<60}{'ratio':>6}")
    for inject in (False, True):
        what = "usage filtered" if inject else "passed through"
        for name, chars, size in (
            ("one line of 2 and of 4 MB in 1 KiB chunks", 2 << 20, 1024),
            ("one line of 128 and of 256 KB, byte by byte", 1 << 17, 1),
        ):
            costs = [
                best_s(lambda c=line, i=inject: metered(c, inject=i), 3)
                for line in (line_of(chars, size), line_of(2 * chars, size))
            ]
            print(f"{name + ', ' + what:<60}{costs[1] / costs[0]:>6.2f}")
        costs = [
            best_s(lambda n=n, i=inject: metered(stream_of(n, null_usage=i), inject=i), 3)
            for n in (5_000, 10_000)
        ]
        print(f"{'5,000 and 10,000 events, ' + what:<60}{costs[1] / costs[0]:>6.2f}")


if __name__ == "__main__":
    show_cost()
    show_growth()
