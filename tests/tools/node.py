"""Runs the scripts of tests/node, which make calls with the npm `openai` package."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest

from cab.proxy.ledger.file_lock import lock_file
from tests.tools.proxy import Meter

FOLDER = Path(__file__).parents[1] / "node"
INSTALL = ("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
INSTALL_LIMIT_S = 200


def not_here(reason: str) -> NoReturn:
    """Skip, but not in CI: there a missing tool would hide that nothing was tested."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def installed() -> bool:
    """Tell whether the versions that package.json names are there."""
    wanted = orjson.loads((FOLDER / "package.json").read_bytes())["dependencies"]
    found = {name: FOLDER / "node_modules" / name / "package.json" for name in wanted}
    return all(
        there.exists() and orjson.loads(there.read_bytes())["version"] == wanted[name]
        for name, there in found.items()
    )


def install_node() -> str:
    """Return node's path once the package is installed."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if found is None or npm is None:
        not_here("node and npm are missing: install Node.js 20 or newer to test the npm SDK")
    # Tests run in several processes: one installs, the others wait for it.
    with (FOLDER / "package.json").open() as package:
        lock_file(package, blocking=True)
        install_packages()
    return found


def install_packages() -> None:
    """Install what package.json names, unless it is there."""
    if not installed():
        done = subprocess.run(
            INSTALL,
            cwd=FOLDER,
            capture_output=True,
            text=True,
            timeout=INSTALL_LIMIT_S,
            check=False,
        )
        if done.returncode or not installed():
            not_here(f"npm cannot install what tests/node needs: {done.stderr.strip()[-300:]}")


async def run(
    node: str,
    meter: Meter,
    *steps: str,
    retries: int = 0,
    script: str = "calls.mjs",
    **env: str,
) -> list[Any]:
    """Run steps of a script; return what each printed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
    process = await asyncio.create_subprocess_exec(
        *(node, script, f"{meter.url}/v1", "own-key", str(retries), *steps),
        cwd=FOLDER,
        env={**kept, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(25):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    results = [orjson.loads(line) for line in out.splitlines()]
    assert len(results) == len(steps)
    return results
