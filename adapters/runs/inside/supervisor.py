"""What container root does: it starts cab, and for cab the agent and the checks; it ends and reaps them.

A process of root that does these few things, and nothing else, is safer than a `cab` that keeps the
right to change users: `cab` reads what agents and endpoints send, and a fault in it would be a fault
of root. What `cab` can ask for here is bounded: a program as one of two users that are not its own,
signals to them, a folder of its own scratch or of the bundles for another user.

Only the standard library is imported.
"""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

from cab.adapters.runs.inside import messages, roles
from cab.adapters.runs.inside.messages import BadMessage
from cab.adapters.runs.inside.ownership import give, make_below, open_below
from cab.adapters.runs.inside.programs import (
    ROLE_NICENESS,
    CannotStart,
    Program,
    exit_code,
    living,
    signal_user,
    start,
)
from cab.adapters.runs.inside.roles import CabUser

FORWARDED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""Signals to the container, which cab gets."""

_SENDABLE = frozenset({0, signal.SIGTERM, signal.SIGKILL})
_KILL_S = 10.0
_POLL_S = 0.01
_CELL_MODE = 0o750
"""Of a cell's folder: cab may read it in later runs, agents of later cells may not."""


class InsideLayout(NamedTuple):
    """Users and folders of one container."""

    user: CabUser
    """Who cab runs as."""
    runs: Path = roles.RUNS
    scratch: Path = roles.SCRATCH


