"""Where a sharp change sits, how that grows with the size, and whether curves fall onto one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.fits import linear_fit
from touchstone.evidence.means import Estimate
from touchstone.evidence.rules.base import series
from touchstone.evidence.series import Series

GRID = 129


def collapse_spread(
    curves: Mapping[Hashable, tuple[Iterable[float], Iterable[float]]],
    scale: Callable[[Any], float] | Mapping[Hashable, float],
) -> float:
    """How far apart the ``curves`` lie once each abscissa is divided by its own ``scale``.

    ``curves`` maps a label (usually the size ``n``) to ``(x, y)``, both (m,) with ``x`` positive and strictly
    increasing and ``y`` not negative; ``scale`` maps the label to a positive divisor. The curves are
    interpolated linearly in ``log x`` on a common geometric grid over the stretch that all of them cover, and
    the result is the mean over that grid of (standard deviation across curves) / (mean across curves): 0 for
    a perfect collapse. Curves that share no stretch of positive length have spread infinity: a scale that
    drives them apart has not collapsed them.

    Raises ``MeasurementError`` for fewer than two curves or values outside these ranges.
    Cost: 129 points a curve.
    """
    if len(curves) < 2:
        raise MeasurementError(f"curves={list(curves)!r}: expected at least two")
    factor = scale if callable(scale) else scale.__getitem__
    scaled = {}
    for label, (x, y) in curves.items():
        x, y = _curve(label, x, y)
        divisor = float(factor(label))
        if not (math.isfinite(divisor) and divisor > 0):
            raise MeasurementError(f"scale({label!r})={divisor!r}: expected a positive number")
        scaled[label] = np.log(x) - math.log(divisor), y
    low = max(x[0] for x, _ in scaled.values())
    high = min(x[-1] for x, _ in scaled.values())
    if not low < high:
        return math.inf
    grid = np.linspace(low, high, GRID)
    values = np.stack([np.interp(grid, x, y) for x, y in scaled.values()])
    mean = values.mean(axis=0)
    # where every curve is zero they agree: no spread
    relative = np.divide(values.std(axis=0), mean, out=np.zeros_like(mean), where=mean > 0)
    return float(relative.mean())


def half_point(x: Iterable[float], rate: Iterable[float], level: float = 0.5) -> float:
    """The ``x`` at which a monotone ``rate`` crosses ``level``.

    ``x`` (m,) is positive and strictly increasing, ``rate`` (m,) noisy values of a curve that rises or falls.
    The better of the rising and the falling isotonic regression decides the direction; the crossing is
    interpolated in ``log x``, and a stretch that lies on the level gives its geometric middle. Raises
    ``MeasurementError`` when the fitted curve does not cross: the grid does not hold the threshold. Where
    that may happen, and is a finding, ``half_bracket`` says on which side of the grid it lies.
    """
    x, rate = _rates(x, rate, level)
    fits = [isotonic_regression(rate, increasing=rising).x for rising in (True, False)]
    errors = [float(np.sum((fit - rate) ** 2)) for fit in fits]
    sign = 1 if errors[0] <= errors[1] else -1
    fit = fits[0] if sign == 1 else -fits[1]
    if not _crosses(fit, sign * level):
        raise MeasurementError(
            f"rate from {rate[0]:.4g} to {rate[-1]:.4g}: expected the grid of x to hold a crossing of "
            f"level={level:.4g}"
        )
    return _crossing(x, fit, sign * level)


def half_bracket(
    x: Iterable[float], rate: Iterable[float], level: float = 0.5, *, rising: bool
) -> tuple[float, float]:
    """Between which two numbers the ``x`` lies at which ``rate`` crosses ``level``.

    Twice the ``half_point`` where the grid holds it, else what is known: (0, ``x[0]``) when the curve has
    crossed before its grid begins, (``x[-1]``, inf) when it has yet to cross where the grid ends, and
    (0, inf) for a fitted curve that lies on the level all along. Which of the two sides it is depends on the
    direction, which a curve without a crossing need not show: ``rising`` states it beforehand.

    Raises ``MeasurementError`` for values out of range, ``ValueError`` for a level that is not finite.
    """
    x, rate = _rates(x, rate, level)
    sign = 1 if rising else -1
    fit = sign * isotonic_regression(rate, increasing=rising).x
    if _crosses(fit, sign * level):
        at = _crossing(x, fit, sign * level)
        return at, at
    return (
        0.0 if fit[0] >= sign * level else float(x[-1]),
        math.inf if fit[-1] <= sign * level else float(x[0]),
    )


class Thresholds:
    """Where a change sits at several sizes: a number where a grid held it, a bound where it did not.

    ``x`` (m,) are strictly increasing positive sizes, ``brackets`` (m, 2) what ``half_bracket`` found: twice
    the same number, or one with 0 below it or infinity above. ``log_x`` (m,) are the logarithms of the sizes,
    ``nearest`` (m,) the finite end of each bracket and ``known`` (m,) whether it is the threshold itself.

    Raises ``MeasurementError`` for other sizes or brackets.
    """

    def __init__(self, x: Iterable[Any], brackets: Iterable[tuple[float, float]]) -> None:
        low, high = np.array(list(brackets), dtype=np.float64).reshape(-1, 2).T
        self.below, self.above, self.known = low == 0, high == math.inf, low == high
        if not np.all(self.known ^ self.below ^ self.above) or np.any(self.known & (self.below | self.above)):
            raise MeasurementError(
                f"brackets={list(zip(low.tolist(), high.tolist(), strict=True))!r}: expected a number twice, "
                "or one with 0 below it or infinity above it"
            )
        ends = Series(x, np.where(self.above, low, high))
        self.x, self.log_x, self.nearest = ends.x, ends.log_x, np.array(ends.y)

    def __repr__(self) -> str:
        return f"Thresholds({len(self.x)} sizes, {int(np.sum(~self.known))} outside their grids)"

    def scaled(self, factors: Iterable[float]) -> Thresholds:
        """Every threshold times its own positive factor (m,)."""
        ends = self.nearest * np.asarray(factors, dtype=np.float64)
        low, high = np.where(self.below, 0.0, ends), np.where(self.above, math.inf, ends)
        return Thresholds(self.x, zip(low.tolist(), high.tolist(), strict=True))

    def exponent(self, conf: float = 0.99, *, min_sizes: int = 6, min_decades: float = 1.5) -> Estimate:
        r"""The power of x by which they grow, with an interval for ``IntervalWithin``.

        With all thresholds known it is the slope of their logarithms and Student's t interval at confidence
        ``conf``. Otherwise the interval covers those of *all* values that the unknown ones may have: a limit
        beyond it holds, or fails, wherever they are, and one inside it is undecided. The value is then the
        slope at the nearest ends, one of those possible.

        The lower end of the interval is a concave function of the logarithms y (a linear one less a norm),
        and the unknown ones range over rays from the nearest ends. So its infimum is its value there, unless
        some ray alone drives it down, and then it is :math:`-\infty`; the upper end likewise. A single
        threshold that runs away takes its own scatter with it: with :math:`R^2` that of its indicator on
        log x, the end follows only if :math:`R^2\ge t^2/(t^2+m-2)`. On evenly spaced sizes none comes near,
        and one threshold outside its grid leaves the exponent undecided on both sides: take a wider grid.

        Raises ``MeasurementError`` for fewer than ``min_sizes`` sizes or ``min_decades`` decades, as rules
        about slopes do, ``ValueError`` for a bad ``conf``. Cost: a fit for each unknown threshold.
        """
        ends = series(Series(self.x, self.nearest), min_sizes, min_decades)
        fit = linear_fit(ends.log_x, ends.log_y, conf)
        low, high = fit.interval
        for i in np.flatnonzero(~self.known):
            ray = np.zeros(len(ends))
            ray[i] = 1.0 if self.above[i] else -1.0
            start, end = linear_fit(ends.log_x, ray, conf).interval
            low = -math.inf if start < 0 else low
            high = math.inf if end > 0 else high
        return Estimate(fit.slope, (low, high), conf)


def _rates(x: Iterable[float], rate: Iterable[float], level: float) -> tuple[np.ndarray, np.ndarray]:
    x, rate = _curve("rate", x, rate, least=0.0)
    if not math.isfinite(level):
        raise ValueError(f"level={level!r}: expected a finite number")
    return x, rate


def _crosses(fit: np.ndarray, level: float) -> bool:
    """Whether the rising ``fit`` reaches ``level`` from one side and leaves it, or stays, on the other."""
    return bool(fit[0] <= level <= fit[-1] and fit[0] < fit[-1])


def _crossing(x: np.ndarray, fit: np.ndarray, level: float) -> float:
    log_x = np.log(x)
    return math.exp((_first_reach(log_x, fit, level) + _last_reach(log_x, fit, level)) / 2)


def _first_reach(x: np.ndarray, y: np.ndarray, level: float) -> float:
    """Where the rising ``y`` first reaches ``level``."""
    i = int(np.argmax(y >= level))
    return float(x[0] if i == 0 else x[i - 1] + (level - y[i - 1]) / (y[i] - y[i - 1]) * (x[i] - x[i - 1]))


def _last_reach(x: np.ndarray, y: np.ndarray, level: float) -> float:
    """Where the rising ``y`` leaves ``level`` for good."""
    return -_first_reach(-x[::-1], -y[::-1], -level)


def _curve(label: Any, x: Any, y: Any, least: float | None = 0.0) -> tuple[np.ndarray, np.ndarray]:
    x, y = (np.asarray(v if isinstance(v, np.ndarray) else list(v), dtype=np.float64) for v in (x, y))
    if x.ndim != 1 or x.shape != y.shape or len(x) < 2:
        raise MeasurementError(
            f"{label!r}: x and y of shapes {x.shape} and {y.shape}: expected two equal lengths"
        )
    if not (np.all(np.isfinite(x)) and x[0] > 0 and np.all(np.diff(x) > 0)):
        raise MeasurementError(f"{label!r}: expected x positive, finite and strictly increasing")
    if not np.all(np.isfinite(y)) or (least is not None and np.any(y < least)):
        raise MeasurementError(f"{label!r}: expected y finite and not negative")
    return x, y
