"""How fast a ledger is verified and read: a ledger of a million records, each measure a process.

    python benchmarks/ledger.py [--records 1000000] [--folder DIR]

Prints a table for docs/performance.md. Seconds are those of the processor, the least of three runs, so
that what else the machine does counts little. The first row, SHA-256 over the same lines and nothing
else, is the bound that no verifier in one thread of this machine can pass.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import zstandard

from cab.proxy.ledger.chain import chain
from cab.scoring.ledger.reading import iter_calls, iter_records, segment_files, segment_lines
from cab.scoring.ledger.records import GENESIS
from cab.scoring.ledger.totals import total_cells
from cab.scoring.ledger.verify import verify_ledger

SEGMENT_BYTES = 64 << 20
CAB = "import sys; from cab.adapters.cli import main; sys.exit(main())"


def calls(count: int) -> Iterator[dict[str, Any]]:
    """Yield START and END of that many calls, as an agent's look."""
    for n in range(count):
        minute, second = divmod(n // 10, 60)
        at = f"2026-11-{1 + minute // 1440:02d}T{minute // 60 % 24:02d}:{minute % 60:02d}:{second:02d}"
        cell_id = f"sweep/aider/vendor/model-{n % 5}/polyglot/task-{n % 2000}"
        call_id = f"0198{n:08x}-7000-8000-{n:012x}"
        yield from records_of(call_id, cell_id, n // 2000 + 1, at)


def records_of(call_id: str, cell_id: str, seq: int, at: str) -> Iterator[dict[str, Any]]:
    """Yield START and END of a call that begins at a second."""
    start = {
        "schema": "cab.call/1",
        "kind": "start",
        "call_id": call_id,
        "cell_id": cell_id,
        "seq": seq,
        "started_at": f"{at}.000000Z",
        "endpoint": "chat.completions",
        "stream": True,
        "request_hash": f"sha256:{sha256(call_id.encode()).hexdigest()}",
        "model_requested": "vendor/model-1",
    }
    yield start
    yield {**start, "kind": "end", "ended_at": f"{at}.900000Z", **END, "usage_raw": USAGE}


USAGE = {
    "prompt_tokens": 12345,
    "completion_tokens": 321,
    "total_tokens": 12666,
    "prompt_tokens_details": {"cached_tokens": 12000},
    "completion_tokens_details": {"reasoning_tokens": 64},
}
END = {
    "attempt": 1,
    "retry_of": None,
    "upstream_attempts": 1,
    "model_served": "vendor/model-2026-11-01",
    "upstream_id": "chatcmpl-0123456789abcdefghijkl",
    "system_fingerprint": "fp_0123456789",
    "status": 200,
    "end_reason": "completed",
    "finish_reason": "stop",
    "finish_reasons": None,
    "prompt_tokens": 12345,
    "completion_tokens": 321,
    "total_tokens": 12666,
    "cache_read_tokens": 12000,
    "cache_write_tokens": None,
    "reasoning_tokens": 64,
    "usage_source": "upstream",
    "usage_status": "complete",
    "latency_ms": 900.123,
    "ttft_ms": 210.5,
    "upstream_ms": 898.1,
    "proxy_ms": 2.023,
    "request_bytes": 45678,
    "response_bytes": 23456,
    "tool_calls": 1,
    "user_agent": "OpenAI/Python 1.60.0",
    "cost_usd": None,
    "price_source": None,
    "unmetered": None,
    "error": None,
}


def write(folder: Path, records: int) -> None:
    """Write a ledger of one worker."""
    folder.mkdir(parents=True)
    prev, number, size = GENESIS, 1, 0
    handle = (folder / "w0-000001.jsonl").open("wb")
    for record in calls(records // 2):
        if size > SEGMENT_BYTES:
            handle.close()
            number, size = number + 1, 0
            handle = (folder / f"w0-{number:06d}.jsonl").open("wb")
        line, prev = chain(record, prev)
        size += handle.write(line)
    handle.close()


def compress(plain: Path, packed: Path) -> None:
    """Write the same ledger with all segments but the last compressed."""
    packed.mkdir()
    *closed, last = segment_files(plain)
    for file in closed:
        data = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(file.read_bytes())
        (packed / f"{file.name}.zst").write_bytes(data)
    (packed / last.name).write_bytes(last.read_bytes())


def hash_lines(folder: Path) -> int:
    """Hash each line: the work that no verifier is spared."""
    return sum(bool(sha256(line)) for file in segment_files(folder) for line in segment_lines(file))


def verify(folder: Path) -> int:
    """Verify the chain."""
    found = verify_ledger(folder)
    if not found.holds:
        sys.exit(f"the ledger does not hold: {found.faults[0]}")
    return found.records


MEASURES: dict[str, Callable[[Path], int]] = {
    "SHA-256 of each line alone": hash_lines,
    "verify_ledger": verify,
    "iter_calls, all checked": lambda folder: sum(1 for _ in iter_calls(folder)),
    "iter_calls, one cell of 2000": lambda folder: sum(
        1 for _ in iter_calls(folder, "sweep/aider/vendor/model-1/polyglot/task-1")
    ),
    "total_cells": lambda folder: len(total_cells(iter_records(folder))),
}


def measured(command: list[str]) -> tuple[float, float]:
    """Run a process; return its seconds and its peak memory in MB."""
    code = (
        "import json, resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command], check=True, capture_output=True, text=True
    )
    took_s, peak_mb = json.loads(done.stdout)
    return took_s, peak_mb


def best(name: str, folder: Path) -> tuple[float, float]:
    """Return seconds and peak memory in MB of the best of three runs of a measure."""
    runs: list[tuple[float, float]] = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, __file__, "--measure", name, "--folder", str(folder)],
            check=True,
            capture_output=True,
            text=True,
        )
        took_s, peak_mb = json.loads(done.stdout)
        runs.append((took_s, peak_mb))
    return min(runs)


def row(what: str, took_s: float, peak_mb: float, records: int, size_bytes: int) -> None:
    speed = f"{size_bytes / took_s / 1e6:,.0f} | {records / took_s:,.0f}"
    print(f"| {what} | {took_s:.1f} | {speed} | {peak_mb:.0f} |", flush=True)


def run(folder: Path, records: int) -> None:
    plain, packed = folder / "plain", folder / "packed"
    write(plain, records)
    compress(plain, packed)
    size = sum(file.stat().st_size for file in segment_files(plain))
    small = sum(file.stat().st_size for file in segment_files(packed))
    print(f"{records:,} records, {size / 1e6:,.0f} MB plain, {small / 1e6:,.0f} MB compressed\n")
    print("| | s | MB/s | records/s | peak MB |\n|---|---:|---:|---:|---:|")
    for name in MEASURES:
        row(name, *best(name, plain), records, size)
    row("verify_ledger, compressed", *best("verify_ledger", packed), records, size)
    for arguments in ([], ["--json"], ["--csv"], ["--by-cell"]):
        command = [sys.executable, "-c", CAB, "ledger", "calls", str(plain), *arguments]
        shown = " ".join(["cab ledger calls", *arguments])
        row(f"`{shown}`", *min(measured(command) for _ in range(3)), records, size)


def measure(name: str, folder: Path) -> None:
    """Print seconds and peak memory of one measure, taken in this process."""
    began_s = time.process_time()
    MEASURES[name](folder)
    took_s = time.process_time() - began_s
    # Not getrusage: its peak is that of the starting process if that was larger.
    peak_kb = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(json.dumps([took_s, int(peak_kb[1]) / 1024 if peak_kb else None]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the ledger is written (a temporary one)")
    parser.add_argument("--measure", choices=MEASURES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.folder)
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        run(Path(name), args.records)


if __name__ == "__main__":
    main()
