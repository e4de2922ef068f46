"""The same cell on this machine, outside-in and inside-out: the same score, and each a ledger that is the account."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cab.adapters.agents.registry import load_adapter
from cab.adapters.install.install import find_installed
from cab.scoring.cells.bundle import rescore
from tests.tools.containers import CHECKS, agent_image, not_here, require_image

pytestmark = [
    pytest.mark.containers,
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.xdist_group("outside"),
]

CAB = str(Path(sys.executable).with_name("cab"))
TASK = "polyglot/python-error-handling"
KEY = "sk-canary-0123456789abcdef"
WAYS = {
    "local": set[str](),
    "docker": set[str](),
    "inside": {"open-network", "same-container-checks"},
}


def command(way: str, tui: str, engine: str, image: str, runs: Path) -> list[str]:
    """Return the command line of a cell, as a user writes it."""
    cell = ["run-cell", "--json", "--tui", tui, "--model", "demo", "--task", TASK]
    if way == "local":
        return [CAB, *cell, "--runs", str(runs)]
    if way == "docker":
        boxed = ["--sandbox", "docker", "--engine", engine, "--image", image]
        return [CAB, *cell, "--runs", str(runs), *boxed]
    options = ["--rm", "--pull", "never", "--network", "none", "-v", f"{runs}:/runs"]
    return [engine, "run", *options, "-e", "CAB_ENDPOINT", "-e", "CAB_KEY", image, *cell]


def run(way: str, tui: str, engine: str, image: str, folder: Path) -> dict[str, Any]:
    """Run a cell, and return what does not depend on where it ran; its bundle scores here alike, byte for byte."""
    runs = folder / way
    runs.mkdir()
    done = subprocess.run(
        command(way, tui, engine, image, runs),
        env={**os.environ, "CAB_ENDPOINT": "demo", "CAB_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, (way, done.stderr)
    printed = json.loads(done.stdout.splitlines()[-1])
    assert printed["account"]["equal"], (way, printed["account"])
    assert printed["account"]["served"]["calls"] > 0
    [file] = runs.rglob("cell.json")
    assert rescore(file.parent) == file.read_bytes(), way
    texts = [path.read_bytes() for path in file.parent.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in text for text in texts), way
    cell = json.loads(file.read_bytes())
    identity, scorers = cell["identity"], cell["scorers"]
    assert identity["sandbox"] == way
    expected = WAYS[way]
    names = {each["name"] for each in identity["deviations"]}
    assert names == expected or (way == "local" and "no-boundary" in names), way
    assert identity.get("check_image") == (CHECKS if way == "docker" else None), way
    verdict = {name: scorers["pass_rate"][name] for name in ("pass", "exit_code", "partial_score")}
    calls = scorers["tokens"]["model_calls"]
    axes = {name: scorers[name] for name in ("blast_radius", "integrity", "refusal")}
    return {**verdict, **axes, "model_calls": calls}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tui", ["scripted", "aider", "qwen-code"])
def test_the_same_score_whichever_way(tui: str, engine: str, tmp_path: Path) -> None:
    """An agent of PyPI, one of npm and the scripted one: local, in a container, and inside the image as published."""
    image = agent_image("aider" if tui == "scripted" else tui)
    require_image(engine, image)
    if tui != "scripted" and find_installed(load_adapter(tui).facts) is None:
        not_here(f"{tui} is not installed; run: cab adapters install {tui}")

    found = {way: run(way, tui, engine, image, tmp_path) for way in WAYS}

    assert found["local"]["pass"] == 1
    assert found["docker"] == found["local"]
    assert found["inside"] == found["local"]
