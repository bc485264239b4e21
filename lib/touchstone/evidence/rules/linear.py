"""Rates: a quantity that grows in proportion to another, such as iterations with log 1/ε."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from touchstone.arrays import to_host
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.fits import linear_fit
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import (
    Judgement,
    Outcome,
    Rule,
    finite_values,
    require_confidence,
    require_number,
)
from touchstone.evidence.rules.cells import combined
from touchstone.evidence.rules.limits import inside, limits_of, within


@dataclass(frozen=True)
class Points:
    """``y`` against ``x``, both (m,) and on plain axes; ``y`` may be infinite where nothing was reached."""

    x: Any
    y: Any

    @classmethod
    def of_steps(cls, runs: Sequence[Any], eps: Iterable[float], *, relative: bool = True) -> Points:
        """Steps until the error is first at or below ``eps``, against ``ln(1/eps)``.

        ``runs`` is one sequence of errors, that of the start first, or several; with ``relative`` each
        accuracy is a multiple of the run's first error. An accuracy that a run never reaches takes infinitely
        many steps.
        """
        accuracies = np.asarray(list(eps), dtype=np.float64)
        if accuracies.size == 0 or not np.all((accuracies > 0) & np.isfinite(accuracies)):
            raise ValueError("eps: expected positive numbers")
        runs = list(runs)
        if not runs:
            raise MeasurementError("runs: expected at least one")
        runs = [runs] if np.ndim(runs[0]) == 0 else runs
        x, y = [], []
        for run in runs:
            errors = np.asarray(run, dtype=np.float64)
            if errors.ndim != 1 or errors.size == 0 or np.any(np.isnan(errors)) or np.any(errors < 0):
                raise MeasurementError("runs: expected rows of errors >= 0")
            unit = errors[0] if relative else 1.0
            if not (unit > 0 and math.isfinite(unit)):
                raise MeasurementError(f"first error {unit}: expected a positive number")
            best = np.minimum.accumulate(errors)
            steps = np.searchsorted(-best, -accuracies * unit, side="left").astype(np.float64)
            x.append(np.log(1 / accuracies))
            y.append(np.where(steps < len(errors), steps, math.inf))
        return cls(np.concatenate(x), np.concatenate(y))


@dataclass(frozen=True)
class LinearIn(Rule):
    """y is a straight line in ``variable``, with a slope between ``slope_at_least`` and ``slope_at_most``.

    The measurement is ``Points``. Three parts, each of which can be left out with ``None``:

    - the interval of the least-squares slope (``conf``) lies within the limits on it;
    - ``r2`` of the line is at least that much;
    - ``bend``, how far the middle of the best parabola sags below its chord, relative to the rise of the
      line: its interval lies within ± ``bend``. The square root of x has -0.12 over one decade, the square
      +0.20.

    ``upper_bound=True`` is for O(·) claims: a curve that bends the favourable way (a quadratic phase) passes,
    ``r2`` is not judged, and the bend counts relative to the rise that ``slope_at_most`` allows, if that is
    larger. An infinite y (an accuracy that was never reached) rejects. All parts have to accept; one that
    rejects rejects; an interval across a limit straddles. For "no trend at all" set ``r2`` and ``bend`` to
    ``None``.

    A straight line with a slope within the limits and noise of at most 2 % of its rise is rejected in fewer
    than 1 % of the runs. With 16 points over one decade of x (accuracies in half decades) and noise of 1 % of
    the rise (the rounding of 30 iterations), the square, the square root and the logarithm of x, and a slope
    10 % beyond a limit, are rejected with probability above 99 %, and a line whose slope is 10 % inside is
    accepted as often.
    """

    variable: str
    slope_at_least: float | None = None
    slope_at_most: float | None = None
    r2: float | None = 0.98
    bend: float | None = 0.05
    upper_bound: bool = False
    conf: float = 0.99
    min_points: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.variable, str) and self.variable.strip()):
            raise ValueError(f"variable={self.variable!r}: expected what x is, in words or symbols")
        for name in ("slope_at_least", "slope_at_most"):
            if getattr(self, name) is not None:
                require_number(name, getattr(self, name))
        if self.slope_at_least is not None and self.slope_at_most is not None:
            require_number("slope_at_most", self.slope_at_most, above=self.slope_at_least)
        if self.r2 is not None:
            require_number("r2", self.r2, above=0)
            if self.r2 > 1:
                raise ValueError(f"r2={self.r2!r}: expected at most 1")
        if self.bend is not None:
            require_number("bend", self.bend, above=0)
        if (
            self.slope_at_least is None
            and self.slope_at_most is None
            and self.r2 is None
            and self.bend is None
        ):
            raise ValueError("expected a limit on the slope, r2 or bend")
        require_confidence(self.conf)
        if not isinstance(self.min_points, int) or isinstance(self.min_points, bool) or self.min_points < 4:
            raise ValueError(f"min_points={self.min_points!r}: expected an integer >= 4")

    @property
    def says(self) -> str:
        parts = []
        if self._judges_slope:
            parts.append(f"the slope in {self.variable} {within(self.slope_at_least, self.slope_at_most)}")
        if self._judges_r2:
            parts.append(f"r² of the line is at least {shown(self.r2)}")
        if self.bend is not None:
            sign = "bends up by no more than" if self.upper_bound else "bends by no more than"
            parts.append(f"the curve {sign} {shown(self.bend)} of its rise")
        return ", ".join(parts)

    def judge(self, measurement: Any) -> Judgement:
        x, y = self._points(measurement)
        limit = self._limit()
        missed = int(np.sum(np.isinf(y)))
        if missed:
            return Judgement(
                "rejects",
                {"not_reached": missed, "points": len(y)},
                limit,
                f"{missed} of {len(y)} points were never reached",
            )
        fit = linear_fit(x, y, self.conf)
        numbers: dict[str, Any] = {
            "slope": fit.slope,
            "intercept": fit.intercept,
            "r2": fit.r2,
            "points": len(y),
        }
        outcomes: list[Outcome] = []
        words = [f"the slope in {self.variable} is {shown(fit.slope)}"]
        low, high = fit.interval
        if self._judges_slope:
            outcomes.append(inside(fit.interval, self.slope_at_least, self.slope_at_most))
            words[0] += f", between {shown(low)} and {shown(high)}"
            words[0] += f" (limit: {within(self.slope_at_least, self.slope_at_most)})"
        if self._judges_r2:
            outcomes.append("accepts" if fit.r2 >= self.r2 else "rejects")
            words.append(f"r² is {shown(fit.r2)} (limit {shown(self.r2)})")
        if self.bend is not None:
            # an upper bound on the slope is also the scale on which a bend matters
            allowed = self.slope_at_most or 0.0 if self.upper_bound else 0.0
            bend, interval = _bend(x, y, max(abs(fit.slope), allowed), self.conf)
            outcomes.append(inside(interval, None if self.upper_bound else -self.bend, self.bend))
            numbers |= {"bend": bend, "bend_interval": interval}
            words.append(
                f"the bend is {shown(bend)}, between {shown(interval[0])} and {shown(interval[1])} "
                f"(limit {shown(self.bend)})"
            )
        return Judgement(combined(outcomes), numbers, limit, "; ".join(words), fit.interval)

    def values(self, measurement: Any) -> np.ndarray:
        return self._points(measurement)[1]

    def triviality(self, measurement: Any) -> str | None:
        # accuracies that are never reached are a finding, and all infinite
        return None if np.any(np.isinf(self.values(measurement))) else super().triviality(measurement)

    @property
    def _judges_slope(self) -> bool:
        return self.slope_at_least is not None or self.slope_at_most is not None

    @property
    def _judges_r2(self) -> bool:
        return self.r2 is not None and not self.upper_bound

    def _limit(self) -> dict[str, Any]:
        limit: dict[str, Any] = {}
        if self._judges_slope:
            limit["slope"] = limits_of(self.slope_at_least, self.slope_at_most)
        if self._judges_r2:
            limit["r2"] = self.r2
        if self.bend is not None:
            limit["bend"] = self.bend
        return limit

    def _points(self, measurement: Any) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(measurement, Points):
            raise MeasurementError(f"measurement: expected Points, got {type(measurement).__name__}")
        x = finite_values(measurement.x, "x")
        y = np.asarray(to_host(measurement.y))
        if y.dtype.kind not in "iuf" or x.ndim != 1 or y.shape != x.shape:
            raise MeasurementError(
                f"x and y of shapes {x.shape} and {y.shape}: expected two equal rows of numbers"
            )
        y = y.astype(np.float64)
        if np.any(np.isnan(y)) or np.any(np.isneginf(y)):
            raise MeasurementError("y: expected numbers, or infinity where nothing was reached")
        different = len(np.unique(x))
        if different < self.min_points:
            raise MeasurementError(f"{different} different x: expected at least {self.min_points}")
        return x, y


def _bend(x: np.ndarray, y: np.ndarray, slope: float, conf: float) -> tuple[float, tuple[float, float]]:
    """How far the middle of the best parabola sags below its chord, over the line's rise; its interval."""
    span = float(np.ptp(x))
    u = 2 * (x - x.min()) / span - 1
    rise = abs(slope) * span
    if np.all(y == y[0]):
        return 0.0, (0.0, 0.0)
    design = np.stack([np.ones_like(u), u, u * u], axis=1)
    Q, R = np.linalg.qr(design)
    coefficients = np.linalg.solve(R, Q.T @ y)
    freedom = len(y) - 3
    residual = float(np.sum((y - design @ coefficients) ** 2))
    rounding = 4 * np.finfo(np.float64).eps * float(np.max(np.abs(y)))
    error = max(math.sqrt(residual / freedom), rounding) * float(np.linalg.norm(np.linalg.inv(R)[2]))
    half = float(stats.t.ppf(0.5 + conf / 2, freedom)) * error
    sag = float(coefficients[2])
    if rise <= rounding:
        return math.copysign(math.inf, sag), (-math.inf, math.inf)
    return float(sag / rise), (float((sag - half) / rise), float((sag + half) / rise))
