"""What passes between a sweep and the process that talks to Ray for it, a line of JSON each."""

from pydantic import BaseModel, ConfigDict

from cab.adapters.sweeps.executors.protocol import CellJob, CellOutcome


class _BridgeLine(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BridgeStart(_BridgeLine):
    """The first line: which cluster."""

    address: str


class BridgeOrder(_BridgeLine):
    """One thing to do; the other member is null."""

    job: CellJob | None = None
    """An attempt to run."""
    cancel: str | None = None
    """Id of the cell of an attempt to end."""


class BridgeAnswer(_BridgeLine):
    """An attempt has ended."""

    cell_id: str
    outcome: CellOutcome
