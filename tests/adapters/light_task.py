"""The bundled task that most cells of these tests are about, or another one, with two of its questions.

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
def light_task(task: str = TASK, *picked: int) -> str:
    """Return the folder of a copy: same name, same prompt, same reference answer.

    Args:
        task: The task.
        *picked: The numbers of its questions that stay; the first and the last one if none is given.
    """
    folder = Path(tempfile.mkdtemp(prefix="cab-light-task-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(suite_dir() / task, folder, dirs_exist_ok=True)
    cases = folder / "cases.toml"
    _, *texts = cases.read_text().split("[[cases]]")
    # Where the agent has changed nothing, the first one passes and the last one fails.
    cases.write_text("".join(f"[[cases]]{texts[number]}" for number in picked or (0, -1)))
    return str(folder)
