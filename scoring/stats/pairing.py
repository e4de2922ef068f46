"""A against B on the same tasks: effect, interval and p."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cab.scoring.introspection.field_texts import with_field_texts
from cab.scoring.stats.clustered import ClusteredMean, clustered_mean
from cab.scoring.stats.detectable import DEFAULT_POWER, detectable_difference
from cab.scoring.stats.exact import Number, exact_sum
from cab.scoring.stats.interval import DEFAULT_CONFIDENCE, Interval
from cab.scoring.stats.seeded import DEFAULT_SEED
from cab.scoring.stats.sign_flip import SignFlip, sign_flip_test


@with_field_texts
class PairedEffect(NamedTuple):
    """How A differs from B."""

    mean: ClusteredMean
    """Mean of A - B with its clustered error."""
    interval: Interval | None
    """Of the mean; None where all pairs differ alike."""
    test: SignFlip
    """Whether it could be chance."""
    detectable: float | None
    """Smallest true difference likely to be found; None where all pairs differ alike."""


def paired_effect(
    differences: Mapping[str, Sequence[Number]],
    *,
    rounding: float | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    power: float = DEFAULT_POWER,
    seed: int = DEFAULT_SEED,
) -> PairedEffect:
    """Return the mean difference over pairs, its clustered error and interval, and p.

    Args:
        differences: Task -> the differences A - B of its pairs (one per model, say), in any unit;
            at least two tasks have any. Their order does not matter.
        rounding: How far a difference may be from what it stands for; see `clustered_mean`.
        confidence: Of the interval.
        power: Of the detectable difference.
        seed: Of the sign flips, where they are drawn.

    Raises:
        TooFewRuns: Fewer than two tasks have a pair.
        ValueError: An argument is out of range.

    Source:
        Miller 2024, https://arxiv.org/abs/2411.00640, paired differences; p: `sign_flip_test`.
    """
    mean = clustered_mean(differences, rounding=rounding)
    tasks = [task for task in sorted(differences) if differences[task]]
    sums = [float(exact_sum(differences[task])) for task in tasks]
    return PairedEffect(
        mean,
        mean.interval(confidence),
        sign_flip_test(sums, seed=seed),
        detectable_difference(
            mean.standard_error, mean.clusters, confidence=confidence, power=power
        ),
    )
