"""Runs the commands of a page as a reader would paste them: its `sh` blocks, in order, from an empty folder.

What is not to be run stands on a page as an indented block, or in a block of another language.
"""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.tools.ports import free_port

PORT = "31415"
"""The proxy's default port; a run of a page has another one in its place."""

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shell_blocks(page: str) -> list[str]:
    """Return the blocks of a page that its reader pastes into a shell."""
    return _BLOCK.findall(page)


def run_page(page: str, folder: Path, timeout_s: float = 200) -> str:
    """Paste the commands of a page into one shell and return what they print; each must succeed.

    Args:
        page: Text of the page.
        folder: Empty folder, where they run. HOME is in it, too.
        timeout_s: Longest time that they may take.
    """
    blocks = shell_blocks(page)
    assert blocks, "the page has no commands"
    port = str(free_port())
    script = "\n".join(blocks).replace(PORT, port)
    (home := folder / ".home").mkdir()
    hidden = ("CAB_", "PYTHONPATH", "OPENAI_", "ANTHROPIC_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(hidden)}
    path = f"{Path(sys.executable).parent}:{kept.get('PATH', os.defpath)}"
    output = folder / ".output"
    with output.open("wb") as sink:
        shell = subprocess.Popen(
            ("bash", "-euo", "pipefail", "-c", script),
            cwd=folder,
            env={**kept, "PATH": path, "HOME": str(home), "CAB_PORT": port},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        code: int | None = shell.wait(timeout_s)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        # A page may have failed before it ended its own proxy.
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    printed = output.read_text(encoding="utf-8", errors="replace")
    assert code == 0, f"exit code {code} (None: not done in {timeout_s:g} s)\n{printed}"
    return printed
