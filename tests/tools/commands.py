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
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO

START_S = 60


class StartedCommand:
    """A command that was started: what `subprocess.Popen` offers, as far as tests need it.

    Args:
        words: The command line.
        answers: Where the server says its process's number and, once it has ended, its exit code.
        streams: Our ends of its standard streams; None for those that are no pipes.
    """

    def __init__(
        self, words: list[str], answers: socket.socket, streams: list[IO[str] | None]
    ) -> None:
        self.args = words
        self.stdin, self.stdout, self.stderr = streams
        self.returncode: int | None = None
        """Its exit code, or the negative number of the signal that ended it, once that was waited for."""
        self._answers = answers
        self._read = b""
        self.pid = self._answer(START_S)

    def poll(self) -> int | None:
        """Return its exit code; None if it runs."""
        with suppress(BlockingIOError):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code once it has ended.

        Raises:
            TimeoutError: It runs longer.
        """
        if self.returncode is None:
            self.returncode = self._answer(timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        # Who waits for it may have taken its exit code, and not said it yet.
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, if it runs."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Close its input and return what it prints, to its end, on standard output and standard error."""
        if self.stdin is not None:
            self.stdin.close()
        pool = ThreadPoolExecutor(2)
        reads = [
            pool.submit(stream.read if stream else str) for stream in (self.stdout, self.stderr)
        ]
        try:
            self.wait(timeout)
            out, err = (read.result(timeout) for read in reads)
        except TimeoutError:
            self.kill()
            raise
        finally:
            pool.shutdown(wait=False)
        return out, err

    def _answer(self, timeout_s: float | None) -> int:
        self._answers.settimeout(timeout_s)
        while b"\n" not in self._read:
            data = self._answers.recv(64)
            assert data, f"nobody waits for {self.args}"
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return int(line)


@contextmanager
def start_command(
    program: str,
    *arguments: str | Path,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    session: bool = False,
    open_files: int | None = None,
) -> Generator[StartedCommand]:
    """Start a command; it is killed when the block ends, if it still runs then.

    Args:
        program: A key of `command_server.MAINS`.
        *arguments: What follows.
        cwd: Where it runs; None is the current folder.
        env: Its whole environment, None for ours; folders of PYTHONPATH are looked into first, as ever.
        stdin: `PIPE`, `DEVNULL`, a descriptor, or None for ours.
        stdout: The same.
        stderr: The same.
        session: Whether it leads a session of its own, whose terminal its input is if that is one.
        open_files: How many descriptors it may have.
    """
    words = [program, *map(str, arguments)]
    request = {
        "words": words,
        "cwd": str(cwd or Path.cwd()),
        "env": dict(os.environ if env is None else env),
        "session": session,
        "open_files": open_files,
    }
    told = json.dumps(request).encode()
    with ExitStack() as ours:
        answers = ours.enter_context(socket.socket(socket.AF_UNIX))
        answers.connect(str(_server()))
        with ExitStack() as theirs:
            pairs = [
                _stream(number, wanted, ours, theirs)
                for number, wanted in enumerate((stdin, stdout, stderr))
            ]
            descriptors = [descriptor for descriptor, _ in pairs]
            socket.send_fds(answers, [len(told).to_bytes(4, "big")], descriptors)
            answers.sendall(told)
            # It has its ends of the pipes when it has said its number; ours are closed after that.
            command = StartedCommand(words, answers, [stream for _, stream in pairs])
        try:
            yield command
        finally:
            command.kill()
            command.wait(START_S)


def _stream(
    number: int, wanted: int | None, ours: ExitStack, theirs: ExitStack
) -> tuple[int, IO[str] | None]:
    """Return the descriptor that becomes a standard stream, and our end of it where it is a pipe."""
    if wanted == DEVNULL:
        return theirs.enter_context(Path(os.devnull).open("r+b", buffering=0)).fileno(), None
    if wanted != PIPE:
        return (number if wanted is None else wanted), None
    reading, writing = os.pipe()
    its, own, mode = (reading, writing, "w") if number == 0 else (writing, reading, "r")
    theirs.callback(os.close, its)
    return its, ours.enter_context(os.fdopen(own, mode, buffering=1))


def run_command(
    program: str,
    *arguments: str | Path,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    given: str = "",
    timeout_s: float = 120,
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, with `given` as its input; the rest as for `start_command`.

    Raises:
        TimeoutError: It took longer; it is killed.
    """
    with tempfile.TemporaryFile("w+") as stdin:
        stdin.write(given)
        stdin.seek(0)
        with start_command(
            program,
            *arguments,
            cwd=cwd,
            env=env,
            stdin=stdin.fileno(),
            stdout=PIPE,
            stderr=PIPE,
        ) as command:
            # To the end of both pipes: whoever the command leaves behind with them is noticed.
            out, err = command.communicate(timeout_s)
            return subprocess.CompletedProcess(command.args, command.wait(), out, err)


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
