"""Pythons for agents."""

import sys
from pathlib import Path

import pytest

from cab.adapters.agents.base import PyPIInstall
from cab.adapters.install.python import find_interpreter, supports, versions_text

HERE = sys.version_info[:2]
ANY = PyPIInstall("x", "x", HERE, (HERE[0], HERE[1] + 1))
FUTURE = PyPIInstall("x", "x", (3, 90), (3, 92))


def fake_python(folder: Path, name: str, text: str) -> None:
    """Put a program that answers like a Python into a folder."""
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_own_python() -> None:
    """Our own Python serves if it fits."""
    found = find_interpreter(ANY)

    assert found is not None
    assert found.version[:2] == HERE


def test_newest_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest supported one is used; what is not a Python, or fails, is skipped."""
    fake_python(tmp_path, "python3", "echo 3 90 1")
    fake_python(tmp_path, "python3.90", "echo 3 90 4")
    fake_python(tmp_path, "python3.91", "echo pyenv: no such command >&2; exit 127")
    monkeypatch.setenv("PATH", str(tmp_path))

    found = find_interpreter(FUTURE)

    assert found == (tmp_path / "python3.90", (3, 90, 4))


def test_pyenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python of pyenv serves though its stand-in on the PATH leads nowhere."""
    for version in ("3.90.2", "3.91.7", "3.92.0"):
        folder = tmp_path / "pyenv" / "versions" / version / "bin"
        folder.mkdir(parents=True)
        fake_python(folder, "python", f"echo {version.replace('.', ' ')}")
    fake_python(tmp_path, "python3.91", "echo pyenv: no such command >&2; exit 127")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))

    found = find_interpreter(FUTURE)

    assert found is not None
    assert found.version == (3, 91, 7)


@pytest.mark.parametrize("text", ["echo hello", "echo 3", ""])
def test_no_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A program that answers otherwise is not a Python."""
    fake_python(tmp_path, "python3", text)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_interpreter(FUTURE) is None


def test_not_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be started is passed over."""
    (tmp_path / "python3").write_text("no program")
    (tmp_path / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_interpreter(FUTURE) is None


def test_supports() -> None:
    """The lower end is in, the upper one is not."""
    need = PyPIInstall("x", "x", (3, 10), (3, 13))

    assert [supports(need, (3, minor)) for minor in (9, 10, 12, 13)] == [False, True, True, False]
    assert versions_text(need) == "Python 3.10 to 3.12"
    assert versions_text(PyPIInstall("x", "x", (3, 12), (3, 13))) == "Python 3.12"
