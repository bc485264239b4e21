"""Identities: two computations of one thing agree to the accuracy of the arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import Judgement, Rule, finite_values, require_number


@dataclass(frozen=True)
class GapAtMost(Rule):
    """Every measured gap is at most ``tolerance``.

    The measurement is one gap or an array of them (``relative_gap``), not negative. There is no chance in
    the rule: with a tolerance above the rounding error of both computations it never rejects an identity that
    holds, and it always rejects one that is off by more than twice the tolerance.
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


def tolerance_from_conditioning(condition: float, dtype: Any, operations: int) -> float:
    """A gap that rounding alone can cause: ``condition`` times Higham's gamma of ``operations``.

    ``condition`` is the relative condition number of the quantity, ``operations`` the length of the longest
    chain of rounded operations behind one entry; gamma = k u / (1 - k u) with the unit round-off u of
    ``dtype`` (anything NumPy takes for a floating or complex type). Raises ``ValueError`` for a condition
    below 1, fewer than one operation, a ``dtype`` without round-off, or k u >= 1.
    """
    require_number("condition", condition, least=1)
    if operations < 1:
        raise ValueError(f"operations={operations!r}: expected an integer >= 1")
    try:
        unit = float(np.finfo(np.dtype(dtype)).eps) / 2
    except (TypeError, ValueError):
        raise ValueError(f"dtype={dtype!r}: expected a floating or complex type") from None
    if operations * unit >= 1:
        raise ValueError(f"operations={operations!r}: expected fewer than {math.floor(1 / unit)} in {dtype}")
    return condition * operations * unit / (1 - operations * unit)
