"""Scaling laws: a cost that grows no faster than a power of the size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.evidence.fits import Fit, linear_fit
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import (
    Judgement,
    Rule,
    require_confidence,
    require_grid,
    require_number,
    series,
)
from touchstone.evidence.series import Series

# an exact power misses its exponent by the rounding of its logarithms: 1e-13 at most on any usable grid
ROUNDING = 1e-9


@dataclass(frozen=True)
class ExponentAtMost(Rule):
    """The exponent of the size is at most ``power`` + ``slack``.

    The measurement is a ``Series`` of at least ``min_sizes`` sizes over ``min_decades`` decades. The interval
    with confidence ``conf`` for the slope of log y on log x decides: an upper end at or below the limit
    accepts, a lower end above it rejects, anything else straddles.

    With ``conf`` = 0.99 an exponent at the limit itself is rejected in 0.5 % of the runs, a smaller one less
    often; one above it is accepted in at most 0.5 %. Six sizes over 1.5 decades with noise of 5 % in each
    value reject an exponent of 0.2 above the limit with probability above 99 %. Exact counts have no noise:
    there the interval is the bend of the curve.
    """

    power: float
    slack: float = 0.0
    conf: float = 0.99
    min_sizes: int = 6
    min_decades: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("power", self.power)
        require_number("slack", self.slack, least=0)
        require_confidence(self.conf)
        require_grid(self.min_sizes, self.min_decades)

    @property
    def limit(self) -> float:
        return self.power + self.slack

    @property
    def says(self) -> str:
        slack = f" + {shown(self.slack)}" if self.slack else ""
        return (
            f"the upper end of the {100 * self.conf:g} % interval of the exponent is at most "
            f"{shown(self.power)}{slack}"
        )

    def judge(self, measurement: Any) -> Judgement:
        measured = series(measurement, self.min_sizes, self.min_decades)
        fit = linear_fit(measured.log_x, measured.log_y, self.conf)
        low, high = fit.interval
        limit = self.limit + ROUNDING
        outcome = "accepts" if high <= limit else "rejects" if low > limit else "straddles"
        return Judgement(
            outcome,
            slope_numbers(fit, measured),
            self.limit,
            f"the exponent is {slope_shown(fit)} (limit {shown(self.limit)})",
            fit.interval,
        )

    def values(self, measurement: Any) -> np.ndarray:
        return series(measurement, self.min_sizes, self.min_decades).log_y


def slope_numbers(fit: Fit, measured: Series) -> dict[str, Any]:
    """What a fitted slope rests on, for the ledger."""
    return {
        "slope": fit.slope,
        "r2": fit.r2,
        "largest_residual": fit.residual,
        "sizes": len(measured),
        "decades": measured.decades,
    }


def slope_shown(fit: Fit) -> str:
    """The slope and its interval for a reader."""
    low, high = fit.interval
    return f"{shown(fit.slope)}, {100 * fit.conf:g} % interval {shown(low)} to {shown(high)}"
