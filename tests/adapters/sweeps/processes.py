"""Sweeps and model servers as processes of their own, for tests that kill them."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[3]
CAB = "import sys; from cab.adapters.cli import main; sys.exit(main())"


def environment() -> dict[str, str]:
    """Return what the processes get: our modules, and no settings of whoever runs the tests."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CAB_")}
    return {**inherited, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}


@contextmanager
def process(
    *command: str | Path,
    ready: Path | None = None,
    **options: Any,
) -> Generator["subprocess.Popen[str]"]:
    """Run Python with some arguments until the block ends."""
    env = environment() | ({} if ready is None else {"TEST_READY": str(ready)})
    with subprocess.Popen([sys.executable, *command], text=True, env=env, **options) as started:
        try:
            yield started
        finally:
            started.kill()


def account_of(demo: str) -> dict[str, Any]:
    """Return what the model server says it served."""
    with urllib.request.urlopen(f"{demo}/demo/account") as answer:
        account: dict[str, Any] = orjson.loads(answer.read())
    return account
