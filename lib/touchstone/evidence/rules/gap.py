"""Identities: two computations of one thing agree to the accuracy of the arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import Judgement, Rule, finite_values, require_number


@dataclass(frozen=True)
class GapAtMost(Rule):
    """Every measured gap is at most ``tolerance``.

    The measurement is one gap or an array of them (``relative_gap``), not negative; ``identity_tolerance``
    derives the tolerance from conditioning. There is no chance in the rule: with a tolerance above the
    rounding error of both computations it never rejects an identity that holds, and it always rejects one
    that is off by more than twice the tolerance.
    """

    tolerance: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("tolerance", self.tolerance, above=0)

    @property
    def says(self) -> str:
        return f"every gap is at most {shown(self.tolerance)}"

    def judge(self, measurement: Any) -> Judgement:
        gaps = finite_values(measurement)
        if np.any(gaps < 0):
            raise MeasurementError(f"gap {gaps.min():.4g}: expected numbers >= 0")
        largest = float(gaps.max())
        number = f"the largest of {gaps.size} gaps" if gaps.size > 1 else "the gap"
        return Judgement(
            "accepts" if largest <= self.tolerance else "rejects",
            {"largest_gap": largest, "gaps": gaps.size},
            self.tolerance,
            f"{number} is {shown(largest)} (limit {shown(self.tolerance)})",
        )
