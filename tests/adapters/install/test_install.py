"""Installs of agents: real ones, of a tiny package that a folder serves as an index."""

import fcntl
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from cab.adapters.agents.base import PyPIInstall
from cab.adapters.errors import AgentNotInstalled, InstallFailed
from cab.adapters.install.install import (
    AGENT_FOLDER,
    STAMP,
    agents_folder,
    find_installed,
    install,
    require_installed,
    stamp,
)
from cab.adapters.install.pypi import find_uv
from tests.adapters.tiny import FACTS, HERE, serve, write_wheel

BUILT_IN = replace(FACTS, install=None)
WITH_BESIDE = PyPIInstall("cab-tiny-agent", "tiny", HERE, (3, HERE[1] + 1), extra=("cab-beside<2",))
UNFIT = replace(FACTS, install=PyPIInstall("cab-tiny-agent", "tiny", (3, 90), (3, 92)))

HAS_UV = find_uv() is not None
needs_uv = pytest.mark.skipif(not HAS_UV, reason="uv is not installed")


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index that is a folder, and a data folder of the test's own: no network, no traces."""
    folder = serve(tmp_path, monkeypatch)
    write_wheel(folder)
    return folder


@needs_uv
def test_installed_and_runs() -> None:
    """The agent gets an environment of its own, in which it runs; what is there is left as it is."""
    assert find_installed(FACTS) is None

    installed = install(FACTS)

    out = subprocess.run([installed.executable], check=True, capture_output=True, text=True).stdout
    assert out == "tiny 42\n"
    assert installed.version == "1.2.3"
    assert installed.executable == agents_folder() / "tiny-1.2.3" / "bin" / "tiny"
    assert require_installed(FACTS) == installed
    file = agents_folder() / "tiny-1.2.3" / STAMP
    assert orjson.loads(file.read_bytes()) == {"name": "tiny", "version": "1.2.3"}
    before = file.stat().st_mtime_ns
    assert install(FACTS) == installed
    assert file.stat().st_mtime_ns == before


@needs_uv
def test_half_install() -> None:
    """A folder that an install left half done is never taken for a whole one, and is made anew."""
    folder = agents_folder() / "tiny-1.2.3"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "leftover").write_text("x")
    assert find_installed(FACTS) is None
    for text in ("half a st", "{}", "[]", '{"version": "1.2.3"}'):
        (folder / STAMP).write_text(text)
        assert find_installed(FACTS) is None, text

    install(FACTS)

    assert find_installed(FACTS) is not None
    assert not (folder / "lib" / "leftover").exists()


@needs_uv
def test_python_removed_since(tmp_path: Path) -> None:
    """An agent whose Python has gone is not installed whole, and is made anew."""
    python = install(FACTS).executable.with_name("python")
    python.unlink()
    python.symlink_to(tmp_path / "gone")

    assert find_installed(FACTS) is None
    assert install(FACTS) == find_installed(FACTS)


@needs_uv
def test_waits_for_another_install() -> None:
    """Two installs at once: the second one waits, and finds it done."""
    lock = agents_folder() / "tiny-1.2.3.lock"
    lock.parent.mkdir(parents=True)
    code = (
        "import sys; from tests.adapters.tiny import FACTS; "
        "from cab.adapters.install.install import install; print('begun', flush=True); install(FACTS)"
    )
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        second = subprocess.Popen(
            [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True
        )
        assert second.stdout is not None
        assert second.stdout.readline() == "begun\n"
        assert find_installed(FACTS) is None
    with second:
        assert second.wait(60) == 0
    assert find_installed(FACTS) is not None


def test_built_in() -> None:
    """An agent that comes with the package needs no install."""
    assert install(BUILT_IN).executable == Path(sys.executable)
    assert find_installed(BUILT_IN) == install(BUILT_IN)
    assert not agents_folder().exists()


def test_not_installed() -> None:
    """A missing agent is named with the command that installs it."""
    with pytest.raises(AgentNotInstalled, match=r"tiny 1\.2\.3 .*cab adapters install tiny"):
        require_installed(FACTS)


def hostile_folder(place: Path) -> Path:
    """Make a folder whose modules and settings would end any install that heeds them."""
    place.mkdir()
    for module in ("venv", "pip", "ensurepip", "json"):
        (place / f"{module}.py").write_text("open('ran', 'w')\nraise SystemExit(3)\n")
    (place / "uv.toml").write_text('no-index = "neither"\n')
    return place


@needs_uv
def test_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that the user stands in rules no install, and none of its code runs."""
    place = hostile_folder(tmp_path / "place")
    monkeypatch.chdir(place)

    install(FACTS)

    assert not (place / "ran").exists()


@pytest.mark.slow
def test_with_pip(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without uv it is the same: the agent runs, with what is beside it, whatever the user has set."""
    for version in ("0.9", "2.0"):
        write_wheel(index, version, name="cab-beside")
    place = hostile_folder(tmp_path / "place")
    monkeypatch.chdir(place)
    monkeypatch.setenv("PIP_DRY_RUN", "1")
    for variable in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"):
        monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))

    installed = install(replace(FACTS, install=WITH_BESIDE), use_uv=False)

    out = subprocess.run([installed.executable], check=True, capture_output=True, text=True).stdout
    assert out == "tiny 42\n"
    assert installed == (agents_folder() / "tiny-1.2.3" / "bin" / "tiny", "1.2.3")
    assert require_installed(FACTS) == installed
    assert beside(installed.executable) == ["cab_beside-0.9.dist-info"]
    assert not (place / "ran").exists()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "use_uv", [pytest.param(True, marks=needs_uv), pytest.param(False, marks=pytest.mark.slow)]
)
def test_unknown_version(use_uv: bool) -> None:
    """What the index does not have is an error in one line, and the details are in the log."""
    with pytest.raises(InstallFailed) as caught:
        install(replace(FACTS, version="9.9.9"), use_uv=use_uv)

    assert "tiny was not installed: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.log is not None
    assert "9.9.9" in caught.value.log.read_text()
    assert find_installed(replace(FACTS, version="9.9.9")) is None


