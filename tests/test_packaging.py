"""What users install: every module and data file is in the wheel, and the wheel runs alone."""

import json
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cab.adapters.install.pypi import find_uv
from tests.tools import programs
from tests.tools.checkout import ROOMS, copy_checkout, repository_files

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


run = partial(programs.run, hidden=("PYTHON", "COV", "CAB_"), timeout_s=None)

# One process of the suite builds the wheel, for all that need it.
pytestmark = [pytest.mark.packaging, pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist, as a release is."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("dist")
    copy_checkout(sources)
    run(sys.executable, "-m", "build", "--outdir", out, sources, cwd=out)
    [built] = out.glob("*.whl")
    return built


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
