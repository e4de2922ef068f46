"""What a worker says on its stdout, a line each: that it started, that it lives, how the cell ended.

    {"kind": "started", "node": "n1", "pid": 17}
    {"kind": "alive"}
    {"kind": "ended", "outcome": {...}, "bundle_bytes": 0}

With `bundle_bytes` above 0 so many bytes follow, and the end of a line: the bundle as a tar archive. Any other line is not the
worker's, such as what a login prints, and is passed over.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cab.adapters.sweeps.executors.protocol import CellOutcome

LINE_BYTES = 1 << 18
"""The longest line."""
REASON_CHARS = 4_000
BEATS = 6
"""Signs of life in the time after which a worker that gives none is lost."""
RECEIVED = b"received\n"
"""What the sweep answers once it has the bundle on disk: the worker then removes its own."""


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class WorkerStarted(_Said):
    """It runs, and has read its job."""

    kind: Literal["started"] = "started"
    node: str
    """The machine, as its cluster names it."""
    pid: int


class WorkerAlive(_Said):
    """It still runs."""

    kind: Literal["alive"] = "alive"


class WorkerEnded(_Said):
    """The cell has ended."""

    kind: Literal["ended"] = "ended"
    outcome: CellOutcome
    bundle_bytes: Annotated[int, Field(ge=0)] = 0
    """Size of the archive that follows."""


WorkerMessage = WorkerStarted | WorkerAlive | WorkerEnded
_MESSAGE: TypeAdapter[WorkerMessage] = TypeAdapter(
    Annotated[WorkerMessage, Field(discriminator="kind")]
)


def read_message(line: bytes) -> WorkerMessage | None:
    """Return what a line says; None if it is not a worker's."""
    if not line.startswith(b'{"kind":'):
        return None
    try:
        return _MESSAGE.validate_json(line)
    except ValidationError:
        return None


def write_message(message: WorkerMessage) -> bytes:
    """Return a message as a line."""
    if isinstance(message, WorkerEnded) and len(message.outcome.reason or "") > REASON_CHARS:
        reason = (message.outcome.reason or "")[:REASON_CHARS]
        outcome = message.outcome.model_copy(update={"reason": reason})
        message = message.model_copy(update={"outcome": outcome})
    return message.model_dump_json().encode() + b"\n"
