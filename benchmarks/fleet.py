"""What a sweep of many cells on many nodes costs the machine that runs it: real journal, scheduler, state and ledger
readers, and fake cells.

    python benchmarks/fleet.py [--cells 1000000] [--nodes 1000] [--failures 0.02] [--folder DIR] [--database URL]

Prints tables for docs/fleet.md. Each measure is a process of its own; seconds are those of the processor, so that what
else the machine does counts little. What it costs per cell is measured for a quarter, a half and all of the cells: where it
grows, something grows faster than its input. With --database the ledger is shipped to PostgreSQL as well.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cab.adapters.runs.run_cell import run_cell
from cab.adapters.runs.spec import CellSpec
from cab.adapters.sweeps.budget import spend_by_cell
from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome
from cab.adapters.sweeps.journal import Begin, End, Journal, read_journal
from cab.adapters.sweeps.lost import lost_results
from cab.adapters.sweeps.matrix import Slot
from cab.adapters.sweeps.scheduler import Metering, Scheduler, SchedulerServices
from cab.adapters.sweeps.state import SweepState, replay
from cab.adapters.sweeps.sweepfile import SweepFile
from cab.proxy.accounting.limits import KeyLimits
from cab.proxy.auth.cell_keys import CellKeys, mint_both
from cab.proxy.auth.signing_keys import new_signing_key, parse_signing_keys
from cab.proxy.ledger.chain import chain
from cab.scoring.ids import CellId
from cab.scoring.ledger.records import GENESIS
from cab.scoring.ledger.segments import find_segments
from cab.scoring.ledger.totals import CallTotals

CALLS_PER_CELL = 10
SEGMENT_BYTES = 64 << 20
TASK = "polyglot/python-error-handling"
CAB = "import sys; from cab.adapters.cli import main; sys.exit(main())"
AGENTS, MODELS, TASKS = 20, 10, 100


@dataclass(frozen=True)
class Fleet:
    """How large it is, and how often it fails."""

    cells: int
    nodes: int
    failures: float
    """Share of the attempts that end without a result, as those on a node that is gone do."""


def slots(fleet: Fleet) -> Iterator[Slot]:
    """Yield the slots of a sweep: runs of each task, model and agent, as a matrix gives them."""
    for n in range(fleet.cells):
        tui, rest = n % AGENTS, n // AGENTS
        model, rest = rest % MODELS, rest // MODELS
        task, run = rest % TASKS, rest // TASKS
        cell = CellId(
            "fleet", f"agent-{tui}", f"vendor/model-{model}", "family", f"task-{task}", run + 1
        )
        yield Slot(cell, f"agent-{tui}", cell.task_id)


def call_records(cell_id: str, calls: int = CALLS_PER_CELL) -> Iterator[dict[str, Any]]:
    """Yield START and END of the calls of a cell, as an agent's look."""
    for n in range(calls):
        start = {
            "schema": "cab.call/1",
            "kind": "start",
            "call_id": f"0198{hash((cell_id, n)) & (1 << 64) - 1:016x}-{n}",
            "cell_id": cell_id,
            "seq": n + 1,
            "started_at": f"2026-11-{1 + n:02d}T12:00:00.000000Z",
            "endpoint": "chat.completions",
            "stream": True,
            "request_hash": f"sha256:{n:064x}",
            "model_requested": "vendor/model-1",
        }
        counts = {"prompt_tokens": 12345, "completion_tokens": 321, "total_tokens": 12666}
        yield start
        yield {
            **start,
            **counts,
            "kind": "end",
            "ended_at": start["started_at"],
            "attempt": 1,
            "upstream_attempts": 1,
            "status": 200,
            "end_reason": "completed",
            "finish_reason": "tool_calls",
            "usage_source": "upstream",
            "usage_status": "complete",
            "usage_raw": counts,
            "latency_ms": 900.123,
            "ttft_ms": 210.5,
            "upstream_ms": 898.1,
            "proxy_ms": 2.023,
            "request_bytes": 45678,
            "response_bytes": 23456,
            "tool_calls": 1,
            "cost_usd": "0.0417",
        }


