"""How fast a sweep is scored: ten thousand bundles with a million call records, each measure a process.

    python benchmarks/scoring.py [--cells 10000] [--calls 50] [--folder DIR]

Prints a table for docs/performance.md. The bundles are copies of one real run of the built-in agent on
the demo server, under ids of their own, with slices and seals of as many calls as asked for. Seconds
are those of the processor, the least of three runs.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ledger import CAB, measured, records_of

from cab.proxy.ledger.chain import chain
from cab.scoring.ids import CellId
from cab.scoring.ledger.records import GENESIS
from cab.scoring.ledger.seals import seal_lines

TASK = "polyglot/python-error-handling"
AGENTS, MODELS = 5, 4
COPIED = ("before.json", "after.json", "changes.patch", "stdout.txt", "stderr.txt")

GROUPS = (
    "from pathlib import Path; from cab.scoring import aggregate, observe, score_path; import sys;"
    "cells = [observe(cell) for cell in score_path(Path(sys.argv[1]))];"
    "print(len(cells), len(aggregate(cells, by=('tui', 'model'))))"
)
STREAM = (
    "from pathlib import Path; from cab.scoring import score_path; import sys;"
    "print(sum(1 for _ in score_path(Path(sys.argv[1]))))"
)


class Size(NamedTuple):
    """How much there is to score."""

    cells: int
    calls: int
    """Of each cell; on average, if they vary."""
    tasks: int = 100
    sweeps: int = 1
    varies: bool = False
    """Whether cells differ in calls and duration, as real ones do."""

    def calls_of(self, n: int) -> int:
        """Return how many calls a cell has: from 1 to twice the average, less one, if they vary."""
        return 1 + 7 * n % (2 * self.calls - 1) if self.varies else self.calls

    def cell_of(self, n: int) -> CellId:
        """Return the id of a cell: first all agents and models, then all tasks, sweeps and runs."""
        rest, agent = divmod(n, AGENTS)
        rest, model = divmod(rest, MODELS)
        rest, task = divmod(rest, self.tasks)
        rest, sweep = divmod(rest, self.sweeps)
        names = f"agent-{agent}", f"vendor/model-{model}", "family", f"task-{task}"
        return CellId("sweep" if self.sweeps == 1 else f"sweep-{sweep}", *names, rest + 1)


def template(folder: Path) -> Path:
    """Run one cell for real; return its bundle."""
    run = ["run-cell", "--tui", "scripted", "--model", "demo", "--upstream", "demo"]
    command = [sys.executable, "-c", CAB, *run, "--task", TASK, "--runs", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    [cell] = folder.rglob("cell.json")
    return cell.parent


def write(template_folder: Path, runs: Path, size: Size) -> int:
    """Write the bundles; return the bytes of their slices."""
    facts = json.loads((template_folder / "cell.json").read_bytes())
    seal = json.loads((template_folder / "seal.json").read_bytes())
    size_bytes = 0
    for n in range(size.cells):
        bundle = runs / str(size.cell_of(n))
        bundle.mkdir(parents=True)
        for name in COPIED:
            shutil.copyfile(template_folder / name, bundle / name)
        size_bytes += write_cell(bundle, facts, seal, size, n)
    return size_bytes


def write_cell(
    bundle: Path, facts: dict[str, Any], seal: dict[str, Any], size: Size, n: int
) -> int:
    """Write what is a cell's own, made from another cell and its seal; return the bytes of its slice."""
    cell_id, count = size.cell_of(n), size.calls_of(n)
    identity = facts["identity"] | {
        "cell_id": str(cell_id),
        "sweep_id": cell_id.sweep,
        "tui": cell_id.tui,
        "model_build_id": cell_id.model,
    }
    task = n // (AGENTS * MODELS) % size.tasks
    check = facts["check"] | {"passed": (task + n % AGENTS + (cell_id.run or 0)) % 3 > 0}
    own = {"identity": identity, "task": facts["task"] | {"task_id": cell_id.task_id}}
    if size.varies:
        own["timing"] = facts["timing"] | {"duration_ms": 2000.125 * count + 3.003 * (n % 997)}
    (bundle / "cell.json").write_text(json.dumps(facts | own | {"check": check}))
    lines = slice_of(str(cell_id), n, count)
    (bundle / "calls.jsonl").write_bytes(b"".join(lines))
    stated = {"cell_id": str(cell_id), **seal_lines(lines)}
    (bundle / "seal.json").write_text(json.dumps(seal | stated))
    return sum(map(len, lines))


def write_scores(path: Path) -> None:
    """Have all cells of a folder state their own results."""
    command = [sys.executable, "-c", CAB, "score", "--write", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def slice_of(cell_id: str, n: int, count: int) -> list[bytes]:
    """Return the lines of a cell's calls, one after the other."""
    lines, prev = list[bytes](), GENESIS
    for record in calls(cell_id, n, count):
        line, prev = chain(record, prev)
        lines.append(line)
    return lines


def calls(cell_id: str, n: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield START and END of a cell's calls, two seconds apart."""
    for seq in range(1, count + 1):
        minute, second = divmod(2 * seq, 60)
        at = f"2026-11-01T12:{minute % 60:02d}:{second:02d}"
        yield from records_of(f"0198{n:08x}-7000-8000-{seq:012x}", cell_id, seq, at)


def rows(runs: Path, size: Size) -> Iterator[tuple[str, list[str]]]:
    """Yield what is measured: its name and its command."""
    python = [sys.executable, "-c"]
    score = [*python, CAB, "score", str(runs)]
    yield "`score_path`, one result after the other", [*python, STREAM, str(runs)]
    yield "`aggregate` by agent and model", [*python, GROUPS, str(runs)]
    yield "`cab score --json`", [*score, "--json"]
    yield "`cab score --by tui --by model`", [*score, "--by", "tui", "--by", "model"]
    if size.cells >= AGENTS * MODELS:
        pair = [str(runs / "sweep" / f"agent-{agent}") for agent in (0, 1)]
        yield "`cab compare` of two agents", [*python, CAB, "compare", *pair]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=50, help="per cell (50); two records each")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each measure (3)")
    parser.add_argument(
        "--folder", type=Path, help="where the bundles are written (a temporary one)"
    )
    args = parser.parse_args()
    size = Size(args.cells, args.calls)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        runs = Path(name) / "runs"
        size_bytes = write(template(Path(name) / "template"), runs, size)
        write_scores(runs)
        records = 2 * size.cells * size.calls
        print(f"{size.cells:,} cells, {records:,} call records, {size_bytes / 1e6:,.0f} MB\n")
        print("| | s | cells/s | records/s | peak MB |\n|---|---:|---:|---:|---:|")
        for what, command in rows(runs, size):
            took_s, peak_mb = min(measured(command) for _ in range(args.repeat))
            speed = f"{size.cells / took_s:,.0f} | {records / took_s:,.0f}"
            print(f"| {what} | {took_s:.1f} | {speed} | {peak_mb:.0f} |", flush=True)


if __name__ == "__main__":
    main()
