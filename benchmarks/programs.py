"""Programs that a benchmark runs beside itself."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator

PROXY = (sys.executable, "-c", "import sys; from cab.proxy.cli.main import main; sys.exit(main())")


@contextlib.contextmanager
def process(command: list[str], pattern: str) -> Iterator[str]:
    """Run a program; give what it printed that fits the pattern."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CAB_")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    ) as running:
        assert running.stdout
        try:
            for line in running.stdout:
                if found := re.search(pattern, line):
                    yield found[1]
                    return
        finally:
            running.terminate()
            running.wait(20)
