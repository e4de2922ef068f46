"""Sweeps and model servers as processes of their own, for tests that kill them."""

import os
import sys
import urllib.request
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).parents[3]


def environment() -> dict[str, str]:
    """Return what the processes get: our modules, and no settings of whoever runs the tests."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CAB_")}
    return {**inherited, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}


def account_of(demo: str) -> dict[str, Any]:
    """Return what the model server says it served."""
    with urllib.request.urlopen(f"{demo}/demo/account") as answer:
        account: dict[str, Any] = orjson.loads(answer.read())
    return account