def test_no_python_that_fits() -> None:
    """Without a fitting Python, and without uv to fetch one, the fix is named."""
    with pytest.raises(
        InstallFailed, match=r"needs Python 3\.90 to 3\.91, which is not on this machine"
    ):
        install(UNFIT, use_uv=False)


@needs_uv
def test_no_python_for_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    """uv is asked for a Python, and its message is the reason."""
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")

    monkeypatch.setenv("PYENV_ROOT", "/nowhere")

    with pytest.raises(InstallFailed, match=r"uv: .*3\.91"):
        install(UNFIT)


@needs_uv
def test_extra(index: Path) -> None:
    """What the agent forgets to ask for is installed beside it, in the version that is named."""
    for version in ("0.9", "2.0"):
        write_wheel(index, version, name="cab-beside")

    installed = install(replace(FACTS, install=WITH_BESIDE))

    assert beside(installed.executable) == ["cab_beside-0.9.dist-info"]


def beside(executable: Path) -> list[str]:
    """Return which versions of `cab-beside` an agent's environment has."""
    library = executable.parent.parent / "lib"
    return [path.name for path in library.glob("*/*/cab_beside*.dist-info")]


@needs_uv
def test_other_build_of_the_version(index: Path) -> None:
    """A local build of a version satisfies an index, and is not the one that was asked for."""
    (index / "cab_tiny_agent-1.2.3-py3-none-any.whl").unlink()
    write_wheel(index, "1.2.3+patched")

    with pytest.raises(InstallFailed, match=r"the index gave 1\.2\.3\+patched, not 1\.2\.3"):
        install(FACTS)
    assert find_installed(FACTS) is None


def test_keys_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an index serves may run code: it sees no key of ours."""
    monkeypatch.setenv("CAB_KEY", "sk-canary")
    seen = tmp_path / "seen"
    for name in ("uv", "python3"):
        (tmp_path / name).write_text(f"#!/bin/sh\nenv > {seen}\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(InstallFailed, match="uv: no reason given"):
        install(FACTS)

    assert "canary" not in seen.read_text()
    assert "PIP_NO_INDEX" in seen.read_text()


def test_unwritable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data folder that cannot be made is named."""
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))

    with pytest.raises(InstallFailed, match="Not a directory"):
        install(FACTS)


def test_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without XDG_DATA_HOME the agents lie where data of the user belongs."""
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert agents_folder() == tmp_path / ".local" / "share" / "cab" / "agents"


def test_the_agent_of_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an image its one agent is installed, in the image's version; other agents are looked for as usual."""
    folder = tmp_path / "opt" / "agent"
    program = folder / "bin" / "tiny"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    stamp(folder, "tiny", "1.0.0")
    assert find_installed(FACTS) is None
    monkeypatch.setenv(AGENT_FOLDER, str(folder))
    assert require_installed(FACTS) == (program, "1.0.0")
    assert find_installed(replace(FACTS, name="other")) is None
    assert find_installed(BUILT_IN) == (program, "1.0.0")
    program.unlink()
    assert find_installed(FACTS) is None
