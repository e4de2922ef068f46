"""The journal of a sweep, one JSON object per line: what was started, how it ended, and why.

    session   the sweep was started, with this file and these agents (CAB wrote `sitting` before)
    begin     an attempt at a cell was started
    end       it ended; `verdict` says how
    close     the session ended by itself, and why

A session without `close` was killed; so was a `begin` without `end`. An entry is on disk before the
sweep goes on; the last line may be cut off, and is then ignored.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cab.adapters.errors import AdapterError
from cab.proxy.ledger.file_lock import lock_file
from cab.scoring.timestamps import rfc3339

SCHEMA: Literal["cab.sweep/1"] = "cab.sweep/1"

AttemptOutcome = Literal["complete", "infrastructure", "budget", "stopped", "killed"]
"""How an attempt ended: with a result; failed by something that is not the agent; cut off by the
sweep's budget; ended because the sweep was stopped; killed with the sweep. Only the first is
scored."""


class BadJournal(AdapterError):
    """A journal that cannot be used."""


class _BaseEntry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["cab.sweep/1"] = Field(default=SCHEMA, alias="schema")
    at: str = Field(default_factory=lambda: rfc3339(time.time_ns()))
    """RFC 3339 UTC, microseconds."""


class Session(_BaseEntry):
    """The sweep was started, perhaps again."""

    kind: Literal["session", "sitting"] = "session"
    sweep: dict[str, Any]
    """The sweep file's keys, defaults included."""
    fingerprints: dict[str, str] = Field(validation_alias="made_of", serialization_alias="made_of")
    """Agents with their versions, tasks and plugins with digests of their files."""
    cab_version: str


class Begin(_BaseEntry):
    """An attempt was started."""

    kind: Literal["begin"] = "begin"
    slot: str
    """The place of the matrix that it is to fill."""
    cell_id: str
    """Names its bundle and its calls; each attempt has a number of its own."""


class End(_BaseEntry):
    """An attempt ended."""

    kind: Literal["end"] = "end"
    slot: str
    cell_id: str
    verdict: AttemptOutcome
    reason: str | None = None
    """Why it is not complete."""
    bundle: str | None = None
    """Its folder, below the sweep's; None if there is none."""
    passed: bool | None = None
    node: str | None = None
    """The machine of a cluster that it ran on; None on the sweep's own, or where it never ran."""
    calls: int | None = None
    tokens: int | None = None


class Close(_BaseEntry):
    """A session ended by itself."""

    kind: Literal["close"] = "close"
    reason: str


Entry = Session | Begin | End | Close
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="kind")])


def read_journal(file: Path) -> Iterator[Entry]:
    """Yield a journal's entries; none if there is no such file.

    Raises:
        BadJournal: It cannot be read, or a complete line is not an entry.
    """
    try:
        with file.open("rb") as handle:
            for number, line in enumerate(handle, 1):
                if line.endswith(b"\n"):
                    yield _entry(file, number, line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadJournal(f"{file} cannot be read: {error.strerror}") from error


def _entry(file: Path, number: int, line: bytes) -> Entry:
    try:
        return _ENTRY.validate_json(line)
    except ValidationError as error:
        raise BadJournal(
            f"{file}:{number}: is not an entry of a sweep's journal; repair the file, or give the "
            "sweep another folder"
        ) from error


class Journal:
    """A journal that is written by one sweep at a time.

    Args:
        file: The file; made if missing.

    Raises:
        BadJournal: Another sweep writes it, or it cannot be written.
    """

    def __init__(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._handle = file.open("ab")
        except OSError as error:
            raise BadJournal(f"{file} cannot be written: {error.strerror}") from error
        self._file = file
        if not lock_file(self._handle):
            self._handle.close()
            raise BadJournal(
                f"another cab sweep is writing to {file.parent}; wait for it, or stop it"
            )
        self._drop_partial_line()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._handle.close()

    def write(self, entry: Entry) -> None:
        """Add an entry; it is on disk when this returns."""
        self._handle.write(entry.model_dump_json(by_alias=True).encode() + b"\n")
        self._handle.flush()
        os.fsync(self._handle.fileno())

    def _drop_partial_line(self) -> None:
        """Remove the last line if a kill cut it short."""
        complete_bytes = 0
        with self._file.open("rb") as handle:
            for line in handle:
                complete_bytes += len(line) if line.endswith(b"\n") else 0
        self._handle.truncate(complete_bytes)
