"""Programs that a benchmark runs beside itself."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROXY = (sys.executable, "-c", "import sys; from cab.proxy.cli.main import main; sys.exit(main())")
CAB = (sys.executable, "-c", "import sys; from cab.adapters.cli import main; sys.exit(main())")
START_S = 60


class Server(NamedTuple):
    """A server that runs."""

    pid: int
    start_s: float
    """From the start of its process until its port was open."""


@contextlib.contextmanager
def process(command: list[str], pattern: str) -> Iterator[str]:
    """Run a program; give what it printed that fits the pattern.

    Raises:
        RuntimeError: It ended before it printed that.
    """
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=_environment(),
    ) as running:
        assert running.stdout
        try:
            for line in running.stdout:
                if found := re.search(pattern, line):
                    yield found[1]
                    return
            raise RuntimeError(f"{command} ended")
        finally:
            running.terminate()
            running.wait(20)


@contextlib.contextmanager
def server(command: list[str], port: int, folder: Path) -> Iterator[Server]:
    """Run a server in a folder, which gets its log; give it when its port is open.

    Raises:
        RuntimeError: It ended, or its port was not open in `START_S`.
    """
    log, began_s = folder / "log.txt", time.monotonic()
    with (
        log.open("ab") as output,
        subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, env=_environment()
        ) as running,
    ):
        try:
            while not _is_open(port):
                if running.poll() is not None or time.monotonic() - began_s > START_S:
                    raise RuntimeError(f"{command[0]} does not listen: {log.read_text()[-2000:]}")
                time.sleep(0.005)
            yield Server(running.pid, time.monotonic() - began_s)
        finally:
            running.terminate()
            running.wait(60)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CAB_")}
