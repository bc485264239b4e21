"""Slopes on logarithmic axes: within a range, or never rising along the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.fits import linear_fit
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import (
    Judgement,
    Outcome,
    Rule,
    require_confidence,
    require_grid,
    require_number,
    series,
)
from touchstone.evidence.rules.exponent import ROUNDING, slope_numbers, slope_shown
from touchstone.evidence.series import Series


@dataclass(frozen=True)
class SlopeWithin(Rule):
    """The slope of log y on log x lies in [``low``, ``high``].

    The measurement is a ``Series``. The interval of the slope decides: inside accepts, disjoint rejects,
    anything else straddles. With ``conf`` = 0.99 a slope inside is rejected in at most 0.5 % of the runs, one
    outside accepted in at most 0.5 %; six sizes over 1.5 decades with noise of 5 % in each value reject a
    slope of 0.2 beyond either end with probability above 99 %.
    """

    low: float
    high: float
    conf: float = 0.99
    min_sizes: int = 6
    min_decades: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("low", self.low)
        require_number("high", self.high, above=self.low)
        require_confidence(self.conf)
        require_grid(self.min_sizes, self.min_decades)

    @property
    def says(self) -> str:
        return (
            f"the {100 * self.conf:g} % interval of the log-log slope lies between {shown(self.low)} and "
            f"{shown(self.high)}"
        )

    def judge(self, measurement: Any) -> Judgement:
        measured = series(measurement, self.min_sizes, self.min_decades)
        fit = linear_fit(measured.log_x, measured.log_y, self.conf)
        low, high = fit.interval
        outcome: Outcome = "straddles"
        if self.low - ROUNDING <= low and high <= self.high + ROUNDING:
            outcome = "accepts"
        elif high < self.low - ROUNDING or low > self.high + ROUNDING:
            outcome = "rejects"
        return Judgement(
            outcome,
            slope_numbers(fit, measured),
            (self.low, self.high),
            f"the slope is {slope_shown(fit)} (limits {shown(self.low)} to {shown(self.high)})",
            fit.interval,
        )

    def values(self, measurement: Any) -> np.ndarray:
        return series(measurement, self.min_sizes, self.min_decades).log_y


@dataclass(frozen=True)
class SlopesDoNotRise(Rule):
    """The local slopes of log y against log x never rise along the grid, as n^(1 + o(1)) asks.

    The measurement is a ``Series`` of exact counts; sizes below ``start`` are left out. The slopes between
    neighbouring sizes must lie within ``tolerance`` of their best falling fit (isotonic regression), the
    last one must be at most ``last_at_most`` and each at most ``all_at_most``, where these are given. A plain
    power of any exponent has level slopes: only one of the two caps rejects it.

    Made for counts without noise, where its answer is exact: a single rise of r is rejected from
    r > 2 ``tolerance`` on. Jitter of standard deviation s in log y stays harmless (false alarms below 1 %) up
    to s = tolerance · h / 6, with h the least step of log x, and then slopes that climb by 5 ``tolerance`` in
    all are rejected with probability above 99 %.
    """

    tolerance: float
    last_at_most: float | None = None
    all_at_most: float | None = None
    start: Any = None
    min_sizes: int = 6
    min_decades: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("tolerance", self.tolerance, least=0)
        for name in ("last_at_most", "all_at_most"):
            if getattr(self, name) is not None:
                require_number(name, getattr(self, name))
        if self.start is not None and not self.start > 0:
            raise ValueError(f"start={self.start!r}: expected a positive size")
        require_grid(self.min_sizes, self.min_decades)

    @property
    def says(self) -> str:
        parts = [f"the local slopes do not rise by more than {shown(self.tolerance)} above a falling fit"]
        if self.last_at_most is not None:
            parts.append(f"the last is at most {shown(self.last_at_most)}")
        if self.all_at_most is not None:
            parts.append(f"all are at most {shown(self.all_at_most)}")
        where = "" if self.start is None else f" (sizes from {shown(self.start)} on)"
        return ", ".join(parts) + where

    def judge(self, measurement: Any) -> Judgement:
        measured = self._from_start(measurement)
        slopes = np.diff(measured.log_y) / np.diff(measured.log_x)
        fitted = isotonic_regression(slopes, increasing=False).x
        rise = float(np.max(np.abs(slopes - fitted)))
        # what the last bits of the logarithms put into a slope
        rounding = 8 * np.finfo(np.float64).eps * max(1.0, float(np.max(np.abs(measured.log_y))))
        rounding /= float(np.min(np.diff(measured.log_x)))
        last, largest = float(slopes[-1]), float(slopes.max())
        rise = rise if rise > rounding else 0.0
        faults = []
        if rise > self.tolerance + rounding:
            faults.append("they rise")
        if self.last_at_most is not None and last > self.last_at_most + rounding:
            faults.append(f"the last is above {shown(self.last_at_most)}")
        if self.all_at_most is not None and largest > self.all_at_most + rounding:
            faults.append(f"the largest is above {shown(self.all_at_most)}")
        caps = {"last slope": self.last_at_most, "all slopes": self.all_at_most}
        return Judgement(
            "rejects" if faults else "accepts",
            {
                "first_slope": float(slopes[0]),
                "last_slope": last,
                "largest_slope": largest,
                "rise": rise,
                "slopes": slopes.tolist(),
                "sizes": len(measured),
                "decades": measured.decades,
            },
            {"rise": self.tolerance} | {name: cap for name, cap in caps.items() if cap is not None},
            f"the local slopes go from {shown(float(slopes[0]))} to {shown(last)}, the largest is "
            f"{shown(largest)}, and they leave a falling fit by {shown(rise)} "
            f"(limit {shown(self.tolerance)})" + (f": {' and '.join(faults)}" if faults else ""),
        )

    def values(self, measurement: Any) -> np.ndarray:
        return self._from_start(measurement).log_y

    def _from_start(self, measurement: Any) -> Series:
        if isinstance(measurement, Series) and self.start is not None:
            if not measurement.x[-1] >= self.start:
                raise MeasurementError(f"no size from {shown(self.start)} on: expected {self.min_sizes}")
            measurement = measurement.starting_at(self.start)
        return series(measurement, self.min_sizes, self.min_decades)
