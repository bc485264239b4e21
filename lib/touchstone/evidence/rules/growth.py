"""Hidden constants: the ratio of measured to bound does not grow along the asymptotic parameter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.fits import linear_fit
from touchstone.evidence.means import Estimate, mean_interval
from touchstone.evidence.multilinear import common_slope
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import (
    Judgement,
    Rule,
    require_confidence,
    require_grid,
    require_number,
    series,
)
from touchstone.evidence.rules.limits import inside
from touchstone.evidence.series import Series

LEAST_SEEDS = 5


@dataclass(frozen=True)
class NoGrowth(Rule):
    """The ratio of measured to bound grows with an exponent of at most ``slack``: its constant is a constant.

    ``slack`` is the growth that the range of sizes cannot tell from none (a logarithm over 2^8 to 2^20 looks
    like 0.1), and at once the effect that noise must not hide: too wide an interval straddles. The
    measurement is one of

    - a ``Series`` of ratios along the parameter: the t interval of its log-log slope;
    - a mapping of labels to such series: one common exponent, a constant for each label (``common_slope``);
    - a list of series, one a seed, at least five: the interval of the mean of their slopes, so that points
      which share a seed are not taken for independent.

    An upper end at or below ``slack`` accepts, a lower end above it rejects, anything else straddles. A ratio
    whose true slope is ``slack`` or less is rejected in at most 0.5 % of the runs, a steeper one accepted in
    at most 0.5 % (``conf`` = 0.99). With six sizes over 1.5 decades and noise of 3 % in each value, a flat
    ratio is accepted and one that grows like x^(2 ``slack``) rejected with probability above 99 % from
    ``slack`` = 0.15 on; with ten sizes over 3 decades from ``slack`` = 0.05 on.
    """

    slack: float
    conf: float = 0.99
    min_sizes: int = 6
    min_decades: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("slack", self.slack, above=0)
        require_confidence(self.conf)
        require_grid(self.min_sizes, self.min_decades)

    @property
    def says(self) -> str:
        return (
            f"the upper end of the {100 * self.conf:g} % interval of the ratio's log-log slope is at most "
            f"{shown(self.slack)}"
        )

    def judge(self, measurement: Any) -> Judgement:
        curves = self._curves(measurement)
        slope = self._slope(measurement, curves)
        ratios = np.concatenate([curve.log_y for curve in curves])
        spread = float(np.exp(min(ratios.max() - ratios.min(), 700.0)))
        low, high = slope.interval
        return Judgement(
            inside(slope.interval, None, self.slack),
            {
                "slope": slope.value,
                "spread": spread,
                "sizes": max(len(curve) for curve in curves),
                "decades": max(curve.decades for curve in curves),
                "curves": len(curves),
            },
            self.slack,
            f"the ratio's slope is {shown(slope.value)}, between {shown(low)} and {shown(high)} "
            f"(limit {shown(self.slack)})",
            slope.interval,
        )

    def values(self, measurement: Any) -> np.ndarray:
        return np.concatenate([curve.log_y for curve in self._curves(measurement)])

    def _curves(self, measurement: Any) -> list[Series]:
        if isinstance(measurement, Mapping):
            curves = list(measurement.values())
        elif isinstance(measurement, list | tuple):
            curves = list(measurement)
            if len(curves) < LEAST_SEEDS:
                raise MeasurementError(f"{len(curves)} seeds: expected at least {LEAST_SEEDS}")
        else:
            curves = [measurement]
        if not curves:
            raise MeasurementError("measurement: expected at least one Series, got none")
        return [series(curve, self.min_sizes, self.min_decades) for curve in curves]

    def _slope(self, measurement: Any, curves: list[Series]) -> Estimate:
        if isinstance(measurement, Mapping):
            return common_slope(measurement, self.conf)
        fits = [linear_fit(curve.log_x, curve.log_y, self.conf) for curve in curves]
        if isinstance(measurement, list | tuple):
            return mean_interval(np.array([fit.slope for fit in fits]), self.conf)
        return Estimate(fits[0].slope, fits[0].interval, self.conf)
