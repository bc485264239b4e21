"""Monotone curves: a quantity that only rises, or only falls, along a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import isotonic_regression

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import Judgement, Rule, finite_values, require_number
from touchstone.evidence.rules.cells import at, cells


@dataclass(frozen=True)
class Monotone(Rule):
    """The values along the grid only rise (or only fall), up to reversals of ``tolerance``.

    The measurement holds at least three values in the order of the grid, or a mapping of labels to such rows.
    A reversal is the largest amount by which a later value falls below an earlier one (for ``"rises"``): at
    most ``tolerance`` everywhere accepts, more rejects. ``by_at_least`` asks that the best monotone fit
    (isotonic regression) also moves that much in all, so that a level curve does not pass.

    Values without noise are judged exactly. Noise of standard deviation s in each of m values stays harmless
    for ``tolerance`` = 2 s √(2 ln m + 3.3): false alarms below 1 %. A reversal that is larger by another
    3.3 s is rejected with probability above 99 %. Averages over seeds have the noise of their standard error.
    """

    direction: Literal["rises", "falls"]
    tolerance: float = 0.0
    by_at_least: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.direction not in ("rises", "falls"):
            raise ValueError(f"direction={self.direction!r}: expected 'rises' or 'falls'")
        require_number("tolerance", self.tolerance, least=0)
        require_number("by_at_least", self.by_at_least, least=0)

    @property
    def says(self) -> str:
        allowance = f" (up to {shown(self.tolerance)})" if self.tolerance else ""
        amount = f", by at least {shown(self.by_at_least)} in all" if self.by_at_least else ""
        return f"along the grid the quantity only {self.direction}{allowance}{amount}"

    def judge(self, measurement: Any) -> Judgement:
        parts = cells(measurement, self._rising)
        reversals = {label: _reversal(row) for label, row in parts.items()}
        moves = {label: _move(row) for label, row in parts.items()}
        worst = max(reversals, key=reversals.__getitem__)
        least = min(moves, key=moves.__getitem__)
        accepted = reversals[worst] <= self.tolerance and moves[least] >= self.by_at_least
        numbers: dict[str, Any] = {"reversal": reversals[worst], "moves_by": moves[least]}
        numbers["points"] = min(len(row) for row in parts.values())
        if len(parts) > 1:
            numbers |= {"cells": len(parts), "worst_at": worst}
        limit = {"reversal": self.tolerance}
        words = (
            f"the largest reversal{at(worst)} is {shown(reversals[worst])} (limit {shown(self.tolerance)})"
        )
        if self.by_at_least:
            limit["moves_by"] = self.by_at_least
            moved, wanted = shown(moves[least]), shown(self.by_at_least)
            words += f", and the fit{at(least)} moves by {moved} (at least {wanted})"
        return Judgement("accepts" if accepted else "rejects", numbers, limit, words)

    def values(self, measurement: Any) -> np.ndarray:
        return np.concatenate(list(cells(measurement, self._rising).values()))

    def _rising(self, measurement: Any) -> np.ndarray:
        row = finite_values(measurement, "values")
        if row.ndim != 1 or len(row) < 3:
            raise MeasurementError(f"values of shape {row.shape}: expected a row of at least three")
        return row if self.direction == "rises" else -row


def _reversal(row: np.ndarray) -> float:
    """The most by which a value lies below one before it."""
    return float(np.max(np.maximum.accumulate(row) - row))


def _move(row: np.ndarray) -> float:
    fitted = isotonic_regression(row, increasing=True).x
    return float(fitted[-1] - fitted[0])
