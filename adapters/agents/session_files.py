"""Reads the session files that an agent left below its HOME; it may have put anything in their place."""

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from cab.adapters.agents.usage_reports import Object, as_object, json_lines
from cab.adapters.errors import BadSelfReport

MAX_BYTES: Final = 256 << 20
"""Size limit of a session file."""
TOTAL_BYTES: Final = 1 << 30
"""Size limit of all session files of a run."""
MAX_FILES: Final = 10_000
"""How many there may be."""

_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK


def read_session_file(path: Path, agent: str, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file; pipes, links and endless files are refused.

    Args:
        path: The file.
        agent: The agent's name, for the error.
        max_bytes: Size limit.

    Raises:
        BadSelfReport: It cannot be read, is not a regular file, or is too large.
    """
    try:
        with open(path, "rb", opener=_open_regular) as handle:
            data = handle.read(max_bytes + 1)  # it may grow, so its size is not checked before
    except (OSError, MemoryError) as error:
        raise BadSelfReport(f"{agent}'s {path.name} cannot be read: {error}") from error
    if len(data) > max_bytes:
        raise BadSelfReport(f"{agent}'s {path.name} cannot be read: it has over {max_bytes} bytes")
    return data


def session_objects(home: Path, pattern: str, agent: str) -> Iterator[Object]:
    """Yield the objects of files that hold one JSON object each, in the order of the files' names.

    Args:
        home: HOME of the run.
        pattern: Glob of the files below it; there may be none.
        agent: The agent's name, for the error.

    Raises:
        BadSelfReport: A file cannot be read, or does not hold a JSON object, as where the agent was
            stopped while it wrote.
    """
    for path, content in _contents(home, pattern, agent):
        try:
            data: object = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise BadSelfReport(f"{agent}'s {path.name} cannot be read: {error}") from error
        yield as_object(data, path.name, agent)


def session_lines(home: Path, pattern: str, agent: str) -> Iterator[Object]:
    """Yield the objects of files that hold one JSON object per line, in the order of the files' names.

    Args:
        home: HOME of the run.
        pattern: Glob of the files below it; there may be none.
        agent: The agent's name, for the error.

    Raises:
        BadSelfReport: A file cannot be read, or see `json_lines`.
    """
    for _, content in _contents(home, pattern, agent):
        yield from json_lines(content.decode(errors="replace"), agent)


def _contents(home: Path, pattern: str, agent: str) -> Iterator[tuple[Path, bytes]]:
    paths = sorted(islice(home.glob(pattern), MAX_FILES + 1))
    if len(paths) > MAX_FILES:
        raise BadSelfReport(f"{agent}'s files cannot be read: there are over {MAX_FILES}")
    left_bytes = TOTAL_BYTES
    for path in paths:
        content = read_session_file(path, agent, min(MAX_BYTES, left_bytes))
        left_bytes -= len(content)
        yield path, content


def _open_regular(name: str, flags: int) -> int:
    file = os.open(name, flags | _FLAGS)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError("it is not a regular file")
    return file
