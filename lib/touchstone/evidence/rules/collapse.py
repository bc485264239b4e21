"""Thresholds: curves for different sizes fall onto one another under the predicted scale, and no other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import Judgement, Outcome, Rule, require_number


@dataclass(frozen=True)
class Collapse:
    """The spread of the curves under the claimed scale and under each rival (``collapse_spread``).

    Infinity means that the curves share no abscissa under that scale.
    """

    spread: float
    rivals: Mapping[str, float]


@dataclass(frozen=True)
class CollapsesBetter(Rule):
    """The curves lie at least ``factor`` times closer under the claimed scale than under any rival.

    The measurement is a ``Collapse``. The closest rival decides: at least ``factor`` times the claimed
    spread accepts, less than the claimed spread rejects, in between straddles (the claimed scale is the best,
    but not by enough to tell). A scale under which the curves do not overlap has collapsed nothing: as a
    rival it counts as infinitely wide, as the claim it is rejected. There must be a rival to compare with, so
    a measurement without a finite one is an error.

    With three sizes over four decades, curves that climb by two decades each and noise of 5 % in each value,
    ``factor`` = 3 tells x-scales whose exponents of the size differ by 1/4: the true one is rejected in fewer
    than 1 % of the runs and accepted in more than 99 %, a false one rejected in more than 99 %.
    """

    factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("factor", self.factor, above=1)

    @property
    def says(self) -> str:
        return f"the curves lie at least {shown(self.factor)} times closer than under any rival scale"

    def judge(self, measurement: Any) -> Judgement:
        spread, rivals = _spreads(measurement)
        closest = min(rivals, key=rivals.__getitem__)
        nearest = rivals[closest]
        outcome: Outcome = "straddles"
        if spread > nearest:
            outcome = "rejects"
        elif nearest >= self.factor * spread and nearest > 0:
            outcome = "accepts"
        advantage = nearest / spread if spread > 0 else math.inf if nearest > 0 else 1.0
        return Judgement(
            outcome,
            {"spread": spread, "rivals": rivals, "closest_rival": closest, "advantage": advantage},
            self.factor,
            f"the spread is {shown(spread)} against {shown(nearest)} for the closest rival, {closest}: "
            f"{shown(advantage)} times closer (limit {shown(self.factor)})",
        )

    def triviality(self, measurement: Any) -> str | None:  # noqa: ARG002
        return None  # one number: nothing that ought to vary


def _spreads(measurement: Any) -> tuple[float, dict[str, float]]:
    if not isinstance(measurement, Collapse):
        raise MeasurementError(f"measurement: expected a Collapse, got {type(measurement).__name__}")
    if not isinstance(measurement.rivals, Mapping) or not measurement.rivals:
        raise MeasurementError(
            f"rivals={measurement.rivals!r}: expected a mapping with at least one rival scale"
        )
    rivals = {str(name): _spread(f"rivals[{name!r}]", value) for name, value in measurement.rivals.items()}
    if not any(math.isfinite(value) for value in rivals.values()):
        raise MeasurementError("rivals: expected at least one under which the curves overlap")
    return _spread("spread", measurement.spread), rivals


def _spread(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise MeasurementError(f"{name}={value!r}: expected a number")
    if not value >= 0:
        raise MeasurementError(f"{name}={value!r}: expected a number >= 0")
    return float(value)
