"""Statistics on plain numbers; `docs/statistics.md` lists them with formula and source.

Undefined is an error or None, never 0 and never NaN.
"""

from cab.scoring.stats.bootstrap import RatioParts as RatioParts
from cab.scoring.stats.bootstrap import bootstrap_ratio as bootstrap_ratio
from cab.scoring.stats.clustered import ClusteredMean as ClusteredMean
from cab.scoring.stats.clustered import clustered_mean as clustered_mean
from cab.scoring.stats.detectable import detectable_difference as detectable_difference
from cab.scoring.stats.exact import Number as Number
from cab.scoring.stats.failures import BothRates as BothRates
from cab.scoring.stats.failures import Rate as Rate
from cab.scoring.stats.failures import both_rates as both_rates
from cab.scoring.stats.holm import holm as holm
from cab.scoring.stats.interval import Interval as Interval
from cab.scoring.stats.kaplan_meier import CensoredQuantile as CensoredQuantile
from cab.scoring.stats.kaplan_meier import Duration as Duration
from cab.scoring.stats.kaplan_meier import censored_quantile as censored_quantile
from cab.scoring.stats.kaplan_meier import survival as survival
from cab.scoring.stats.mcnemar import McNemar as McNemar
from cab.scoring.stats.mcnemar import mcnemar_test as mcnemar_test
from cab.scoring.stats.pairing import PairedEffect as PairedEffect
from cab.scoring.stats.pairing import paired_effect as paired_effect
from cab.scoring.stats.pareto import Offer as Offer
from cab.scoring.stats.pareto import Pareto as Pareto
from cab.scoring.stats.pareto import pareto_front as pareto_front
from cab.scoring.stats.pass_at_k import pass_at_k as pass_at_k
from cab.scoring.stats.pass_at_k import pass_hat_k as pass_hat_k
from cab.scoring.stats.per_correct import PerCorrect as PerCorrect
from cab.scoring.stats.per_correct import per_correct as per_correct
from cab.scoring.stats.sign_flip import SignFlip as SignFlip
from cab.scoring.stats.sign_flip import sign_flip_test as sign_flip_test
from cab.scoring.stats.student import student_cdf as student_cdf
from cab.scoring.stats.student import student_quantile as student_quantile
from cab.scoring.stats.wilson import wilson_interval as wilson_interval
