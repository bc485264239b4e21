"""Means of independent draws: intervals that hold for few draws, and the sign-flip test for pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from touchstone.evidence.errors import MeasurementError

RESAMPLES = 9999
BOOTSTRAP_UP_TO = 1000


@dataclass(frozen=True)
class Estimate:
    """An estimated ``value`` with its two-sided ``interval`` at confidence ``conf``."""

    value: float
    interval: tuple[float, float]
    conf: float


def mean_interval(values: np.ndarray, conf: float = 0.99) -> Estimate:
    """The mean of independent draws ``values`` (m,), m >= 3, with an interval.

    Each end is the farther one of Student's t interval and, up to 1000 draws, of the bias-corrected and
    accelerated bootstrap (SciPy): t alone falls short on the long side of a skewed sample, the bootstrap
    alone falls short for few draws. The bootstrap draws from a fixed stream, so that the same values give the
    same interval. Draws that are all equal give an interval of the width of their rounding.

    Raises ``MeasurementError`` for fewer than three draws. Cost: 10^4 resamples up to 1000 draws.
    """
    m = len(values)
    if m < 3:
        raise MeasurementError(f"{m} draws: expected at least 3 to speak of their spread")
    mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
    rounding = 4 * np.finfo(np.float64).eps * float(np.max(np.abs(values)))
    half = float(stats.t.ppf(0.5 + conf / 2, m - 1)) * max(spread, rounding) / math.sqrt(m)
    low, high = mean - half, mean + half
    if spread > rounding and m <= BOOTSTRAP_UP_TO:
        # at least thirty resamples beyond each end
        resamples = max(RESAMPLES, math.ceil(60 / (1 - conf)))
        result = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=resamples,
            confidence_level=conf,
            method="BCa",
            vectorized=True,
            batch=max(1, 10**6 // m),
            rng=np.random.default_rng(0),
        )
        ends = result.confidence_interval
        if math.isfinite(ends.low) and math.isfinite(ends.high):
            low, high = min(low, float(ends.low)), max(high, float(ends.high))
    return Estimate(mean, (low, high), conf)


def sign_flip_p_value(differences: np.ndarray) -> float:
    """How often random signs give ``differences`` (m,) as large a mean: the paired permutation test.

    Exact, whatever the distribution, if exchanging the two members of a pair changes nothing. All 2^m signs
    are tried up to m = 13, else 9999 random ones from a fixed stream (SciPy).
    """
    result = stats.permutation_test(
        (differences, np.zeros_like(differences)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        alternative="greater",
        n_resamples=RESAMPLES,
        vectorized=True,
        batch=max(1, 10**6 // len(differences)),
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)
