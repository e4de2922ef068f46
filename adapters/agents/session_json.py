"""Reads files that an agent keeps of its sessions and that hold one JSON object each."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import orjson

from cab.adapters.agents.session_files import read_kept
from cab.adapters.agents.usage_reports import Object
from cab.adapters.errors import BadSelfReport


def kept_objects(home: Path, pattern: str, agent: str) -> Iterator[Object]:
    """Yield the objects of files that hold one each, file after file.

    Args:
        home: HOME of the run.
        pattern: Glob of the files below it; none need be there.
        agent: Its name, for the error.

    Raises:
        BadSelfReport: A file cannot be read, or holds no JSON object, as where the agent was stopped
            while it wrote.
    """
    for path in sorted(home.glob(pattern)):
        try:
            data: object = orjson.loads(read_kept(path, agent))
        except ValueError as error:
            raise BadSelfReport(f"{agent}'s {path.name} cannot be read: {error}") from error
        yield as_object(data, path.name, agent)


def as_object(data: object, what: str, agent: str) -> Object:
    """Return parsed JSON as an object.

    Raises:
        BadSelfReport: It is none.
    """
    if not isinstance(data, dict):
        raise BadSelfReport(f"{agent}'s {what} is no JSON object")
    return data  # pyright: ignore[reportUnknownVariableType]  # the names of JSON are strings


def objects_of(data: Object, key: str, agent: str) -> list[Object]:
    """Return a member that is a list of objects.

    Raises:
        BadSelfReport: It is absent, or none.
    """
    value: object = data.get(key)
    if not isinstance(value, list):
        raise BadSelfReport(f"{agent}'s token report has no list {key}")
    return [as_object(each, key, agent) for each in cast("list[object]", value)]
