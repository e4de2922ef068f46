"""The process that `commands` forks: it has imported everything, and becomes one command after the other.

    python -m tests.tools.command_server SOCKET

It ends when its standard input does.
"""

import atexit
import contextlib
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import select
import signal
import socket
import socketserver
import sys
import termios
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

import jwt  # noqa: F401 - imported when a key is read first
import pytest

import cab.adapters.cli
import cab.proxy.cli.main
import cab.proxy.demo.__main__
import cab.scoring
from cab.proxy.tokens.encodings import DEFAULT_ENCODING, load_encoding

MAINS: dict[str, Callable[[], int]] = {
    "cab": cab.adapters.cli.main,
    "cab-proxy": cab.proxy.cli.main.main,
    "pytest": pytest.main,
    "demo": cab.proxy.demo.__main__.main,
}
_HEADER_BYTES = 4
_UNWRITTEN = 120
"""Exit code of Python where the end of its output cannot be written."""


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """One process per connection, which starts the command and waits for it."""

    max_children = 1000


class _Handler(socketserver.BaseRequestHandler):
    """Reads what to run; answers with the process's number and then its exit code."""

    request: socket.socket

    def handle(self) -> None:
        header, streams, *_ = socket.recv_fds(self.request, _HEADER_BYTES, 3)
        with self.request.makefile("rb") as given:
            told = json.loads(given.read(int.from_bytes(header, "big")))
        pid = os.fork()
        if pid == 0:
            self.request.close()
            _set_up(told, streams)
            _become(told["words"], told["env"])
        for stream in streams:
            os.close(stream)
        self.request.sendall(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        self.request.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _set_up(told: dict[str, Any], streams: list[int]) -> None:
    """Give this process its streams, its folder, its session and its limits."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, max(streams) + 1)
    os.chdir(told["cwd"])
    if told["session"]:
        os.setsid()
        if os.isatty(0):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if told["open_files"] is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (told["open_files"],) * 2)


def _become(words: list[str], env: dict[str, str]) -> NoReturn:
    """Run a command in this process, as a new interpreter would, and end with it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "utf-8")
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w", closefd=False)),
        "utf-8",
        "backslashreplace",
        line_buffering=True,
    )
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    sys.argv = words
    sys.path[:0] = [
        folder
        for folder in env.get("PYTHONPATH", "").split(os.pathsep)
        if folder and folder not in sys.path
    ]
    importlib.invalidate_caches()
    code = _code_of(MAINS[words[0]])
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    gc.collect()  # coroutines that nobody awaited are named
    for output in (sys.stdout, sys.stderr):
        try:
            output.flush()
        except OSError:
            code = _UNWRITTEN
        except ValueError:  # it is closed
            pass
    os._exit(code)


def _code_of(main: Callable[[], int]) -> int:
    try:
        return main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0
    except BaseException as error:  # noqa: BLE001 - an interpreter, too, shows whatever comes up
        sys.excepthook(type(error), error, error.__traceback__)
        return 1


def _import_all() -> None:
    """Import each module whose own imports are installed."""
    for package in (cab.scoring, cab.proxy, cab.adapters):
        for found in pkgutil.walk_packages(
            package.__path__, f"{package.__name__}.", onerror=lambda _: None
        ):
            if not found.name.endswith("__main__"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(found.name)


def main() -> None:
    """Serve until nobody is left who asks."""
    _import_all()
    load_encoding(DEFAULT_ENCODING)  # the demo server reads it when it starts
    gc.collect()
    gc.freeze()
    with _Server(sys.argv[1], _Handler) as server:
        print("ready", flush=True)
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            server.handle_request()
            server.service_actions()


if __name__ == "__main__":
    main()
