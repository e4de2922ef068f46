"""What an operator does to a proxy under load: reloads its settings, archives its ledger."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.contenders import Contender
from cab.proxy.ledger.archive.restoring import restore_ledger
from cab.scoring.ledger.archive.checkpoints import checkpoints
from cab.scoring.ledger.verify import verify_ledger

ROUNDS = 12
"""How often both are done in the time of a soak."""
_CAB = [sys.executable, "-c", "import sys; from cab.adapters.cli import main; sys.exit(main())"]


@dataclass(slots=True)
class Upkeep:
    """What was done."""

    reloads: int = 0
    archives: int = 0
    segments: int = 0
    """How many were archived."""
    wrong: str | None = None


@contextmanager
def kept_up(contender: Contender, to: Path, seconds: float) -> Iterator[Upkeep]:
    """Reload the settings and archive closed segments again and again, until the context is left.

    Args:
        contender: The proxy.
        to: Where segments are archived.
        seconds: How long the load takes.
    """
    done, stop = Upkeep(), threading.Event()
    thread = threading.Thread(target=_run, args=(contender, to, seconds / ROUNDS, done, stop))
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


def _run(
    contender: Contender, to: Path, every_s: float, done: Upkeep, stop: threading.Event
) -> None:
    command = [*_CAB, "ledger", "archive", str(contender.ledger), "--to", str(to)]
    while not stop.wait(every_s) and done.wrong is None:
        os.kill(contender.roots[0], signal.SIGHUP)
        done.reloads += 1
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            done.wrong = ran.stderr


def bring_back(ledger: Path, to: Path, done: Upkeep) -> list[str]:
    """Verify ledger and archive, and put them together again; return what is wrong."""
    wrong = [] if done.wrong is None else [f"archive: {done.wrong}"]
    found = checkpoints(ledger)
    done.archives = len(found)
    if not found:
        return [*wrong, "nothing was archived"]
    wrong += [
        f"{folder.name}: {f}" for folder in (ledger, to) for f in verify_ledger(folder).faults
    ]
    done.segments = restore_ledger(ledger, number=1).segments
    return wrong
