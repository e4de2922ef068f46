"""Reading the files of a bundle: bounded, checked, and every fault named by file and field."""

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard, TypeVar, cast

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from cab.scoring.errors import BadRecord
from cab.scoring.introspection.texted_model import TextedModel
from cab.scoring.validation import first_fault, repeated_member

MAX_FILE_BYTES = 256 << 20
"""A manifest of 10^5 paths takes about 20 MB; a file far past that is not ours."""


StrPath = str | os.PathLike[str]
"""A path as callers from outside may give it."""


class FileModel(TextedModel):
    """A part of a file that CAB writes: immutable, and it keeps what a newer version added."""

    # Built on first use: whoever imports the room for one part of it does not wait for the others.
    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        populate_by_name=True,
        allow_inf_nan=False,
        defer_build=True,
        protected_namespaces=(),
    )


ModelT = TypeVar("ModelT", bound=BaseModel)


@contextmanager
def naming(path: Path) -> Generator[None]:
    """Turn an error of the disk into one that names the file."""
    try:
        yield
    except OSError as error:
        raise BadRecord(str(path), None, error.strerror or str(error)) from error


def check_regular(path: Path) -> int:
    """Return the size in bytes of a regular file.

    Raises:
        BadRecord: There is no such file, it is not a regular file, or it cannot be looked at.
    """
    with naming(path):
        facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise BadRecord(str(path), None, "is not a regular file")
    return facts.st_size


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        BadRecord: It cannot be read, is not a regular file, or is over the limit.
    """
    check_size(path)
    with naming(path):
        return path.read_bytes()


def check_size(path: Path) -> None:
    """Make sure that a file may be read whole.

    Raises:
        BadRecord: It is not a regular file, or is over the limit.
    """
    size_bytes = check_regular(path)
    if size_bytes > MAX_FILE_BYTES:
        raise BadRecord(
            str(path), None, f"{size_bytes} bytes are over the limit of {MAX_FILE_BYTES}"
        )


def parse_json(text: bytes, path: Path, line: int | None = None) -> object:
    """Return what a text holds.

    Args:
        text: JSON.
        path: File that it is from, for errors.
        line: Line that the text is, None if it is the whole file.

    Raises:
        BadRecord: It is not valid JSON, as `NaN` and the like are not, or a member is there twice.
    """
    try:
        data: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRecord(str(path), line or error.lineno, f"not valid JSON: {error.msg}") from error
    fault = repeated_member(text, data)
    if fault is not None:
        raise BadRecord(str(path), line, fault)
    return data


def read_json(path: Path) -> object:
    """Return what a JSON file holds.

    Raises:
        BadRecord: The file cannot be read, is over the limit, or is not valid JSON.
    """
    return parse_json(read_bytes(path), path)


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object that a file holds.

    Raises:
        BadRecord: As for `read_json`, or the file holds something else than an object.
    """
    data = read_json(path)
    if not is_object(data):
        raise BadRecord(str(path), None, "is not a JSON object")
    return cast("dict[str, Any]", data)


def is_object(data: object) -> TypeGuard[dict[str, object]]:
    """Return whether parsed JSON is an object."""
    return isinstance(data, dict)


def is_list(data: object) -> TypeGuard[list[object]]:
    """Return whether parsed JSON is a list."""
    return isinstance(data, list)


def walk(top: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder with the names of its subfolders and files, as `os.walk` does, in order.

    Raises:
        BadRecord: A folder cannot be searched: it may hold files that must not be passed over.
    """

    def fail(error: OSError) -> None:
        raise BadRecord(error.filename, None, error.strerror or str(error)) from error

    for folder, subfolders, files in os.walk(top, onerror=fail):
        subfolders.sort()
        yield Path(folder), subfolders, sorted(files)


def validated(
    model: type[ModelT], data: object, path: Path, at: str = "", line: int | None = None
) -> ModelT:
    """Return `data` as a model; types must be right, nothing is converted.

    Args:
        model: The model.
        data: Parsed JSON.
        path: File that the data is from, for the error.
        at: Field that the data is in, for the error.
        line: Line that the data is on, None if it is the whole file.

    Raises:
        BadRecord: A field is missing, of the wrong type or out of range.
    """
    try:
        return model.model_validate(data, strict=True)
    except ValidationError as error:
        fault = first_fault(error)
        field = ".".join(part for part in (at, fault.field) if part)
        raise BadRecord(str(path), line, fault.message, field=field or None) from error
