"""What a profile is: a named, versioned formula, as data.

    composite = factors * (sum of weight * value over the terms) / (weight of the terms that apply)

A term that was not measured adds nothing and stays in the divisor, so that hiding a figure never
raises a score; a term that does not apply to the task leaves the sum and the divisor. A profile may
grant a value instead, as the published one does.
"""

from collections.abc import Iterable
from math import fsum
from typing import Annotated, Final, Literal, Self, cast

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from cab.scoring.introspection.texted_model import TextedModel

PROFILE_SCHEMA: Final = "cab.profile/1"
"""Schema tag of a profile in a file."""

Component = Literal[
    "pass_rate",
    "integrity",
    "refusal",
    "cost_efficiency",
    "published_cost_efficiency",
    "usd_efficiency",
    "latency_efficiency",
    "clean_blast",
    "clean_collateral",
]
"""What can be weighed; `cab.scoring.profiles.components` says how each is read from the axes."""

UNITS: Final = {
    "cost_efficiency": "tokens",
    "published_cost_efficiency": "tokens",
    "usd_efficiency": "US dollars",
    "latency_efficiency": "seconds",
}
"""Components that have a unit: they are 1 / (1 + log10(1 + amount / unit))."""

Fraction = Annotated[float, Field(ge=0, le=1)]


class _Data(TextedModel):
    # A key that is not known is a slip of the pen, and would change the number without a word.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True
    )


class Term(_Data):
    """One summand."""

    name: Annotated[str, Field(min_length=1)]
    """Key of its weight."""
    weight: Annotated[float, Field(gt=0, le=1)]
    """Share of the whole; a profile's weights add up to 1."""
    component: Component
    """What is weighed: a value between 0 and 1."""
    unit: Annotated[float, Field(gt=0)] | None = None
    """Amount per unit, of the components in `UNITS`."""
    required: bool = False
    """Whether there is no composite while this is not known."""
    needs_pass: bool = False
    """Whether it is worth 0 where the task did not pass: being quick at failing is no merit."""
    if_unmeasured: Fraction | None = None
    """Value granted where it was not measured; None grants nothing."""
    if_not_applicable: Fraction | None = None
    """Value granted where it does not apply; None takes the term out of the sum."""

    @model_validator(mode="after")
    def _has_its_unit(self) -> Self:
        if (self.component in UNITS) is (self.unit is None):
            needs = f"in {UNITS[self.component]}" if self.component in UNITS else "not to be given"
            raise ValueError(f"the unit of {self.component} is {needs}")
        return self


class Factors(_Data):
    """What the sum is multiplied with in the cases named; 1 changes nothing."""

    broken_integrity: Fraction = 1.0
    """A protected file was touched, or the check found a violation."""
    fabricated_fix: Fraction = 1.0
    """Sources were changed where a refusal was due."""
    no_op: Fraction = 1.0
    """Nothing was changed, scratch aside, where a change was due."""


def _as_tuple(terms: object) -> object:
    """Return a list as a tuple: files have no tuples, and nothing else is converted."""
    return tuple(cast("list[object]", terms)) if isinstance(terms, list) else terms


class Profile(_Data):
    """A versioned formula. A number that changes is a new version, never a changed profile."""

    profile_schema: Literal["cab.profile/1"] = Field(default=PROFILE_SCHEMA, alias="schema")
    """Always `cab.profile/1` today."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[1-9][0-9]*$")]
    """`<name>/<version>`."""
    note: str
    """What a reader of the number must know."""
    min_coverage: Fraction = 0.0
    """Share of the weight that applies that must have been measured; below it, no composite."""
    needs_model_call: bool = False
    """Whether a metered cell without a successful model call is invalid."""
    factors: Factors = Factors()
    """What the sum is multiplied with."""
    terms: Annotated[tuple[Term, ...], Field(min_length=1), BeforeValidator(_as_tuple)]
    """In the order of summation, which the last digit depends on."""

    @field_validator("terms")
    @classmethod
    def _add_up(cls, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        twice = _repeated(term.name for term in terms)
        if twice is not None:
            raise ValueError(f"two terms are named {twice!r}")
        total = fsum(term.weight for term in terms)
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the weights add up to {total:g}, not to 1")
        return terms


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
