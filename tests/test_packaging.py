"""What users install: every module and data file is in the wheel, and the wheel runs alone."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cab.adapters.install.images.contents import release_sbom
from cab.adapters.install.pypi import find_uv
from tests.tools import programs
from tests.tools.checkout import ROOMS, copy_checkout, repository_files

ROOT = Path(__file__).parents[1]
EPOCH_S = 1_780_000_000
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


run = partial(programs.run, hidden=("PYTHON", "COV", "CAB_"), timeout_s=None)

# One process of the suite builds the wheel, for all that need it.
pytestmark = [pytest.mark.packaging, pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist, as a release is, from a copy: a build writes beside its sources."""
    out = tmp_path_factory.mktemp("dist")
    run(*build_command(tmp_path_factory.mktemp("sources"), out), cwd=out)
    [built] = out.glob("*.whl")
    return built


def build_command(sources: Path, out: Path) -> list[str | Path]:
    """Return the command that builds a copy of the tree, as `.ci/release` does a commit."""
    return [sys.executable, ROOT / ".ci/build.py", copy_checkout(sources), out, str(EPOCH_S)]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that holds the wheel and nothing of this tree."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    run(folder / "bin/python", "-m", "pip", "install", "-q", wheel, cwd=folder)
    return folder / "bin"


def module_folders() -> Iterator[str]:
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            folder = file.parent.relative_to(ROOT)
            if "suite" not in folder.parts:
                yield "cab." + ".".join(folder.parts)


def test_every_folder_with_modules_is_a_listed_package() -> None:
    """A folder of modules that pyproject.toml does not list would be missing from the wheel."""
    assert set(module_folders()) == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_file_of_the_rooms_is_in_the_wheel(wheel: Path) -> None:
    """Each tracked file of the rooms, module or data, stands in the wheel under cab/."""
    expected = {f"cab/{name}" for name in repository_files() if name.split("/")[0] in ROOMS}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("cab/")}
    assert packed == expected
    assert "cab/__init__.py" not in packed


def test_the_same_files_are_built_to_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    """Sdist and wheel do not show who built them: not the folder, its owner's umask, nor the times of files."""
    (sources := tmp_path / "a folder of another length").mkdir()
    command = build_command(sources, tmp_path / "out")
    for number, file in enumerate(path for path in sources.rglob("*") if path.is_file()):
        file.chmod(0o600 | file.stat().st_mode & 0o100)
        os.utime(file, (number, number))
    umask = os.umask(0o077)
    try:
        run(*command, cwd=tmp_path)
    finally:
        os.umask(umask)
    built = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert built == {file.name: file.read_bytes() for file in wheel.parent.iterdir()}
    assert len(built) == 2


def test_a_release_lists_what_it_brings(installed: Path) -> None:
    """The bill of materials is of our package, and holds each distribution that was installed with it."""
    made = release_sbom(installed.parent)
    listing = run(installed / "python", "-m", "pip", "list", "--format=json", cwd=installed)
    pip_says = {each["name"].lower() for each in json.loads(listing)}
    components: Any = made["components"]
    metadata: Any = made["metadata"]
    version = PROJECT["project"]["version"]
    assert metadata["component"]["purl"] == f"pkg:pypi/coding-agent-bench@{version}"
    named = {each["name"].lower() for each in components}
    assert named == pip_says - {"coding-agent-bench", "pip", "setuptools"}


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_programs_of_others_are_checked(checker: str, installed: Path, tmp_path: Path) -> None:
    """A program that uses the three rooms is typed strictly from the wheel alone."""
    for name in ("tests/scoring/test_typed_api.py", "docs/examples/test_harness.py"):
        shutil.copy(ROOT / name, tmp_path)
    [adapter, *_] = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/agents.md").read_text(), re.DOTALL
    )
    (tmp_path / "my_agent.py").write_text(adapter)
    (tmp_path / "wrong.py").write_text("from cab.scoring import observe\nobserve(1)\n")
    command: list[str | Path]
    tool, python = Path(sys.executable).with_name(checker), installed / "python"
    if checker == "mypy":
        command = [
            tool,
            "--strict",
            "--cache-dir",
            tmp_path / "cache",
            "--python-executable",
            python,
        ]
    else:
        (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
        command = [tool, "--pythonpath", python]
    done = subprocess.run(
        [*command, "."], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    faults = [line for line in done.stdout.splitlines() if "error:" in line]
    assert len(faults) == 1, done.stdout + done.stderr
    assert "wrong.py" in faults[0]
    assert "Argument" in faults[0]


def test_the_wheel_runs_by_itself(installed: Path, tmp_path: Path) -> None:
    """Both commands run from the wheel, and score a cell from end to end."""
    assert "--upstream" in run(installed / "cab-proxy", "--help", cwd=tmp_path)
    printed = run(
        *(installed / "cab", "run-cell", "--tui", "scripted", "--upstream", "demo"),
        *("--task", "polyglot/python-error-handling", "--runs", tmp_path / "runs"),
        cwd=tmp_path,
    )
    assert "equal" in printed
    assert list((tmp_path / "runs").rglob("cell.json"))


def test_check_needs_no_installing(wheel: Path, tmp_path: Path) -> None:
    """`uvx --from WHEEL cab check` has a verdict on an endpoint in one line, and leaves nothing."""
    printed = run(
        *(find_uv() or "uv", "tool", "run", "--quiet", "--python", sys.executable),
        *("--from", wheel, "cab", "check", "--upstream", "demo", "--json"),
        cwd=tmp_path,
    )
    checked = json.loads(printed)
    assert checked["ready"] is True
    assert checked["verdict"].startswith("ready: 3 model calls metered, ")
    assert checked["cell"]["cell_id"].startswith("provisional/scripted/demo/")
    assert list(tmp_path.iterdir()) == []


def test_scoring_needs_pydantic_and_orjson_alone(wheel: Path, tmp_path: Path) -> None:
    """cab.scoring imports in an environment that has nothing but its two dependencies."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "-q", "pydantic", "orjson", cwd=tmp_path)
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel, cwd=tmp_path)
    run(python, "-c", "import cab.scoring", cwd=tmp_path)
