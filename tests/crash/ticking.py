"""Appends calls to a ledger until it is killed, and prints what became durable and what was answered.

`D <segment> <size>` after each sync, `A <call>` after each answer.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from cab.proxy.ledger.ledger import Ledger
from cab.proxy.ledger.writer import LedgerOptions


def sync(descriptor: int) -> None:
    time.sleep(0.003)  # time in which records are written and not durable
    size = os.fstat(descriptor).st_size
    os.fdatasync(descriptor)
    name = Path(f"/proc/self/fd/{descriptor}").readlink().name
    os.write(1, f"D {name} {size}\n".encode())


async def call(ledger: Ledger, number: int) -> None:
    for n in range(number, 10**9, 100):
        await ledger.append({"kind": "start", "call_id": f"{n}", "text": "x" * 400})
        await ledger.append({"kind": "end", "call_id": f"{n}", "text": "x" * 900})
        os.write(1, f"A {n}\n".encode())


async def main(folder: Path) -> None:
    ledger = Ledger(folder, sync=sync, options=LedgerOptions(segment_max_bytes=40_000))
    async with asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(call(ledger, number))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
