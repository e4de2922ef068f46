"""Lets this Python take the machine for a Mac: what only Linux has is missing, and /proc and /sys cannot be read.

The standard library and psutil are what they are on Linux; only what CAB asks of the system is another's.
"""

import fcntl
import os
import select
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import psutil  # before the platform is another's: it chooses its own parts by that

ONLY_LINUX = {
    os: (
        *(
            "fdatasync",
            "sched_getaffinity",
            "sched_setaffinity",
            "memfd_create",
            "setresuid",
            "setresgid",
        ),
        *(
            "getresuid",
            "getresgid",
            "posix_fallocate",
            "posix_fadvise",
            "pidfd_open",
            "eventfd",
            "pipe2",
        ),
        *("O_TMPFILE", "O_PATH", "O_DIRECT", "splice", "copy_file_range", "getxattr", "listxattr"),
        *("setxattr", "getrandom", "unshare", "setns"),
    ),
    signal: ("sigwaitinfo", "sigtimedwait"),
    socket: (
        *("AF_NETLINK", "AF_PACKET", "SO_PEERCRED", "SO_DOMAIN", "SO_PROTOCOL", "MSG_CMSG_CLOEXEC"),
        *("SOCK_CLOEXEC", "SOCK_NONBLOCK", "TCP_USER_TIMEOUT", "TCP_QUICKACK", "TCP_DEFER_ACCEPT"),
    ),
}
HIDDEN = ("/proc/", "/sys/")
LIBRARIES = (str(Path(psutil.__file__).parent), str(Path(os.__file__).parent / "platform.py"))


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """Raise what a Mac raises for a file that is not there."""
    if event not in {"open", "os.listdir", "os.scandir"} or not arguments:
        return
    path = arguments[0]
    if isinstance(path, str | bytes | os.PathLike):
        text = os.fsdecode(path)
        hidden = f"{text}/".startswith(HIDDEN)
        if hidden and not asked_by_a_library(sys._getframe(1)):
            raise FileNotFoundError(2, "No such file or directory", text)


def asked_by_a_library(frame: FrameType | None) -> bool:
    """Tell whether it was psutil, which reads on Linux what it asks the kernel for on a Mac."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(LIBRARIES):
            return True
        frame = frame.f_back
    return False


import asyncio  # noqa: E402, F401 - these choose their parts when they are imported, and have those of this machine
import ctypes.util  # noqa: E402, F401
import multiprocessing  # noqa: E402, F401
import shutil  # noqa: E402
import subprocess  # noqa: E402, F401
import sysconfig  # noqa: E402
import tempfile  # noqa: E402
import urllib.request  # noqa: E402, F401

sysconfig.get_config_vars()
setattr(tempfile, "_O_TMPFILE_WORKS", False)  # noqa: B010 - no stub knows it, as those below
setattr(shutil, "_copyxattr", lambda *_, **__: None)  # noqa: B010  # as where there are no extended attributes
setattr(fcntl, "F_FULLFSYNC", 51)  # noqa: B010 # refused here, as by a file system of the network there
del select.epoll
for module, names in ONLY_LINUX.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.addaudithook(refuse)
sys.platform = "darwin"
