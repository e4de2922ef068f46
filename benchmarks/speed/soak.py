"""Half load with faults, reloads, rotation and archives for a long time: does anything grow, and is every call in the ledger?

    python -m benchmarks.speed.soak [--seconds 1800] [--share 0.5] [--workers 1]

It first measures how many calls a second the proxy takes, then calls at that share of it. The slopes are those of the
second two thirds (Theil-Sen). Meanwhile the settings are reloaded (SIGHUP) and closed segments archived; in the end
they are restored, and every call counted. Exit code 1 if ledger and clients differ, 4 if all that is wrong is that
something grows.
"""

import argparse
import itertools
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import orjson

from benchmarks.speed import processes
from benchmarks.speed.contenders import ROOT, Contender, cab, running_endpoint, verify
from benchmarks.speed.load import Load, measure
from benchmarks.speed.soak_load import CROWD
from benchmarks.speed.upkeep import bring_back, kept_up
from cab.scoring import iter_calls
from cab.scoring.ledger.segments import find_segments, segment_lines

SEGMENT_BYTES = 2 << 20
COST = 2.0
"""What a call of the mix costs, as a multiple of a plain one: its streams have 20 events."""
SAMPLES = 300
SURPRISES = 0.001
"""Share of calls that may fail although the endpoint answers them. It closes connections that it said it would
keep; now and then a call on one gets a 502, which the ledger states as well."""
_HEALTH = b"GET /cab/health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


class Sample(NamedTuple):
    """What is seen of the proxy from outside at one moment."""

    at_s: float
    memory_mb: float
    descriptors: float
    lag_ms: float
    """Until it answers that it lives, on a connection of its own."""


class Growth(NamedTuple):
    """How a quantity changes."""

    name: str
    middle: float
    """Its median."""
    per_hour: float
    grown: float
    """Over the time that was watched."""
    allowed: float
    crowd: float
    """Its median while the crowd called."""
    at_end: float
    """Its median in the last tenth of the time."""

    @property
    def is_real(self) -> bool:
        """Whether it goes on growing: a slow moment of the machine is no more than the crowd was."""
        return self.grown > self.allowed and self.at_end > self.crowd


def growths(samples: list[Sample]) -> list[Growth]:
    """Return how memory, descriptors and lag change, without the first third: a crowd and caches fill up first.

    What is allowed is what noise comes to: a tenth of the memory, half as many descriptors again, a lag
    that doubles; for small values a fixed amount.
    """
    third, tenth = len(samples) // 3, max(len(samples) // 10, 1)
    rest = samples[third:]
    seconds = rest[-1].at_s - rest[0].at_s
    found = []
    for name, share, least in (("memory_mb", 0.1, 8), ("descriptors", 0.5, 32), ("lag_ms", 1.0, 2)):
        values = [float(getattr(sample, name)) for sample in samples]
        middle = statistics.median(values[third:])
        each_s = slope(
            [(sample.at_s, value) for sample, value in zip(samples, values, strict=True)][third:]
        )
        found.append(
            Growth(
                name,
                middle=middle,
                per_hour=each_s * 3600,
                grown=each_s * seconds,
                allowed=max(middle * share, least),
                crowd=statistics.median(values[: max(int(len(values) * CROWD), 1)]),
                at_end=statistics.median(values[-tenth:]),
            )
        )
    return found


def slope(points: list[tuple[float, float]]) -> float:
    """Return the median of the slopes between all pairs of points; outliers do not move it."""
    pairs = itertools.combinations(points, 2)
    return statistics.median((b - y) / (a - x) for (x, y), (a, b) in pairs if a != x)


def differences(ledger: Path, endings: Counter[str]) -> list[str]:
    """Return where the records of a ledger are not what clients saw.

    The last bytes may have left before the proxy sees that the client is gone: such a call has completed.
    """
    records: Counter[str] = Counter(
        "upstream_error" if call.status in {429, 500} else call.end_reason
        for call in iter_calls(ledger)
    )
    late = max(0, endings["client_gone"] - records["client_gone"])
    endings = endings + Counter(completed=late) - Counter(client_gone=late)
    return [
        f"{name}: {endings[name]} at the clients, {records[name]} in the ledger"
        for name in sorted(records | endings)
        if records[name] != endings[name]
    ]


