"""Means over tasks that were run several times: runs of one task are not independent."""

from collections.abc import Mapping, Sequence
from math import fsum, sqrt
from typing import NamedTuple

from cab.scoring.errors import TooFewRuns
from cab.scoring.stats.interval import DEFAULT_CONFIDENCE, Interval, check_share
from cab.scoring.stats.student import student_quantile


class ClusteredMean(NamedTuple):
    """A mean and how sure it is."""

    mean: float
    """Mean over all values."""
    standard_error: float
    """Its cluster-robust standard error, in the unit of the values."""
    clusters: int
    """Tasks, C."""
    values: int
    """Values, n."""

    def interval(self, confidence: float = DEFAULT_CONFIDENCE) -> Interval:
        """Return mean -+ t * standard error, t of Student's distribution with C - 1 degrees.

        Miller takes the normal distribution; with few tasks that interval is too narrow.

        Raises:
            ValueError: The confidence is not between 0 and 1.
        """
        check_share("confidence", confidence)
        half = student_quantile((1 + confidence) / 2, self.clusters - 1) * self.standard_error
        return Interval(self.mean - half, self.mean + half, confidence)


def clustered_mean(clusters: Mapping[str, Sequence[float]]) -> ClusteredMean:
    """Return the mean of all values with its cluster-robust standard error.

    sqrt(C/(C-1) * sum over clusters of (sum of (x - mean) within it)^2) / n. Sums are exact before
    they are rounded, so that the order of clusters and values does not matter.

    Args:
        clusters: Task -> its values; C >= 2 of them have any.

    Raises:
        TooFewRuns: Fewer than two clusters have values: nothing shows how tasks differ.

    Source:
        Miller 2024, https://arxiv.org/abs/2411.00640; the factor C/(C-1) is that of
        Liang and Zeger's estimator in small samples.
    """
    filled = [values for values in clusters.values() if values]
    if len(filled) < 2:
        raise TooFewRuns(len(filled), 2, "a clustered standard error", unit="task")
    count = sum(len(values) for values in filled)
    mean = fsum(value for values in filled for value in values) / count
    squares = fsum(fsum(value - mean for value in values) ** 2 for values in filled)
    error = sqrt(len(filled) / (len(filled) - 1) * squares) / count
    return ClusteredMean(mean, error, len(filled), count)
