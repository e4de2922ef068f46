"""Runs Python as a user who is not root: root reads everything, so that nothing could be shown."""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.tools.readable import copy_modules, copy_python

NOBODY = 65534
_MODULES = os.pathsep.join(path for path in sys.path if path)


def identity() -> dict[str, Any]:
    """Return the arguments of `subprocess` that make a child another user than root."""
    if os.geteuid():
        return {}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def environment(**variables: str) -> dict[str, str]:
    """Return an environment in which our modules are found, and nothing else is set."""
    return {"PATH": os.environ["PATH"], **_runtime()[1], **variables}


def python() -> str:
    """Return an interpreter that the other user may start; it has our version of Python."""
    return _runtime()[0]


@functools.cache
def _runtime() -> tuple[str, dict[str, str]]:
    """Return an interpreter and the variables by which it finds our modules, all of it readable to the other user."""
    failed = ""
    for program, variables in candidates():
        words = [program, "-P", "-c", "import cab.adapters.runs.run_cell"]
        try:
            done = subprocess.run(
                words,
                env={"PATH": os.environ["PATH"], **variables},
                cwd="/",
                capture_output=True,
                text=True,
                check=False,
                **identity(),
            )
        except OSError as error:
            failed = str(error)
            continue
        if done.returncode == 0:
            return program, variables
        failed = done.stderr
    pytest.fail(f"no interpreter can be started by another user than root: {failed}")


def candidates() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what may be readable to others, and at last copies: this Python is often in a folder of root's."""
    of_system = f"/usr/bin/python3.{sys.version_info.minor}"
    yield sys.executable, {"PYTHONPATH": _MODULES}
    yield of_system, {"PYTHONPATH": _MODULES}
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder)
    modules = {"PYTHONPATH": str(copy_modules(folder / "modules"))}
    yield of_system, modules
    program = copy_python(folder / "python")
    yield str(program), {**modules, "LD_LIBRARY_PATH": str(program.parents[1] / "lib")}


def cab(*arguments: str) -> list[str]:
    """Return the words that run the command `cab`."""
    code = "import sys; from cab.adapters.cli import main; sys.exit(main())"
    return [python(), "-P", "-c", code, *arguments]


@contextmanager
def open_folder() -> Generator[Path]:
    """Make a folder in which any user may work."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def run(words: Sequence[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run words to their end as another user than root; they must succeed."""
    done = subprocess.run(
        words,
        cwd=folder,
        env=environment(HOME=str(folder), TMPDIR=str(folder), **variables),
        capture_output=True,
        text=True,
        check=False,
        **identity(),
    )
    assert done.returncode == 0, done.stderr
    return done
