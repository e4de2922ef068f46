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
from cab.scoring.ledger.records import GENESIS
from cab.scoring.ledger.seals import seal_lines

TASK = "polyglot/python-error-handling"
AGENTS, MODELS, TASKS = 5, 4, 100
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
        agent, model = n % AGENTS, n // AGENTS % MODELS
        task, run = n // (AGENTS * MODELS) % TASKS, n // (AGENTS * MODELS * TASKS) + 1
        cell_id = f"sweep/agent-{agent}/vendor/model-{model}/family/task-{task}#run{run}"
        bundle = runs / cell_id
        bundle.mkdir(parents=True)
        for name in COPIED:
            shutil.copyfile(template_folder / name, bundle / name)
        identity = facts["identity"] | {
            "cell_id": cell_id,
            "sweep_id": "sweep",
            "tui": f"agent-{agent}",
            "model_build_id": f"vendor/model-{model}",
        }
        check = facts["check"] | {"passed": (task + agent + run) % 3 > 0}
        asked = facts["task"] | {"task_id": f"family/task-{task}"}
        cell = facts | {"identity": identity, "task": asked, "check": check}
        (bundle / "cell.json").write_text(json.dumps(cell))
        lines = slice_of(cell_id, n, size.calls)
        (bundle / "calls.jsonl").write_bytes(b"".join(lines))
        stated = {"cell_id": cell_id, **seal_lines(lines)}
        (bundle / "seal.json").write_text(json.dumps(seal | stated))
        size_bytes += sum(map(len, lines))
    return size_bytes


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
        write_scores = [sys.executable, "-c", CAB, "score", "--write", str(runs)]
        subprocess.run(write_scores, check=True, stdout=subprocess.DEVNULL)
        records = 2 * size.cells * size.calls
        print(f"{size.cells:,} cells, {records:,} call records, {size_bytes / 1e6:,.0f} MB\n")
        print("| | s | cells/s | records/s | peak MB |\n|---|---:|---:|---:|---:|")
        for what, command in rows(runs, size):
            took_s, peak_mb = min(measured(command) for _ in range(args.repeat))
            speed = f"{size.cells / took_s:,.0f} | {records / took_s:,.0f}"
            print(f"| {what} | {took_s:.1f} | {speed} | {peak_mb:.0f} |", flush=True)


if __name__ == "__main__":
    main()
