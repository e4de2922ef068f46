"""Statistics on plain numbers; `docs/statistics.md` lists them with formula and source.

Undefined is an error or None, never 0 and never NaN.
"""

from cab.scoring.stats.bootstrap import RatioParts, bootstrap_ratio
from cab.scoring.stats.clustered import ClusteredMean, clustered_mean
from cab.scoring.stats.detectable import detectable_difference
from cab.scoring.stats.failures import BothRates, Rate, both_rates
from cab.scoring.stats.holm import holm
from cab.scoring.stats.interval import Interval
from cab.scoring.stats.kaplan_meier import (
    CensoredQuantile,
    Duration,
    censored_quantile,
    survival,
)
from cab.scoring.stats.mcnemar import McNemar, mcnemar_test
from cab.scoring.stats.pairing import PairedEffect, paired_effect
from cab.scoring.stats.pareto import Offer, Pareto, pareto_front
from cab.scoring.stats.pass_at_k import pass_at_k, pass_hat_k
from cab.scoring.stats.per_correct import PerCorrect, per_correct
from cab.scoring.stats.sign_flip import SignFlip, sign_flip_test
from cab.scoring.stats.student import student_cdf, student_quantile
from cab.scoring.stats.wilson import wilson_interval

__all__ = [
    "BothRates",
    "CensoredQuantile",
    "ClusteredMean",
    "Duration",
    "Interval",
    "McNemar",
    "Offer",
    "PairedEffect",
    "Pareto",
    "PerCorrect",
    "Rate",
    "RatioParts",
    "SignFlip",
    "bootstrap_ratio",
    "both_rates",
    "censored_quantile",
    "clustered_mean",
    "detectable_difference",
    "holm",
    "mcnemar_test",
    "paired_effect",
    "pareto_front",
    "pass_at_k",
    "pass_hat_k",
    "per_correct",
    "sign_flip_test",
    "student_cdf",
    "student_quantile",
    "survival",
    "wilson_interval",
]
