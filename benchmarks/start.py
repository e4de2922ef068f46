"""What a start costs: a proxy on a ledger of a million sealed cells, until its port is open.

    python benchmarks/start.py [--cells 1000000] [--open-mb 64] [--folder DIR]

Prints a table for docs/performance.md. Seconds are those of the processor, of all threads of the process
from its beginning on, the least of three starts. The ledger has one call and one seal per cell, in closed,
compressed segments and an open one. Without a snapshot the proxy reads all of it; that is done once.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import zstandard
from ledger import records_of
from programs import PROXY

from cab.proxy.ledger.chain import chain
from cab.scoring.ledger.records import GENESIS

_SEGMENT_BYTES = 256 << 20
_TICKS = os.sysconf("SC_CLK_TCK")
_OFF = {name: value for name, value in os.environ.items() if not name.startswith("CAB_")}


def records(cells: int) -> Iterator[dict[str, Any]]:
    """Yield START, END and seal of cells with one call each."""
    at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"  # an old segment would be closed at once
    for n in range(cells):
        cell_id = f"sweep/aider/vendor/model-{n % 5}/polyglot/task-{n}"
        yield from records_of(f"0198{n:08x}-7000-8000-{n:012x}", cell_id, 1, at)
        seal = {"schema": "cab.call/1", "kind": "cell_seal", "cell_id": cell_id, "calls": 1}
        yield {**seal, "sealed_at": f"{at}.950000Z", "records": 2, "digest": "0" * 64}


def write(folder: Path, cells: int, open_bytes: int) -> None:
    """Write the ledger: closed segments, compressed, and an open one of a size."""
    folder.mkdir(parents=True)
    prev, lines = GENESIS, list[bytes]()
    number, size = 1, 0
    for record in records(cells):
        line, prev = chain(record, prev)
        lines.append(line)
        size += len(line)
        if size >= _SEGMENT_BYTES:
            # Its end begins the next one, so that the last one is never small.
            rest = _cut(lines, open_bytes)
            _pack(folder / f"w0-{number:06d}.jsonl.zst", lines)
            number, lines, size = number + 1, rest, sum(map(len, rest))
    rest = _cut(lines, open_bytes)
    if lines:
        _pack(folder / f"w0-{number:06d}.jsonl.zst", lines)
    (folder / f"w0-{number + bool(lines):06d}.jsonl").write_bytes(b"".join(rest))


def _cut(lines: list[bytes], size: int) -> list[bytes]:
    """Take lines of a size off the end of a list, and return them."""
    kept = len(lines)
    while kept and size > 0:
        kept -= 1
        size -= len(lines[kept])
    rest = lines[kept:]
    del lines[kept:]
    return rest


def _pack(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(zstandard.ZstdCompressor().compress(b"".join(lines)))


def start(folder: Path, how: signal.Signals) -> tuple[float, float]:
    """Start a proxy and end it; return processor seconds and peak MB until its port was open."""
    command = [*PROXY, "--upstream", "http://127.0.0.1:9", "--port", "0", "--log-level", "error"]
    command += ["--ledger", str(folder / "ledger"), "--state", str(folder / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_OFF) as running:
        assert running.stdout
        _wait(running.stdout)
        fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{running.pid}/status").read_text()
        running.send_signal(how)
        running.stdout.read()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    return (int(fields[11]) + int(fields[12])) / _TICKS, int(peak[1]) / 1024 if peak else 0.0


def _wait(printed: IO[str]) -> None:
    for line in printed:
        if "listens on" in line:
            return
    sys.exit("cab-proxy did not start")


def main() -> None:
    """Write a ledger and measure starts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--open-mb", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="cab-start-"))
    if not (folder / "ledger").exists():
        write(folder / "ledger", options.cells, options.open_mb << 20)
    empty = folder / "empty"
    rows = [("an empty ledger", [start(empty, signal.SIGTERM) for _ in range(3)])]
    rows.append(("without a snapshot", [start(folder, signal.SIGTERM)]))
    rows.append(("with it, after a stop", [start(folder, signal.SIGTERM) for _ in range(3)]))
    rows.append(("with it, after a kill", [start(folder, signal.SIGKILL) for _ in range(4)][1:]))
    print("| start | s | peak MB |\n|---|---:|---:|")
    for name, measured in rows:
        print(
            f"| {name} | {min(s for s, _ in measured):.2f} | {max(mb for _, mb in measured):.0f} |"
        )
    last = max((folder / "ledger").glob("*.jsonl"))
    print(f"\nopen segment: {last.stat().st_size / 1e6:.0f} MB")
    print(f"snapshot: {(folder / 'state' / 'totals.db').stat().st_size / 1e6:.0f} MB")
    if options.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