def watch(contender: Contender, load: "subprocess.Popen[bytes]", interval_s: float) -> list[Sample]:
    """Return samples until the load ends."""
    pids, samples = processes.tree(list(contender.roots)), []
    while True:
        try:
            load.wait(interval_s)
        except subprocess.TimeoutExpired:
            memory = processes.memory_bytes(pids) / (1 << 20)
            lag_ms = statistics.median(_lag_ms(contender.port) for _ in range(5))
            files = processes.descriptors(pids)
            samples.append(Sample(time.monotonic(), memory, files, lag_ms))
        else:
            return samples


def _lag_ms(port: int) -> float:
    began_s = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(_HEALTH)
        while connection.recv(4096):
            pass
    return (time.monotonic() - began_s) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--share", type=float, default=0.5, help="of the calls that it can take")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cab-bench-", dir=ROOT))
    wrong, growing = soak(folder, options)
    if wrong or growing:
        print(*wrong, *growing, f"ledger and log are in {folder}", sep="\n")
        return 1 if wrong else 4
    shutil.rmtree(folder)
    return 0


def soak(folder: Path, options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Run it, print what is seen, and return what is wrong and what grows."""
    start = cab("--segment-max-bytes", str(SEGMENT_BYTES), workers=options.workers)
    with running_endpoint(folder) as endpoint, start(endpoint, folder) as proxy:
        fastest = measure(Load("calls", seconds=2, port=proxy.port, roots=proxy.roots))
        rate = fastest.counted / fastest.seconds * options.share / COST
        command = [sys.executable, "-m", "benchmarks.speed.soak_load", str(proxy.port)]
        command += [str(rate), str(options.seconds)]
        archive = folder / "archive"
        with (
            kept_up(proxy, archive, options.seconds) as upkeep,
            subprocess.Popen(command, stdout=subprocess.PIPE) as load,
        ):
            samples = watch(proxy, load, max(options.seconds / SAMPLES, 0.2))
            assert load.stdout
            said = orjson.loads(load.stdout.read())
    assert proxy.ledger
    endings = Counter(said["endings"]) + Counter(completed=fastest.answers)
    wrong = bring_back(proxy.ledger, archive, upkeep)
    wrong += differences(proxy.ledger, endings)
    surprises = [f"{what}, {count} times" for what, count in said["surprises"].items()]
    print(*surprises, sep="\n")
    if sum(said["surprises"].values()) > endings.total() * SURPRISES:
        wrong.append("calls ended otherwise than the endpoint answered them")
    segments = sum(".jsonl" in path.name for path in proxy.ledger.iterdir())
    verify(proxy.ledger)
    print(_sizes(proxy.ledger, endings.total()))
    print(f"{endings.total()} calls, {rate:.0f} a second, {segments} segments: {dict(endings)}")
    print(f"{upkeep.reloads} reloads, {upkeep.archives} archives of {upkeep.segments} segments")
    growing = []
    for growth in growths(samples):
        print(
            f"{growth.name}: {growth.middle:.1f}, {growth.per_hour:+.1f} an hour;"
            f" {growth.grown:+.2f} in this time, allowed {growth.allowed:.1f};"
            f" {growth.crowd:.1f} with the crowd, {growth.at_end:.1f} at the end"
        )
        if growth.is_real:
            growing.append(f"{growth.name} grows")
    return wrong, growing


def _sizes(ledger: Path, calls: int) -> str:
    """Return what a million such calls take on the disk."""
    plain, packed, open_segments = 0, 0, 0
    for segment in find_segments(ledger):
        size = sum(map(len, segment_lines(segment.path)))
        plain += size
        open_segments += 0 if segment.compressed else size
        packed += segment.path.stat().st_size if segment.compressed else 0
    packed = round(packed * plain / max(plain - open_segments, 1))
    return f"MB per million calls: {plain / calls:.0f}, compressed {packed / calls:.0f}"


if __name__ == "__main__":
    sys.exit(main())
