"""Means of independent draws, held against limits: unbiasedness, moments, averages that a bound speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.means import Estimate, mean_interval
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import Judgement, Rule, finite_values, require_confidence
from touchstone.evidence.rules.cells import at, cells, combined, shared_confidence
from touchstone.evidence.rules.limits import beyond, inside, limits_of, require_limits, within


@dataclass(frozen=True)
class MeanWithin(Rule):
    """The mean of independent draws lies in [``low``, ``high``]; an end that is ``None`` is open.

    The measurement is an array of independent draws (one a seed, not one a token), or a mapping of labels to
    such arrays, which all have to hold. The interval of the mean (``mean_interval``; ``conf`` is shared
    between the cells) decides: inside accepts, disjoint rejects, anything else straddles. This is the pair of
    one-sided tests for equivalence (TOST): too few draws never accept. For a value that a formula predicts,
    measure draw - formula, with limits ± the deviation that matters.

    A mean inside is rejected, and one outside accepted, in at most 1 % of the runs: for normal draws in any
    number, for draws of skewness up to 1 from m = 400 on and up to 2 (exponential) from m = 1000 on. With
    draws of standard deviation s, a mean that is 6.5 s / √m inside both limits is accepted, and one as far
    outside rejected, with probability above 99 % from m = 30 on.
    """

    low: float | None = None
    high: float | None = None
    conf: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        require_limits(self.low, self.high)
        require_confidence(self.conf)

    @property
    def says(self) -> str:
        return f"the {100 * self.conf:g} % interval of the mean {within(self.low, self.high)}"

    def judge(self, measurement: Any) -> Judgement:
        parts = cells(measurement, _draws)
        conf = shared_confidence(self.conf, len(parts))
        means: dict[str, Estimate] = {}
        for label, draws in parts.items():
            if len(draws) < 3:
                raise MeasurementError(f"{label or 'measurement'}: {len(draws)} draws: expected at least 3")
            means[label] = mean_interval(draws, conf)
        worst = max(means, key=lambda label: beyond(means[label].interval, self.low, self.high))
        mean, draws = means[worst], parts[worst]
        error = float(np.std(draws, ddof=1)) / len(draws) ** 0.5
        numbers: dict[str, Any] = {"mean": mean.value, "standard_error": error, "draws": len(draws)}
        if len(parts) > 1:
            numbers |= {"cells": len(parts), "worst_at": worst}
        return Judgement(
            combined(inside(each.interval, self.low, self.high) for each in means.values()),
            numbers,
            limits_of(self.low, self.high),
            f"the mean{at(worst)} is {shown(mean.value)}, between {shown(mean.interval[0])} and "
            f"{shown(mean.interval[1])} (limit: {within(self.low, self.high)})",
            mean.interval,
        )

    def values(self, measurement: Any) -> np.ndarray:
        return np.concatenate(list(cells(measurement, _draws).values()))


def _draws(measurement: Any) -> np.ndarray:
    draws = finite_values(measurement, "draws")
    if draws.ndim != 1:
        raise MeasurementError(f"draws of shape {draws.shape}: expected a row of independent numbers")
    return draws
