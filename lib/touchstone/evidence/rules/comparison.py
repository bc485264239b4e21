"""Comparisons: A better than B, by differences over paired runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.means import mean_interval, sign_flip_p_value
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import (
    Judgement,
    Outcome,
    Rule,
    finite_values,
    require_confidence,
    require_number,
)


@dataclass(frozen=True)
class Paired:
    """What two methods gave on the same instances: ``better`` and ``worse`` (m,), one pair a seed.

    "Better" is the one that the claim says is *larger*: for errors or costs put the rival there. Points of
    one run are not independent: average them first, so that each pair is one seed. With ``ratio=True`` the
    logarithms are compared, for claims about a factor (all values positive).
    """

    better: Any
    worse: Any
    ratio: bool = False

    @property
    def differences(self) -> np.ndarray:
        """better - worse, or the logarithms' difference. Raises ``MeasurementError``."""
        better, worse = finite_values(self.better, "better"), finite_values(self.worse, "worse")
        if better.ndim != 1 or better.shape != worse.shape:
            raise MeasurementError(
                f"better and worse of shapes {better.shape} and {worse.shape}: expected two equal lengths"
            )
        if self.ratio:
            if np.any(better <= 0) or np.any(worse <= 0):
                raise MeasurementError("ratio=True: expected positive values")
            return np.log(better) - np.log(worse)
        return better - worse


@dataclass(frozen=True)
class IntervalAbove(Rule):
    """The mean paired difference is above ``limit``; one below ``limit`` + ``effect`` counts as none.

    The measurement is ``Paired``, or an array of differences, one a seed: at least 8. Accepts when the
    interval of the mean (``mean_interval``) lies above ``limit`` and the sign-flip permutation test of the
    pairs agrees at (1 - ``conf``) / 2. Rejects when they do not show that and the interval stays below
    ``limit`` + ``effect``: an advantage of that size is not there. Anything else straddles: too few seeds to
    tell. ``effect`` is the least advantage that the check must be able to see, stated beforehand; it may be
    left out where ``limit`` itself is positive. For ratios both are logarithms (``math.log(1.3)``).

    A against A with fresh seeds is accepted in at most 0.5 % of the runs, whatever the distribution, because
    exchanging the two changes nothing (for ``limit`` = 0), and an advantage of ``effect`` is rejected in at
    most 1 % (normal differences). With 20 seeds and differences of standard deviation s, ``effect`` = 1.6 s
    decides both ways with a power above 99 %: the advantage is accepted, A against A is rejected. (10 seeds
    need 2.8 s, 30 seeds 1.3 s.)
    """

    limit: float = 0.0
    effect: float = 0.0
    conf: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("limit", self.limit)
        require_number("effect", self.effect, least=0)
        require_confidence(self.conf)
        if not self.limit + self.effect > 0:
            raise ValueError(
                f"limit={self.limit!r}, effect={self.effect!r}: expected a positive sum, or A against A "
                "could never be rejected"
            )

    @property
    def says(self) -> str:
        effect = f"; less than {shown(self.limit + self.effect)} counts as none" if self.effect else ""
        return (
            f"the {100 * self.conf:g} % interval of the mean paired difference lies above {shown(self.limit)}"
            f"{effect}"
        )

    def judge(self, measurement: Any) -> Judgement:
        differences = _differences(measurement)
        level = (1 - self.conf) / 2
        least = max(3, math.ceil(-math.log2(level) - 1e-9))
        if len(differences) < least:
            raise MeasurementError(
                f"{len(differences)} pairs: expected at least {least}, or no permutation test "
                f"reaches {level:.2g}"
            )
        mean = mean_interval(differences, self.conf)
        low, high = mean.interval
        p_value = sign_flip_p_value(differences - self.limit)
        outcome: Outcome = "straddles"
        if low > self.limit and p_value <= level:
            outcome = "accepts"
        elif high < self.limit + self.effect:
            outcome = "rejects"
        return Judgement(
            outcome,
            {
                "mean": mean.value,
                "deviation": float(np.std(differences, ddof=1)),
                "pairs": len(differences),
                "p_value": p_value,
            },
            self.limit,
            f"the mean difference is {shown(mean.value)}, between {shown(low)} and {shown(high)} over "
            f"{len(differences)} pairs (limit {shown(self.limit)})",
            mean.interval,
        )

    def values(self, measurement: Any) -> np.ndarray:
        return _differences(measurement)


def _differences(measurement: Any) -> np.ndarray:
    if isinstance(measurement, Paired):
        return measurement.differences
    if isinstance(measurement, Mapping):
        raise MeasurementError(
            "measurement: expected Paired or differences, got a mapping; use AllOf for several"
        )
    differences = finite_values(measurement, "differences")
    if differences.ndim != 1:
        raise MeasurementError(f"differences of shape {differences.shape}: expected one a pair")
    return differences
