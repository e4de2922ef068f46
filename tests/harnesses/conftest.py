"""What the tests of real harnesses share."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from cab.proxy import RunningProxy, running_proxy
from cab.proxy.demo import Demo, running_demo
from cab.scoring import iter_records
from cab.scoring.ledger.totals import CellTotals, total_cells

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
ADMIN_TOKEN = "admin-of-the-tests-0123456789"


class Harnesses(NamedTuple):
    """Where `tests.harnesses.install` put them."""

    folder: Path

    async def run(self, *command: str | Path, cwd: Path, **variables: str) -> str:
        """Run a program of theirs that must succeed and return what it printed.

        It sees none of the variables that settle endpoints and keys, but those given.
        """
        own = ("CAB_", "OPENAI_", "ANTHROPIC_", "PYTEST_", "COV", "MSWEA_")
        seen = {name: text for name, text in os.environ.items() if not name.startswith(own)}
        path = f"{self.folder / 'venv/bin'}:{self.folder / 'node_modules/.bin'}:{seen['PATH']}"
        home = cwd / "home"
        home.mkdir(exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env=seen | {"PATH": path, "HOME": str(home)} | variables,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed = (await process.communicate())[0].decode()
        assert process.returncode == 0, printed
        return printed


@pytest.fixture(scope="session")
def harnesses() -> Harnesses:
    """The harnesses; skips the test, in CI fails it, if they are not there."""
    folder = Path(sys.prefix) / "harnesses"
    if not (folder / "venv/bin/harbor").exists():
        reason = "no harness is installed; run: make test-harnesses"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return Harnesses(folder)


@asynccontextmanager
async def metered_demo(folder: Path) -> AsyncGenerator[tuple[Demo, RunningProxy]]:
    """Run the demo model server with its account, and a proxy in front of it with a ledger in a folder."""
    async with (
        running_demo() as demo,
        running_proxy(
            upstream=demo.url, ledger=folder / "cab-ledger", auth="keys", admin_token=ADMIN_TOKEN
        ) as proxy,
    ):
        yield demo, proxy


def cells_of(folder: Path) -> dict[str, CellTotals]:
    """Return the totals of the cells in a folder's ledger, by the last part of their ids."""
    cells = total_cells(iter_records(folder / "cab-ledger"))
    return {str(cell).rpartition("/")[2]: totals for cell, totals in cells.items()}