class Supervisor:
    """Serves one cab until it ends.

    Args:
        layout: Users and folders.
        channel: Socket to cab; None if there is no root, and so nothing to serve.
    """

    def __init__(self, layout: InsideLayout | None, channel: socket.socket | None) -> None:
        self._layout = layout
        self._channel = channel
        self._programs: dict[int, str] = {}
        self._cells: list[str] = []
        self._cab: int | None = None
        self._code: int | None = None
        self._asked: dict[str, Callable[[Mapping[str, Any], Sequence[int]], dict[str, Any]]] = {
            "start": self._start,
            "signal": self._signal,
            "give": self._give,
            "cell": self._cell,
        }

    def run(self, cab: Program, *, drop: bool) -> int:
        """Start cab and serve it; return its exit code once nothing of the others runs.

        Raises:
            CannotStart: It cannot be started.
        """
        wakeup = self._watch_signals()
        self._cab = start(cab, drop=drop)
        for number in cab.keep:
            os.close(number)
        try:
            while self._reap() is None:
                self._serve(wakeup)
        finally:
            self._end_all()
        return self._code if self._code is not None else 1

    def _watch_signals(self) -> int:
        read, write = os.pipe()
        for number in (read, write):
            os.set_blocking(number, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _wake)
        for number in FORWARDED:
            signal.signal(number, self._forward)
        return read

    def _forward(self, number: int, _: FrameType | None) -> None:
        if self._cab is not None and self._code is None:
            with suppress(OSError):
                os.kill(self._cab, number)

    def _serve(self, wakeup: int) -> None:
        waiting = [wakeup] if self._channel is None else [wakeup, self._channel.fileno()]
        ready, _, _ = select.select(waiting, [], [])
        if wakeup in ready:
            with suppress(BlockingIOError):
                os.read(wakeup, 4096)
        if len(ready) > (wakeup in ready):
            self._answer()

    def _answer(self) -> None:
        assert self._channel is not None
        try:
            received = messages.receive(self._channel)
        except (OSError, BadMessage):
            received = None  # the rest of the stream cannot be read either
        if received is None:
            self._hang_up()
            return
        message, descriptors = received
        try:
            reply = self._handle(message, descriptors)
        finally:
            for number in descriptors:
                os.close(number)
        self._send({"reply": reply})

    def _handle(self, message: Mapping[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
        try:
            return self._asked[message["ask"]](message, descriptors)
        except CannotStart as error:
            return {"error": str(error)}
        except OSError as error:
            return {"error": f"{error.filename or message['ask']}: {error.strerror or error}"}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            return {"error": f"container root does not do that: {error}"}

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._channel is not None:
            try:
                messages.send(self._channel, message)
            except OSError:
                self._hang_up()

    def _start(self, message: Mapping[str, Any], descriptors: Sequence[int]) -> dict[str, Any]:
        role, uid = message["role"], roles.UIDS[message["role"]]
        if role in self._programs.values():
            raise CannotStart(f"a program of {role} runs already")
        stdin, stdout, stderr = descriptors
        program = Program(
            argv=[str(word) for word in message["argv"]],
            env={str(name): str(value) for name, value in message["env"].items()},
            cwd=str(message["cwd"]),
            uid=uid,
            gid=uid,
            niceness=ROLE_NICENESS,
            limits={str(name): int(value) for name, value in message["limits"].items()},
        )
        pid = start(program, (stdin, stdout, stderr))
        self._programs[pid] = role
        return {"pid": pid}

    def _signal(self, message: Mapping[str, Any], _: Sequence[int]) -> dict[str, Any]:
        uid, number = roles.UIDS[message["role"]], message["number"]
        if number not in _SENDABLE:
            raise ValueError(f"signal {number}")
        if number:
            signal_user(uid, number, roles.SENDER_UID)
            time.sleep(_POLL_S)  # for some of them to end, or they would be counted
        self._reap()
        return {"alive": len(living(uid))}

    def _give(self, message: Mapping[str, Any], _: Sequence[int]) -> dict[str, Any]:
        assert self._layout is not None
        role, cab = message["role"], self._layout.user
        uid, gid = cab if role == roles.CAB else (roles.UIDS[role],) * 2
        self._require_nobody()
        folder = open_below(self._layout.scratch, str(message["path"]))
        try:
            give(folder, uid, gid, {cab.uid, *roles.UIDS.values()})
        finally:
            os.close(folder)
        return {}

    def _cell(self, message: Mapping[str, Any], _: Sequence[int]) -> dict[str, Any]:
        assert self._layout is not None
        runs, user, path = self._layout.runs, self._layout.user, str(message["path"])
        folder = make_below(runs, path)
        try:
            give(folder, *user, {user.uid, runs.stat().st_uid})
            os.fchmod(folder, _CELL_MODE)
        finally:
            os.close(folder)
        self._cells.append(path)
        return {}

    def _require_nobody(self) -> None:
        """Make sure that nobody can change a folder while it is given."""
        alive = [pid for uid in roles.UIDS.values() for pid in living(uid)]
        if alive:
            raise CannotStart(f"processes of the agent or the checks still run: {alive[:8]}")

    def _reap(self) -> int | None:
        """Take what has ended, also what lost its parent; return the exit code of cab once it has one."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    break
                if pid == self._cab:
                    self._code = exit_code(status)
                elif pid in self._programs:
                    del self._programs[pid]
                    self._send({"ended": pid, "code": exit_code(status)})
        return self._code

    def _end_all(self) -> None:
        self._hang_up()
        if self._layout is None:
            return
        end_s = time.monotonic() + _KILL_S
        while time.monotonic() < end_s and any(map(living, roles.UIDS.values())):
            for uid in roles.UIDS.values():
                signal_user(uid, signal.SIGKILL, roles.SENDER_UID)
            self._reap()
            time.sleep(_POLL_S)
        for path in self._cells:
            with suppress(OSError):
                _give_back(self._layout, path)


def _wake(_: int, __: FrameType | None) -> None:
    """Do nothing: a signal that has a handler ends the wait."""


def _give_back(layout: InsideLayout, path: str) -> None:
    """Give a cell to whom the folder of runs belongs; the group stays, so that cab can read it again."""
    owner, folder = layout.runs.stat().st_uid, open_below(layout.runs, path)
    try:
        give(folder, owner, layout.user.gid, {layout.user.uid})
    finally:
        os.close(folder)
