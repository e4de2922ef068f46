"""Gives up what container root may do, for good: called in a new process, before it becomes a program.

Only the standard library is imported: this runs as container root.
"""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)  # loaded before any fork

_CAPBSET_READ, _CAPBSET_DROP = 23, 24
_SET_NO_NEW_PRIVS = 38
_AMBIENT, _AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION = 0x20080522
_MOST_CAPABILITIES = 64
_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def become_user(uid: int, gid: int, groups: Sequence[int] = ()) -> None:
    """Make this process an ordinary user's without capabilities, which can never get any again.

    Args:
        uid: The user; not root.
        gid: Its group.
        groups: Its other groups.

    Raises:
        OSError: The container was not given the rights to do so (SETUID, SETGID, SETPCAP).
        RuntimeError: The kernel says that something is left.
    """
    _empty_bounding_set()
    os.setgroups(list(groups))
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)  # clears the permitted and effective sets
    _clear_sets()
    _prctl(_AMBIENT, _AMBIENT_CLEAR_ALL)
    _prctl(_SET_NO_NEW_PRIVS, 1)
    _require_nothing_left(uid, gid)


def _empty_bounding_set() -> None:
    for number in range(_MOST_CAPABILITIES):
        if _LIBC.prctl(_CAPBSET_READ, number, 0, 0, 0) == 1:
            _prctl(_CAPBSET_DROP, number)


def _clear_sets() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()
    if _LIBC.capset(header, data):
        raise _last_error()


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        raise _last_error()


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def _require_nothing_left(uid: int, gid: int) -> None:
    """Ask the kernel and not our own calls: a wrapper of a sandbox may answer that all went well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    held = [name for name in _SETS if int(status.get(name, "0"), 16)]
    users = {*status["Uid"].split(), *status["Gid"].split()}
    if held or status["NoNewPrivs"].strip() != "1" or not users <= {str(uid), str(gid)}:
        raise RuntimeError(f"the kernel kept rights of root ({', '.join(held) or 'users'})")
