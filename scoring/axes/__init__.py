"""The axes of a score, one small file each: facts in, the published keys out.

A published key keeps its name and its meaning. What CAB knows beyond that has new keys,
and is null on cells that were published without it.
"""

from cab.scoring.axes.blast_radius import BlastRadius as BlastRadius
from cab.scoring.axes.calls import Calls as Calls
from cab.scoring.axes.cost import Cost as Cost
from cab.scoring.axes.integrity import Integrity as Integrity
from cab.scoring.axes.latency import Latency as Latency
from cab.scoring.axes.pass_rate import PassRate as PassRate
from cab.scoring.axes.refusal import Refusal as Refusal
from cab.scoring.axes.tokens import SourceTokens as SourceTokens
from cab.scoring.axes.tokens import Tokens as Tokens
from cab.scoring.files import FileModel


class Axes(FileModel):
    """The axes of a cell: the six published ones, and two that published cells do not have.

    An axis is None where nothing of it was measured, as on a cell of another harness.
    """

    pass_rate: PassRate
    """Whether the task's own check passed."""
    tokens: Tokens
    """What the model calls cost."""
    latency: Latency | None
    """How long it took."""
    blast_radius: BlastRadius | None
    """What changed that should not have."""
    refusal: Refusal | None
    """Whether the agent asked where it should have."""
    integrity: Integrity | None
    """Whether it left alone what it must not touch."""
    calls: Calls | None = None
    """How the model calls went."""
    cost: Cost | None = None
    """What they cost in money."""


class KnownAxes(Axes):
    """The axes of a cell that CAB ran or that was published: all six are there."""

    # The models are frozen, which pyright does not see: no None can take their place.

    latency: Latency  # pyright: ignore[reportIncompatibleVariableOverride]
    """How long it took."""
    blast_radius: BlastRadius  # pyright: ignore[reportIncompatibleVariableOverride]
    """What changed that should not have."""
    refusal: Refusal  # pyright: ignore[reportIncompatibleVariableOverride]
    """Whether the agent asked where it should have."""
    integrity: Integrity  # pyright: ignore[reportIncompatibleVariableOverride]
    """Whether it left alone what it must not touch."""
