"""The bundled task that most cells of these tests are about, with two of its questions.

Each question to a probe is two processes, so that all of them are most of what a cell costs.
"""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from cab.adapters.tasks.loader import suite_dir

TASK = "polyglot/python-error-handling"


@functools.cache
def light_task() -> str:
    """Return the folder of a copy: same name, same prompt, same reference answer."""
    folder = Path(tempfile.mkdtemp(prefix="cab-light-task-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(suite_dir() / TASK, folder, dirs_exist_ok=True)
    cases = folder / "cases.toml"
    _, passes, *_, fails = cases.read_text().split(
        "[[cases]]"
    )  # where the agent has changed nothing
    cases.write_text(f"[[cases]]{passes}[[cases]]{fails}")
    return str(folder)
