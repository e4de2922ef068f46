"""How long the pages of a large sweep take: ten thousand bundles, then ten of them changed.

    python benchmarks/report.py [--cells 10000] [--calls 20] [--tasks 100] [--sweeps 1] [--folder DIR]

Prints a table for docs/performance.md. The bundles are those of `benchmarks/scoring.py`, with calls and
durations that vary. Each row is one run of `cab report` as a process: seconds are those of the processor.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ledger import CAB, measured

from cab.scoring.files import read_object
from scoring import Size, template, write, write_cell, write_scores


class Place(NamedTuple):
    """Where a benchmark has its files."""

    template: Path
    runs: Path
    site: Path

    def change(self, size: Size, cells: range) -> None:
        """Give some cells another number of calls."""
        facts, seal = (read_object(self.template / name) for name in ("cell.json", "seal.json"))
        other = size._replace(calls=size.calls + 3)
        for n in cells:
            bundle = self.runs / str(size.cell_of(n))
            write_cell(bundle, facts, seal, other, n)
            write_scores(bundle)


def rows(place: Place, size: Size, changed: int) -> Iterator[str]:
    """Yield what each run is about, after what has to change before it."""
    yield "all cells are new"
    yield "nothing changed"
    # As many agents and models as possible: each changed cell touches other comparisons.
    place.change(size, range(0, size.cells, max(1, size.cells // changed - 1))[:changed])
    yield f"{changed} cells changed"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=20, help="of each cell, on average (20)")
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--sweeps", type=int, default=1)
    parser.add_argument("--changed", type=int, default=10, help="cells that change (10)")
    parser.add_argument("--folder", type=Path, help="where all is written (a temporary one)")
    args = parser.parse_args()
    size = Size(args.cells, args.calls, args.tasks, args.sweeps, varies=True)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        place = Place(template(folder / "template"), folder / "runs", folder / "site")
        size_bytes = write(place.template, place.runs, size)
        write_scores(place.runs)
        print(json.dumps(size._asdict()), f"{size_bytes / 1e6:,.0f} MB of calls\n")
        print("| | s | of the first | ms/cell | peak MB |\n|---|---:|---:|---:|---:|")
        command = [sys.executable, "-c", CAB, "report", str(place.runs), "-o", str(place.site)]
        first_s = 0.0
        for what in rows(place, size, args.changed):
            took_s, peak_mb = measured(command)
            first_s = first_s or took_s
            share = f"{took_s / first_s:.1%} | {1000 * took_s / size.cells:.1f}"
            print(f"| {what} | {took_s:.1f} | {share} | {peak_mb:.0f} |", flush=True)
        files = [file.stat().st_size for file in place.site.rglob("*") if file.is_file()]
        print(f"\n{len(files):,} files, {sum(files) / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
