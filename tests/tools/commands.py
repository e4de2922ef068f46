"""Runs `cab`, `cab-proxy` and `pytest` as processes that are forked from one in which everything is imported already.

A new interpreter needs half a second of processor time before a command does anything. What is tested about the start
itself (what is imported, what an interpreter's variables do, how secrets leave the environment) needs a new
one; what is tested about the rest does not.
"""

import atexit
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

START_S = 60


def run_command(
    program: str,
    *arguments: str | Path,
    cwd: Path,
    env: Mapping[str, str],
    given: str = "",
    timeout_s: float = 120,
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end.

    Args:
        program: `cab`, `cab-proxy` or `pytest`.
        *arguments: What follows.
        cwd: Where it runs.
        env: Its whole environment; folders of PYTHONPATH are looked into first, as ever.
        given: Its input.
        timeout_s: Longest time that it may take; it is killed then.

    Raises:
        TimeoutError: It took longer.
    """
    words = [program, *map(str, arguments)]
    with (
        tempfile.TemporaryFile("w+") as stdin,
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+") as stderr,
        socket.socket(socket.AF_UNIX) as server,
    ):
        stdin.write(given)
        stdin.seek(0)
        server.connect(str(_server()))
        server.settimeout(timeout_s)
        told = json.dumps({"words": words, "cwd": str(cwd), "env": dict(env)}).encode()
        streams = [stream.fileno() for stream in (stdin, stdout, stderr)]
        socket.send_fds(server, [len(told).to_bytes(4, "big")], streams)
        server.sendall(told)
        with server.makefile() as answers:
            pid = int(answers.readline())
            try:
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, 9)
                raise
        for stream in (stdout, stderr):
            stream.seek(0)
        return subprocess.CompletedProcess(words, code, stdout.read(), stderr.read())


@functools.cache
def _server() -> Path:
    """Start the process that is forked; it ends with this one, whose end closes its standard input."""
    folder = Path(tempfile.mkdtemp(prefix="cab-commands-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAB_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.tools.command_server", str(folder / "socket")],
        cwd=Path(__file__).parents[2],
        env=kept,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    atexit.register(process.wait, START_S)
    atexit.register(process.stdin.close)
    assert process.stdout.readline() == b"ready\n"
    return folder / "socket"
