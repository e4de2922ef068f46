"""A cell of a scripted agent, and what its bundle holds."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from cab.adapters.runs.bundle import read_marker
from cab.proxy.auth.signing_keys import new_signing_key

TASK = "polyglot/python-error-handling"
AGENTS = "tests.adapters.toyagents"
REAL_KEY = "sk-real-canary-0123456789"
SIGNING_KEY = "canary-" + new_signing_key()


def cell_of(bundle: Path) -> dict[str, Any]:
    """Return what a bundle's `cell.json` holds."""
    cell: dict[str, Any] = orjson.loads((bundle / "cell.json").read_bytes())
    return cell


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return [path.name for path in folder.iterdir()]


def files_of(folder: Path) -> Iterator[bytes]:
    """Yield the content of all files below a folder."""
    return (path.read_bytes() for path in folder.rglob("*") if path.is_file())


def span_of(cell: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """Return one span of a cell."""
    spans: list[dict[str, Any]] = cell["spans"]
    (span,) = [each for each in spans if (each["kind"], each["name"]) == (kind, name)]
    return span


def await_phase(bundle: Path, phase: str) -> None:
    """Return once a run is as far as that."""
    while (marker := read_marker(bundle)) is None or marker.phase != phase:
        time.sleep(0.01)
