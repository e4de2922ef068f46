"""Runs the whole comparison and writes it to a page."""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.speed import live
from benchmarks.speed.contenders import ROOT
from benchmarks.speed.plot import plot
from benchmarks.speed.processes import Share
from benchmarks.speed.report import machine, report, write
from benchmarks.speed.rounds import CASES, Case, Rounds, run_round


def shrunk(cases: dict[str, Case], share: float) -> dict[str, Case]:
    """Return the cases with shorter loads of fewer connections."""
    return {
        name: case._replace(
            load=replace(
                case.load,
                connections=max(1, round(case.load.connections * share)),
                seconds=case.load.seconds * share,
            )
        )
        for name, case in cases.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.speed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1, help="of connections and seconds")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/performance.md")
    options = parser.parse_args()
    share, rounds = Share(), Rounds()
    for number in range(1, options.rounds + 1):
        print(f"round {number} of {options.rounds}", flush=True)
        with tempfile.TemporaryDirectory(prefix="cab-bench-", dir=ROOT) as folder:
            rounds.append(run_round(Path(folder), shrunk(CASES, options.share)))
        for name, load in live.LOADS.items():
            asked = replace(load, seconds=load.seconds * options.share)
            with tempfile.TemporaryDirectory(prefix="cab-bench-", dir=ROOT) as folder:
                rounds[-1].watched[name] = live.measure(Path(folder), asked, live.PAIRS)
    text = report(rounds, machine(share.of_others()))
    print(text)
    write(options.page, text)
    options.page.with_suffix(".svg").write_text(plot(rounds))


if __name__ == "__main__":
    main()
