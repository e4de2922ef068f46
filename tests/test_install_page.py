"""docs/install.md: each of its commands installs CAB, on every supported Python of this machine."""

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cab.adapters.agents.base import PyPIInstall
from cab.adapters.install.pypi import find_uv
from cab.adapters.install.python import find_interpreter
from tests.tools import programs
from tests.tools.checkout import copy_checkout

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "install.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SUPPORTED = [(3, minor) for minor in (11, 12, 13, 14)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
UV = find_uv() or "uv"

CACHES = {"UV_CACHE_DIR": "uv", "PIP_CACHE_DIR": "pip"}
LOOK = "cab check --upstream demo"

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(900)]
run = partial(
    programs.run, hidden=("PYTHON", "COV", "CAB_", "PIPX_", "UV_", "XDG_"), timeout_s=None
)


def pythons() -> Iterator[Any]:
    """Yield the supported Pythons that this machine has."""
    for major, minor in SUPPORTED:
        found = find_interpreter(PyPIInstall("cab", "cab", (major, minor), (major, minor + 1)))
        if found:
            yield pytest.param(found.path, id=f"{major}.{minor}")


def script(folder: Path, commands: str) -> str:
    """Return a shell script that runs commands as a user with a new home, who has uv and pipx."""
    programs_of_user = {"uv": [UV], "pipx": [UV, "tool", "run", "--quiet", "pipx"]}
    for name, words in programs_of_user.items():
        path = folder / "home" / "programs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        path.chmod(0o755)
    # What was downloaded once is not downloaded again.
    caches = " ".join(f"{name}=$HOME/.cache/{which}" for name, which in CACHES.items())
    path = f"{folder}/home/programs:{folder}/home/.local/bin:{Path(sys.executable).parent}:$PATH"
    return f"set -e; export {caches}; export HOME={folder}/home PATH={path}\n{commands}"


@pytest.mark.parametrize("commands", BLOCKS, ids=lambda block: block.splitlines()[-1][:40])
def test_the_commands_install(commands: str, tmp_path: Path) -> None:
    """What the page shows, run as it stands in a checkout, gives a `cab` that meters calls."""
    checkout = copy_checkout(tmp_path / "checkout")
    printed = run("bash", "-c", script(tmp_path, commands + LOOK), cwd=checkout)
    assert "ready: 3 model calls metered" in printed


@pytest.mark.parametrize("python", pythons())
def test_each_supported_python(python: Path, tmp_path: Path) -> None:
    """CAB installs and meters calls on each supported Python that is here."""
    commands = f"uv venv -q --python {python} venv\nuv pip install -q --python venv/bin/python ."
    checkout = copy_checkout(tmp_path / "checkout")
    words = script(tmp_path, f"{commands}\nvenv/bin/{LOOK}")
    assert "ready: 3 model calls metered" in run("bash", "-c", words, cwd=checkout)


def test_the_page_names_what_is_supported() -> None:
    """The page has the Pythons that the package declares, and each extra with its packages."""
    named = [f"Programming Language :: Python :: {major}.{minor}" for major, minor in SUPPORTED]
    assert [line for line in PROJECT["classifiers"] if " 3." in line] == named
    assert "Python 3.11, 3.12, 3.13 or 3.14" in PAGE
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [*PROJECT["optional-dependencies"]]
