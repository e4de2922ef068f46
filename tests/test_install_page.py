"""docs/install.md: each of its commands installs CAB, on every supported Python of this machine."""

import re
import shlex
import sys
import tomllib
from functools import partial
from pathlib import Path

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


def script(folder: Path, commands: str) -> str:
    """Return a shell script that runs commands as a user with a new home, who has Python, uv and pipx."""
    pipx = [UV, "tool", "run", "--quiet", "pipx"]
    for name, words in {"python3": [sys.executable], "uv": [UV], "pipx": pipx}.items():
        path = folder / "home" / "programs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        path.chmod(0o755)
    # What was downloaded once is not downloaded again.
    caches = " ".join(f"{name}=$HOME/.cache/{which}" for name, which in CACHES.items())
    searched = f"{folder}/home/programs:{folder}/home/.local/bin:/usr/local/bin:/usr/bin:/bin"
    return f"set -e; export {caches}; export HOME={folder}/home PATH={searched}\n{commands}"


@pytest.mark.parametrize("commands", BLOCKS, ids=lambda block: block.splitlines()[-1][:40])
def test_the_commands_install(commands: str, tmp_path: Path) -> None:
    """What the page shows, run as it stands in a checkout, gives a `cab` that meters calls."""
    checkout = copy_checkout(tmp_path / "checkout")
    words = script(tmp_path, f"{commands}command -v cab\n{LOOK}")
    printed = run("bash", "-c", words, cwd=checkout)
    assert f"{tmp_path}/home/" in printed
    assert "ready: 3 model calls metered" in printed


def test_each_supported_python(tmp_path: Path) -> None:
    """CAB installs and meters calls on each supported Python that this machine has."""
    checkout = copy_checkout(tmp_path / "checkout")
    wanted = [PyPIInstall("cab", "cab", version, (3, version[1] + 1)) for version in SUPPORTED]
    found = [python for python in map(find_interpreter, wanted) if python]
    assert found
    for python in found:
        venv = tmp_path / f"venv-{python.version[1]}"
        commands = f"uv venv -q -p {python.path} {venv}; uv pip install -q -p {venv}/bin/python ."
        printed = run(
            "bash", "-c", script(tmp_path, f"{commands}; {venv}/bin/{LOOK}"), cwd=checkout
        )
        assert "ready: 3 model calls metered" in printed


def test_the_page_names_what_is_supported() -> None:
    """The page has the Pythons that the package declares, and each extra with its packages."""
    named = [f"Programming Language :: Python :: {major}.{minor}" for major, minor in SUPPORTED]
    assert [line for line in PROJECT["classifiers"] if " 3." in line] == named
    assert "Python 3.11, 3.12, 3.13 or 3.14" in PAGE
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == [*PROJECT["optional-dependencies"]]
