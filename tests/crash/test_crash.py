import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from cab.proxy.ledger.recovery import recover
from cab.proxy.ledger.segments import segments
from tests.proxy.ledger.snapshot.ledgers import state_of
from tests.proxy.ledger.test_ledger import verify
from tests.proxy.restoring import restored

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "benchmarks" / "crash.py"


def can_mount() -> bool:
    """Tell whether a test may have a small disk of its own on this machine."""
    rootless = [] if os.geteuid() == 0 else ["--map-root-user"]
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "cab", "/mnt"]
    tried = subprocess.run(
        ["unshare", *rootless, "--mount", *mount], capture_output=True, check=False
    )
    return tried.returncode == 0


def crash(folder: Path, scenario: str, rounds: int, seconds: float = 1) -> dict[str, Any]:
    """Run the harness and return its figures."""
    done = subprocess.run(
        [
            *(sys.executable, str(HARNESS), "--scenario", scenario, "--rounds", str(rounds)),
            *("--seconds", str(seconds), "--folder", str(folder)),
        ],
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert done.stdout, done.stderr.decode()
    figures: dict[str, Any] = orjson.loads(done.stdout)
    assert figures["violations"] == []
    assert done.returncode == 0
    assert figures["rounds"] == rounds
    assert figures["answers_complete_at_clients"] > 0
    assert figures["starts"] == figures["ends"] >= figures["answers_complete_at_clients"]
    assert figures["tokens_in_ledger"] == figures["tokens_at_endpoint"] > 0
    return figures


def test_killed_under_load_it_loses_no_record_of_an_answer(tmp_path: Path) -> None:
    """SIGKILL at random moments: the chain holds, each complete answer has its END, each START has
    one, and the tokens are the endpoint's."""
    figures = crash(tmp_path, "kill", 3)
    assert figures["kills"] == 3
    assert figures["segments"] >= 2
    # What was kept beside the ledgers, also by a proxy that was killed, and what they hold behind that.
    for ledger in tmp_path.glob("ledger*"):
        assert state_of(restored(ledger, tmp_path / "cab-state")) == state_of(restored(ledger))


def test_ended_under_load_it_leaves_nothing_open(tmp_path: Path) -> None:
    """SIGTERM: calls in flight finish, later ones are refused, no call ends as a crash."""
    figures = crash(tmp_path, "term", 2)
    assert figures["crash_ends"] == 0


def test_files_that_may_not_grow_stop_calls_and_nothing_else(tmp_path: Path) -> None:
    """When files may not grow, calls get 503 and cost nothing; when they may, calls go on, and ends
    that could not be written are written late."""
    figures = crash(tmp_path, "limit", 2)
    assert figures["refused_with_503"] > 0
    assert figures["lost_records"] == figures["crash_ends"] == 0


@pytest.mark.parametrize(
    "scenario", ["full", "full-open", "readonly"] if can_mount() else ["limit"]
)
def test_on_a_disk_of_its_own(tmp_path: Path, scenario: str) -> None:
    """A disk that fills up, with either setting, and one that is read-only, lose no record."""
    figures = crash(tmp_path, scenario, 1)
    assert figures["lost_records"] == 0
    if scenario == "full-open":
        assert figures["late_records"] > 0
        assert figures["refused_with_503"] == 0


def test_slow_syncs_hold_answers_back_and_lose_nothing(tmp_path: Path) -> None:
    """With syncs that take long no answer is complete before its END is on disk; killed, it shows."""
    assert crash(tmp_path, "slow", 1)["kills"] == 1


def test_a_second_proxy_under_load_is_refused(tmp_path: Path) -> None:
    """A second proxy on the same ledger does not start, and the first one's calls do not notice."""
    figures = crash(tmp_path, "writers", 1, 0.1)
    assert figures["answers_broken_off"] == figures["crash_ends"] == 0


@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_loses_no_answered_record(tmp_path: Path, seed: int) -> None:
    """Of what was written and not yet durable any part may be gone, or be zeros: every record that
    append answered for is there after recovery, and every call has its END."""
    dice = random.Random(seed)
    printed = tick(tmp_path, dice)
    durable = {name: int(size) for name, size in re.findall(r"^D (\S+) (\d+)$", printed, re.M)}
    answered = set(re.findall(r"^A (\d+)$", printed, re.M))
    assert answered

    last = segments(tmp_path)[-1].path
    size = last.stat().st_size
    with last.open("r+b") as handle:
        handle.truncate(dice.randint(durable.get(last.name, 0), size))
        if dice.random() < 0.5:
            handle.truncate(size)  # a hole: what a file system makes of a length without its data
    recover(tmp_path)

    records = verify(tmp_path)
    ends = [record["call_id"] for record in records if record["kind"] == "end"]
    assert answered <= set(ends)
    assert sorted(ends) == sorted(r["call_id"] for r in records if r["kind"] == "start")


def tick(folder: Path, dice: random.Random) -> str:
    """Append to a ledger in another process, kill it at a random moment; return what it printed."""
    ticking = [sys.executable, "-m", "tests.crash.ticking", str(folder)]
    with subprocess.Popen(ticking, stdout=subprocess.PIPE, text=True, cwd=ROOT) as running:
        assert running.stdout
        wanted = dice.randint(20, 400)
        printed = [line for line, _ in zip(running.stdout, range(wanted), strict=False)]
        running.kill()
        return "".join([*printed, *running.stdout])
