"""Secrets that this process was given, kept from other processes of the same user.

Another process of the same user reads `/proc/<pid>/environ`, which shows the memory that the
environment had at the start, also after a variable was unset. It can read the memory of a process too,
and its open files; a process that cannot be dumped is closed to all but root (prctl(2),
PR_SET_DUMPABLE; proc(5)).
"""

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from cab.proxy.errors import BadConfig
from cab.proxy.system.processes import environment_of, parent_of

MOST_BYTES = 1 << 16
"""Longest text that a key is read from."""

SECRET_VARIABLES = (
    *("CAB_KEY", "CAB_SIGNING_KEY", "CAB_ADMIN_TOKEN", "CAB_METRICS_TOKEN"),
    *("CAB_CELL_KEY", "PGPASSWORD"),
    *(f"OTEL_EXPORTER_OTLP_{signal}HEADERS" for signal in ("", "TRACES_", "METRICS_")),
)
"""Variables in which CAB's commands are given secrets."""

_PROC = Path("/proc")
_SET_DUMPABLE = 4
_CERTAIN_CHARS = 16  # a shorter text may be a part of any variable
_ENVIRONMENT_FIELDS = (47, 48)  # env_start and env_end, counted from the state on


def read_key(file: Path | None, descriptor: int | None) -> str | None:
    """Return the endpoint's key from a file or an open descriptor, without the white space around it.

    Args:
        file: A file, which may be a pipe; read to its end.
        descriptor: Number of an open descriptor, read to its end and closed.

    Returns:
        The key; None if neither is given.

    Raises:
        BadConfig: It cannot be read, or is empty, long, or no text.
    """
    if file is None and descriptor is None:
        return None
    place = f"--key-fd {descriptor}" if file is None else f"--key-file {file}"
    source = descriptor if file is None else file
    assert source is not None
    if source in (1, 2):
        raise BadConfig(f"{place} is for output; give a descriptor that is open for reading")
    return _read(source, place, "key")


def read_token(file: Path, place: str) -> str:
    """Return the token in a file, without the white space around it.

    Args:
        file: A file, which may be a pipe; read to its end.
        place: Where the file was named, for errors.

    Raises:
        BadConfig: It cannot be read, or is empty, long, or no text.
    """
    return _read(file, place, "token")


def _read(source: Path | int, place: str, what: str) -> str:
    try:
        with open(source, "rb") as handle:  # noqa: PTH123 - takes descriptors too
            data = handle.read(MOST_BYTES + 1)
        text = data.decode().strip()
    except OSError as error:
        raise BadConfig(f"{place} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadConfig(f"{place} is not valid UTF-8; give the {what} alone") from error
    if not text or len(data) > MOST_BYTES:
        fault = f"over {MOST_BYTES} bytes long" if text else "empty"
        raise BadConfig(f"{place} is {fault}; give the {what} alone")
    return text


def hide(secrets: Iterable[str | None], names: Iterable[str] = ()) -> None:
    """Make this process unreadable for others, and take secrets out of its environment.

    Children then inherit none of them.

    Args:
        secrets: Texts; a variable that is one of them, under whatever name, goes too.
        names: Variables that go whatever they hold.
    """
    texts = {secret for secret in secrets if secret}
    removed = {name for name, value in os.environ.items() if shows(value, texts)}
    removed |= os.environ.keys() & set(names)
    texts |= {os.environ.pop(name) for name in removed}
    _overwrite([os.fsencode(text) for text in texts if text])
    make_unreadable()


def make_unreadable() -> None:
    """Close this process's memory, environment and open files to all but root; no effect but on Linux."""
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def shown_by_parents(secret: str) -> list[int]:
    """Return the ids of the processes above this one whose environment, as we may read it, shows a secret."""
    return [pid for pid in _parents() if secret.encode() in (environment_of(pid) or b"")]


def shows(value: str, texts: Iterable[str]) -> bool:
    """Return whether a variable's value is one of some secrets, or shows one."""
    return any(value == text or (len(text) >= _CERTAIN_CHARS and text in value) for text in texts)


def _parents() -> Iterator[int]:
    pid: int | None = os.getppid()
    while pid:
        yield pid
        pid = parent_of(pid)


def _overwrite(texts: Iterable[bytes]) -> None:
    """Overwrite texts where the environment was when this process started."""
    if sys.platform != "linux":
        return
    fields = (_PROC / "self" / "stat").read_bytes().rpartition(b")")[2].split()
    start, end = (int(fields[index]) for index in _ENVIRONMENT_FIELDS)
    if not 0 < start < end:
        return
    memory = ctypes.string_at(start, end - start)
    for text in texts:
        # A short text may stand in any variable; what was its own is followed by a NUL.
        sought = text if len(text) >= _CERTAIN_CHARS else b"=" + text + b"\0"
        at = memory.find(sought)
        while at >= 0:
            ctypes.memset(start + at + sought.index(text), ord("x"), len(text))
            at = memory.find(sought, at + len(sought))
