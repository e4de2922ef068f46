"""Means over tasks that were run several times: runs of one task are not independent."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import NamedTuple

from cab.scoring.errors import TooFewRuns
from cab.scoring.introspection.field_texts import with_field_texts
from cab.scoring.stats.exact import Number, exact_sum, rounding_of
from cab.scoring.stats.interval import DEFAULT_CONFIDENCE, Interval, check_share
from cab.scoring.stats.student import student_quantile


@with_field_texts
class ClusteredMean(NamedTuple):
    """A mean and how sure it is."""

    mean: float
    """Mean over all values."""
    standard_error: float
    """Its cluster-robust standard error, in the unit of the values; exactly 0 if all clusters agree."""
    clusters: int
    """Tasks, C."""
    values: int
    """Values, n."""

    def interval(self, confidence: float = DEFAULT_CONFIDENCE) -> Interval | None:
        """Return mean -+ t * standard error, t of Student's distribution with C - 1 degrees.

        Miller takes the normal distribution; with few tasks that interval is too narrow. None where
        all clusters agree: an interval without width would claim to know the next cluster too.

        Raises:
            ValueError: The confidence is not between 0 and 1.
        """
        check_share("confidence", confidence)
        if self.standard_error == 0:
            return None
        half = student_quantile((1 + confidence) / 2, self.clusters - 1) * self.standard_error
        return Interval(self.mean - half, self.mean + half, confidence)


def clustered_mean(
    clusters: Mapping[str, Sequence[Number]], *, rounding: float | None = None
) -> ClusteredMean:
    """Return the mean of all values with its cluster-robust standard error.

    sqrt(C/(C-1) * sum over clusters of (sum of (x - mean) within it)^2) / n. Sums are exact before
    they are rounded, so that the order of clusters and values does not matter. Clusters whose means
    are the same fraction agree: the error is exactly 0 then.

    Args:
        clusters: Task -> its values; C >= 2 of them have any.
        rounding: How far a value may be from what it stands for, in its unit; clusters that differ
            by no more agree. By default 0, and 1e-12 of the largest where there are floats.

    Raises:
        TooFewRuns: Fewer than two clusters have values: nothing shows how tasks differ.
        ValueError: A value is not finite.

    Source:
        Miller 2024, https://arxiv.org/abs/2411.00640; the factor C/(C-1) is that of
        Liang and Zeger's estimator in small samples.
    """
    filled = [values for values in clusters.values() if values]
    if len(filled) < 2:
        raise TooFewRuns(len(filled), 2, "a clustered standard error", unit="task")
    if rounding is None:
        rounding = rounding_of(value for values in filled for value in values)
    sums = [(exact_sum(values), len(values)) for values in filled]
    count = sum(size for _, size in sums)
    mean = exact_sum(total for total, _ in sums) / count
    off = [(total - size * mean, size) for total, size in sums]
    error = 0.0
    if any(abs(residual) > size * rounding for residual, size in off):
        # Over the largest, so that the squares of very small ones are not 0.
        largest = max(abs(residual) for residual, _ in off)
        squares = sum((residual / largest) ** 2 for residual, _ in off)
        error = float(largest) * sqrt(squares * len(off) / (len(off) - 1)) / count
    return ClusteredMean(float(mean), error, len(off), count)