class FakeNodes:
    """An executor whose cells take no time: each writes the calls of its cell where a bundle would be, or fails."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self._folder = folder
        self._fleet = fleet
        self._chance = random.Random(1)
        # A folder is read after its run has returned: others are used meanwhile.
        self._free = deque(range(10 * fleet.nodes))

    async def run(self, job: CellJob) -> CellOutcome:
        node = self._free.popleft()
        await asyncio.sleep(0)
        self._free.append(node)
        if self._chance.random() < self._fleet.failures:
            return CellOutcome(state="failed", reason=f"node n{node} was lost")
        bundle = self._folder / f"n{node}"
        bundle.mkdir(parents=True, exist_ok=True)
        ends = [
            json.dumps(record) for record in call_records(job.cell_id) if record["kind"] == "end"
        ]
        (bundle / "calls.jsonl").write_text("\n".join(ends) + "\n")
        return CellOutcome(
            state="complete", bundle=str(bundle), succeeded=CALLS_PER_CELL, passed=True
        )

    async def cancel(self, cell_id: str) -> None:
        """Nothing runs."""

    async def stop(self) -> None:
        """Nothing runs."""

    async def end_left(self, cell_ids: Sequence[str]) -> None:
        """Nothing was left."""


class QuietListener:
    """Shows nothing."""

    follows = False

    def resumed(self, *_: object) -> None: ...

    def started(self, begin: Begin) -> None: ...

    def ended(self, end: End, duration_s: float, spend: CallTotals) -> None: ...

    def state(self, *_: object) -> None: ...

    def message(self, text: str) -> None:
        print(text, file=sys.stderr)

    def close(self) -> None: ...


def submit(folder: Path, fleet: Fleet) -> dict[str, float]:
    """Run a sweep: the scheduler, real keys, a real journal."""
    sweep = SweepFile(
        name="fleet", models=["m"], agents=["a"], tasks=["t"], jobs=fleet.nodes, retry_wait_s=0,
        retries=5, runs=-(-fleet.cells // (AGENTS * MODELS * TASKS)),
    )  # fmt: skip
    ring = parse_signing_keys(new_signing_key())

    def mint(cell_id: str, ttl_s: int, limits: KeyLimits) -> CellKeys:
        return mint_both(ring, cell_id, ttl_s, int(time.time()), limits)

    with Journal(folder / "journal.jsonl") as journal:
        services = SchedulerServices(
            sweep, folder, journal, SweepState(), FakeNodes(folder / "nodes", fleet),
            Metering("http://localhost", mint, folder / "ledger"), QuietListener(),
        )  # fmt: skip
        scheduler = Scheduler(services, slots(fleet), CallTotals())
        began = used_s()
        asyncio.run(scheduler.run())
    state = services.state
    if len(state.complete) != fleet.cells or scheduler.spend.calls != fleet.cells * CALLS_PER_CELL:
        sys.exit(f"{len(state.complete)} of {fleet.cells} cells, {scheduler.spend.calls} calls")
    size = (folder / "journal.jsonl").stat().st_size
    return {"s": used_s() - began, "bytes": size, "attempts": len(state.ended_attempts)}


def restart(folder: Path, fleet: Fleet) -> dict[str, float]:
    """Read the journal of a sweep, as its next session does."""
    began = used_s()
    state = replay(read_journal(folder / "journal.jsonl"))
    to_fill = [slot for slot in slots(fleet) if slot.id not in state.complete]
    return {"s": used_s() - began, "left": len(to_fill)}


def spent(folder: Path, fleet: Fleet) -> dict[str, float]:
    """Read what each cell has spent from the ledger, as the next session does."""
    began = used_s()
    cells = spend_by_cell(folder / "ledger")
    total = sum(cells.values(), CallTotals())
    assert total.calls == fleet.cells * CALLS_PER_CELL
    size = sum(segment.path.stat().st_size for segment in find_segments(folder / "ledger"))
    return {"s": used_s() - began, "bytes": size, "calls": total.calls}


def write_ledger(folder: Path, fleet: Fleet) -> dict[str, float]:
    """Write the ledger of a sweep."""
    (folder / "ledger").mkdir(exist_ok=True)
    began, prev, number, size = used_s(), GENESIS, 1, 0
    with contextlib.ExitStack() as stack:
        handle = stack.enter_context((folder / "ledger" / "w0-000001.jsonl").open("wb"))
        for slot in slots(fleet):
            if size > SEGMENT_BYTES:
                number, size = number + 1, 0
                handle = stack.enter_context((folder / f"ledger/w0-{number:06d}.jsonl").open("wb"))
            for record in call_records(slot.id):
                line, prev = chain(record, prev)
                size += handle.write(line)
    return {"s": used_s() - began}


def check_bundles(folder: Path, fleet: Fleet) -> dict[str, float]:
    """Check that the bundles of all results can be read, as the next session does; one real bundle stands for each."""
    del fleet
    spec = CellSpec(
        tui="scripted",
        model="demo",
        task=TASK,
        upstream="demo",
        sweep="s",
        run=1,
        runs=folder / "runs",
    )
    asyncio.run(run_cell(spec))
    state = SweepState(complete={str(n): f"s/scripted/demo/{TASK}#run1" for n in range(200)})
    began = used_s()
    if lost_results(folder, state):
        sys.exit("a whole bundle was not accepted")
    return {"s": used_s() - began, "bundles": 200}


def sync(folder: Path, fleet: Fleet) -> dict[str, float]:
    """Write journal entries to the disk: seconds of the clock, as it is the disk that is waited for."""
    del fleet
    with Journal(folder / "sync.jsonl") as journal:
        began_s = time.monotonic()
        for n in range(500):
            journal.write(Begin(slot=f"s/a/m/f/t#run{n + 1}", cell_id=f"s/a/m/f/t#run{n + 1}"))
        return {"s": time.monotonic() - began_s, "entries": 500}


STAGES: dict[str, Callable[[Path, Fleet], dict[str, float]]] = {
    each.__name__: each for each in (submit, restart, write_ledger, spent, check_bundles, sync)
}


def used_s() -> float:
    """Return the processor time of this process, all its threads, in s."""
    return time.process_time()


def stage(name: str, folder: Path, fleet: Fleet) -> dict[str, float]:
    """Run a stage in a process of its own; its result has the peak memory, `peak_mb`, too."""
    command = [sys.executable, __file__, "--stage", name, "--folder", str(folder)]
    options = ["--cells", str(fleet.cells), "--nodes", str(fleet.nodes)]
    done = subprocess.run(
        [*command, *options, "--failures", str(fleet.failures)],
        check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def ship(folder: Path, url: str) -> None:
    """Ship the ledger to a database; then once more, where there is nothing to do."""
    import psycopg  # noqa: PLC0415 - only who gives a database has it

    for what in ("all lines", "nothing new"):
        began_s, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        words = ["ledger", "ship", str(folder / "ledger"), "--to", url, "--once"]
        subprocess.run([sys.executable, "-c", CAB, *words], check=True, stdout=subprocess.DEVNULL)
        took_s = time.monotonic() - began_s
        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - used
        with psycopg.connect(url) as database:
            query = "SELECT pg_database_size(current_database()), (SELECT count(*) FROM cab.lines)"
            [(size, lines)] = database.execute(query).fetchall()
        print(
            f"shipped, {what}: {lines:,} lines, {took_s:.1f} s ({used:.1f} s of the processor here), "
            f"{lines / took_s:,.0f} lines/s, database {size / max(1, lines):.0f} bytes/line"
        )


def run(folder: Path, fleet: Fleet, database: str | None) -> None:
    print(
        "| cells | submit, us/cell | peak MB | journal, bytes/cell | restart, us/cell | peak MB |"
    )
    print("|---:|---:|---:|---:|---:|---:|", flush=True)
    for part in (4, 2, 1):
        here, size = folder / f"part{part}", replace(fleet, cells=fleet.cells // part)
        here.mkdir()
        submitted, again = stage("submit", here, size), stage("restart", here, size)
        per = 1e6 / size.cells
        print(
            f"| {size.cells:,} | {submitted['s'] * per:.0f} | {submitted['peak_mb']:.0f} "
            f"| {submitted['bytes'] / size.cells:.0f} | {again['s'] * per:.1f} | {again['peak_mb']:.0f} |",
            flush=True,
        )
    some = replace(fleet, cells=max(1, fleet.cells // 20))
    wrote, read = stage("write_ledger", folder, some), stage("spent", folder, some)
    print(
        f"\nledger of {some.cells:,} cells, {read['calls']:,.0f} calls: {read['bytes'] / read['calls']:.0f} bytes/call, "
        f"read in {read['s'] * 1e6 / read['calls']:.1f} us/call, peak {read['peak_mb']:.0f} MB "
        f"(written in {wrote['s']:.0f} s)"
    )
    bundles = stage("check_bundles", folder, fleet)
    print(f"a result's bundle is checked in {bundles['s'] * 1e3 / bundles['bundles']:.2f} ms")
    synced = stage("sync", folder, fleet)
    print(
        f"an entry of the journal is on this disk after {synced['s'] * 1e3 / synced['entries']:.2f} ms"
    )
    if database is not None:
        ship(folder, database)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--failures", type=float, default=0.02)
    parser.add_argument(
        "--folder", type=Path, help="on the disk to be measured; default: a temporary one"
    )
    parser.add_argument(
        "--database", help="URL of a PostgreSQL database that the ledger is shipped to"
    )
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    fleet = Fleet(args.cells, args.nodes, args.failures)
    if args.stage:
        found = STAGES[args.stage](args.folder, fleet)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({**found, "peak_mb": peak_mb}))
        return
    with tempfile.TemporaryDirectory(prefix="cab-fleet-", dir=args.folder) as folder:
        run(Path(folder), fleet, args.database)


if __name__ == "__main__":
    main()
