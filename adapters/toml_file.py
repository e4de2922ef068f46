"""Reads the TOML files that users write; every error names the file, the key and the fix."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cab.adapters.errors import AdapterError, nearest
from cab.scoring.validation import first_fault


class BadFile(AdapterError):
    """A file that cannot be used; names the file, the key and the fix."""

    def __init__(self, file: Path, reason: str, key: str | None = None) -> None:
        self.file = file
        self.key = key
        super().__init__(f"{file}: {f'{key}: ' if key else ''}{reason}")


def read_toml(file: Path, error_type: type[BadFile]) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        FileNotFoundError: There is no such file.
        BadFile: It cannot be read, or is not valid TOML; raised as `error_type`.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except NotADirectoryError as error:
        raise FileNotFoundError from error
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise error_type(file, f"cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise error_type(file, f"is not valid TOML: {error}") from error


def first_problem(error: ValidationError, what: str, known: Iterable[str]) -> tuple[str, str]:
    """Return the key of a model's first error, and the reason with the fix.

    Args:
        error: The model's.
        what: What the file declares, such as "a task".
        known: All keys, to name the one that was probably meant.
    """
    key, kind, message, _ = first_fault(error)
    if kind == "extra_forbidden":
        near = nearest(key, known)
        fix = f"did you mean {near!r}?" if near else "remove it"
        return key, f"is not a key of {what}; {fix}"
    if kind == "missing":
        return key, "is missing; add it"
    return key, message
