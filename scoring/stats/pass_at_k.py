"""pass@k and pass^k: one success in k runs, and nothing but successes in k runs."""

from math import comb

from cab.scoring.errors import TooFewRuns


def pass_at_k(runs: int, passed: int, k: int) -> float:
    """Estimate, without bias, the chance that at least one of `k` runs of a task passes.

    1 - C(n-c, k) / C(n, k).

    Args:
        runs: Runs of the task, n >= k.
        passed: Runs that passed, 0 <= c <= n.
        k: Runs drawn without replacement, k >= 1.

    Returns:
        A probability in [0, 1].

    Raises:
        TooFewRuns: n < k, where the estimator is not defined.
        ValueError: An argument is out of range.

    Source:
        Chen et al. 2021, https://arxiv.org/abs/2107.03374, equation 1.

    >>> pass_at_k(runs=4, passed=1, k=2)
    0.5
    """
    ways = _ways(runs, passed, k)
    # One division of whole numbers is rounded once; 1 - x would lose the digits of a small chance.
    return (ways - comb(runs - passed, k)) / ways


def pass_hat_k(runs: int, passed: int, k: int) -> float:
    """Estimate, without bias, the chance that all of `k` runs of a task pass.

    C(c, k) / C(n, k).

    Args:
        runs: Runs of the task, n >= k.
        passed: Runs that passed, 0 <= c <= n.
        k: Runs drawn without replacement, k >= 1.

    Returns:
        A probability in [0, 1].

    Raises:
        TooFewRuns: n < k, where the estimator is not defined.
        ValueError: An argument is out of range.

    Source:
        Yao et al. 2024, https://arxiv.org/abs/2406.12045.

    >>> pass_hat_k(runs=4, passed=3, k=2)
    0.5
    """
    ways = _ways(runs, passed, k)
    return comb(passed, k) / ways


def _ways(runs: int, passed: int, k: int) -> int:
    if k < 1:
        raise ValueError(f"k is {k}; it is at least 1")
    if runs < k:
        raise TooFewRuns(runs, k, f"k = {k}")
    if not 0 <= passed <= runs:
        raise ValueError(f"{passed} passed of {runs} runs")
    return comb(runs, k)
