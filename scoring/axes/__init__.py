"""The axes of a score, one small file each: facts in, the published keys out.

A published key keeps its name and its meaning. What CAB knows beyond that stands under new keys,
and is null on cells that were published without it.
"""

from cab.scoring.axes.blast_radius import BlastRadius
from cab.scoring.axes.calls import Calls
from cab.scoring.axes.cost import Cost
from cab.scoring.axes.integrity import Integrity
from cab.scoring.axes.latency import Latency
from cab.scoring.axes.pass_rate import PassRate
from cab.scoring.axes.refusal import Refusal
from cab.scoring.axes.tokens import SourceTokens, Tokens
from cab.scoring.files import FileModel

__all__ = [
    "Axes",
    "BlastRadius",
    "Calls",
    "Cost",
    "Integrity",
    "Latency",
    "PassRate",
    "Refusal",
    "SourceTokens",
    "Tokens",
]


class Axes(FileModel):
    """The axes of a cell: the six published ones, and two that published cells do not have."""

    pass_rate: PassRate
    """Whether the task's own check passed."""
    tokens: Tokens
    """What the model calls cost."""
    latency: Latency
    """How long it took."""
    blast_radius: BlastRadius
    """What changed that should not have."""
    refusal: Refusal
    """Whether the agent asked where it should have."""
    integrity: Integrity
    """Whether it left alone what it must not touch."""
    calls: Calls | None = None
    """How the model calls went."""
    cost: Cost | None = None
    """What they cost in money."""
