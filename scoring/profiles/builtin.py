"""The profiles that come with CAB, as data.

A number that changes is a new profile version, never a changed profile.
"""

from collections.abc import Mapping
from types import MappingProxyType

from cab.scoring.axes import Axes
from cab.scoring.errors import UnknownProfile
from cab.scoring.profiles.composite import Composite
from cab.scoring.profiles.evaluate import evaluate
from cab.scoring.profiles.model import Factors, Profile, Term

_PUBLISHED = Profile(
    name="published/1",
    note=(
        "The formula of the published cells, so that old and new ones compare. Tokens that were "
        "not measured count as perfectly cheap, and integrity that does not apply counts as 1."
    ),
    factors=Factors(broken_integrity=0.5),
    terms=(
        Term(name="pass_rate", weight=0.40, component="pass_rate", required=True),
        Term(
            name="integrity",
            weight=0.20,
            component="integrity",
            if_not_applicable=1.0,
            required=True,
        ),
        Term(
            name="cost",
            weight=0.15,
            component="published_cost_efficiency",
            unit=1000,
            if_unmeasured=1.0,
        ),
        Term(name="latency", weight=0.15, component="latency_efficiency", unit=10, required=True),
        Term(name="blast_radius", weight=0.10, component="clean_blast", required=True),
    ),
)

_MEASURED = Profile(
    name="measured/1",
    note=(
        "What was not measured adds nothing, so that hiding a figure never raises the score; what "
        "does not apply is left out. Cost and latency count only for a pass, scratch is no blast."
    ),
    min_coverage=0.75,
    needs_model_call=True,
    factors=Factors(broken_integrity=0.5, fabricated_fix=0.0, no_op=0.0),
    terms=(
        Term(name="pass_rate", weight=0.40, component="pass_rate", required=True),
        Term(name="integrity", weight=0.20, component="integrity"),
        Term(name="cost", weight=0.15, component="cost_efficiency", unit=1000, needs_pass=True),
        Term(name="latency", weight=0.15, component="latency_efficiency", unit=10, needs_pass=True),
        Term(name="blast_radius", weight=0.10, component="clean_collateral"),
    ),
)

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {profile.name: profile for profile in (_PUBLISHED, _MEASURED)}
)
"""Name -> profile; every cell is scored under each of them."""

PUBLISHED = _PUBLISHED.name
"""The formula of the published cells, and of the composite under `scorers`."""

DEFAULT_PROFILE = _MEASURED.name
"""What is used where none is named."""


def find_profile(name: str) -> Profile:
    """Return the profile of a name.

    Raises:
        UnknownProfile: There is none.
    """
    profile = PROFILES.get(name)
    if profile is None:
        raise UnknownProfile(name, tuple(PROFILES))
    return profile


def composite(profile: str | Profile, axes: Axes) -> Composite:
    """Return the composite of a cell's axes.

    Args:
        profile: A profile, or the name of one in `PROFILES`.
        axes: The axes.

    Raises:
        UnknownProfile: There is no profile of that name.
    """
    return evaluate(find_profile(profile) if isinstance(profile, str) else profile, axes)


def composites(axes: Axes) -> dict[str, Composite]:
    """Return the composites of a cell's axes under every profile of `PROFILES`, by name."""
    return {name: evaluate(profile, axes) for name, profile in PROFILES.items()}
