"""What a start costs beside a long history: ledgers of many sizes, closed segments kept and archived.

    python benchmarks/history.py [--records 100000 1000000] [--segment-kb 65536] [--folder DIR]

Prints a table for docs/archive.md. Seconds are those of the processor, of all threads of the process from
its beginning until its port is open, the least of three starts. Each ledger has a snapshot that the first
start made; its open segment is nearly empty, so that the history is all that differs. With small segments a
ledger has as many of them as one has that is a hundred times as large.
"""

import argparse
import itertools
import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

from ledger import calls
from start import start

from cab.proxy.clock import Clock
from cab.proxy.ledger.archive.archiving import archive_ledger
from cab.proxy.ledger.compression import compress_segment
from cab.proxy.ledger.segments import segments
from cab.proxy.ledger.writer import LedgerOptions, Writer

BATCH = 2000
LINE_BYTES = 800
"""About; a batch is not cut into segments."""
COLUMNS = (
    *("records", "segments", "ledger, MB", "first start, s", "start, s", "peak MB"),
    *("archive, s", "start then, s", "left, MB"),
)


def write(folder: Path, count: int, segment_bytes: int) -> None:
    """Write a ledger with the real writer; all but its last segment closed and compressed."""
    writer = Writer(
        folder, 0, os.fdatasync, LedgerOptions(segment_max_bytes=segment_bytes), Clock()
    )
    records = calls(count // 2)
    size = min(BATCH, max(1, segment_bytes // LINE_BYTES))
    while batch := list(itertools.islice(records, size)):
        writer.write(batch)
    writer.rotate()
    writer.write([{"kind": "proxy_stop"}])
    writer.close()
    for segment in segments(folder)[:-1]:
        if not segment.compressed:
            compress_segment(segment.path, threading.Event())


def size_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.glob("w*")) / 1e6


def least(folder: Path) -> tuple[float, float]:
    measured = [start(folder, signal.SIGTERM) for _ in range(3)]
    return min(s for s, _ in measured), max(mb for _, mb in measured)


def main() -> None:
    """Write ledgers, archive them, and measure starts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--segment-kb", type=int, default=65536)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    root = options.folder or Path(tempfile.mkdtemp(prefix="cab-history-"))
    print(f"| {' | '.join(COLUMNS)} |\n|{'---:|' * len(COLUMNS)}")
    for count in options.records:
        folder = root / str(count)
        write(folder / "ledger", count, options.segment_kb << 10)
        number, before = len(segments(folder / "ledger")), size_mb(folder / "ledger")
        first, _ = start(folder, signal.SIGTERM)
        kept, peak = least(folder)
        began = time.process_time()
        archive_ledger(folder / "ledger", folder / "archive")
        took = time.process_time() - began
        after, _ = least(folder)
        left = size_mb(folder / "ledger")
        row = f"{count:,} | {number} | {before:.1f} | {first:.1f} | {kept:.2f} | {peak:.0f}"
        print(f"| {row} | {took:.1f} | {after:.2f} | {left:.2f} |", flush=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
