"""Compares the proxy's processor time with that of a bare one, and with bounds that no change may raise.

    python -m benchmarks.speed.guard [--rounds 3] [--bounds FILE]

Exit code 1 if a ratio is above its bound. Only ratios, and of two programs in Python: `bare` says why not nginx,
whose ratio is printed beside them where it is installed.
"""

import argparse
import sys
import tempfile
import tomllib
from dataclasses import replace
from pathlib import Path

from benchmarks.speed.contenders import HERE, ROOT
from benchmarks.speed.load import Load
from benchmarks.speed.rounds import Case, Rounds, cpu_us, run_round

CASES = {
    "call": Case(Load("calls", seconds=2), ("nginx", "bare", "cab")),
    "event": Case(Load("streams", 100, seconds=2), ("nginx", "bare", "cab")),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="of each load")
    parser.add_argument("--bounds", type=Path, default=HERE / "guard.toml")
    options = parser.parse_args()
    bounds, rounds = tomllib.loads(options.bounds.read_text()), Rounds()
    cases = {
        name: case._replace(load=replace(case.load, seconds=options.seconds))
        for name, case in CASES.items()
    }
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="cab-bench-", dir=ROOT) as folder:
            rounds.append(run_round(Path(folder), cases))
    return judge(rounds, bounds)


def judge(rounds: Rounds, bounds: dict[str, float]) -> int:
    """Print the ratios beside their bounds; return 1 if one is above."""
    too_much = False
    for name, bound in bounds.items():
        ratio = rounds.ratio(name, "cab", "bare", cpu_us)
        to_nginx = rounds.ratio(name, "cab", "nginx", cpu_us)
        assert ratio is not None
        too_much |= ratio > bound
        beside = f" ({to_nginx:.2f} times nginx's)" if to_nginx else ""
        print(
            f"{name}: {ratio:.2f} times a bare proxy's processor time, at most {bound:.2f}{beside}"
        )
        if ratio < bound / 2:
            print("  less than half of what is allowed: lower the bound")
    return int(too_much)


if __name__ == "__main__":
    sys.exit(main())
