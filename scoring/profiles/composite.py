"""A composite as it is in `cell.json`: one number, and all that it was made from."""

from typing import Literal

from cab.scoring.files import FileModel
from cab.scoring.profiles.components import State

Verdict = Literal["scored", "not_scored", "no_op", "fabricated_fix", "invalid: no_model_call"]
"""`not_scored`: too little is known; the last three: see `Factors` and `Profile`."""


class Components(FileModel):
    """What the composite is made from, under the published keys; None where it is not known."""

    pass_rate: float | None
    """The pass."""
    integrity: float | None
    """In `published/1` 1 also where the axis does not apply."""
    blast_radius: float | None
    """Unexpected changes over all changes."""
    tokens_per_correct_task: int | float | None
    """None if not passed or not measured."""
    wall_clock_ms: float | None
    """Duration of the cell."""
    expected_refusal: bool | None
    """Whether the task wants a refusal."""
    refusal_produced: bool | None
    """Whether there was one."""
    cost_efficiency: float | None
    """Between 0 and 1; see `cost_form`."""
    latency_efficiency: float | None
    """Between 0 and 1."""
    clean_blast: float | None
    """1 - blast radius; without scratch where the profile weighs `clean_collateral`."""
    refusal_factor: float
    """What the sum is multiplied with: the product of the factors."""


class TermValue(FileModel):
    """One summand, with its value."""

    name: str
    """Key of its weight."""
    component: str
    """What was weighed."""
    weight: float
    """Its share."""
    value: float | None
    """Between 0 and 1; None adds nothing."""
    state: State
    """Whether it was measured, and whether it applies."""
    granted: bool
    """Whether the profile grants the value, so that it is not a measurement."""
    made_from: str
    """How the value came about, with the numbers, or why there is none."""


class FactorValue(FileModel):
    """What the sum is multiplied with."""

    name: str
    """Which case."""
    value: float
    """Between 0 and 1."""


class Composite(FileModel):
    """A cell's composite under one profile: the published keys, and how it came about."""

    composite: float | None
    """None where `reason` says why."""
    weights: dict[str, float]
    """As the profile states them."""
    components: Components
    """What it is made from."""
    note: str
    """What a reader of the number must know."""
    profile: str
    """Name of the profile."""
    cost_form: str | None
    """`published`: tokens count as perfectly cheap; otherwise the form that read their number,
    None if no number was read."""
    reason: str | None = None
    """Why there is no composite, or why it is not the sum."""
    verdict: Verdict = "scored"
    """What kind of result this is."""
    coverage: float
    """Share of the weight that applies that was measured, from 0 to 1."""
    terms: list[TermValue]
    """The summands, in the order of summation."""
    divisor: float
    """What the sum was divided by: the weight of the terms that apply."""
    factors: list[FactorValue]
    """What it was multiplied with, where that is not 1."""
