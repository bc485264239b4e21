"""Where a sharp change sits, and whether curves for different sizes fall onto one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from touchstone.evidence.errors import MeasurementError

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
    ``MeasurementError`` when the fitted curve does not cross: the grid does not hold the threshold.
    """
    x, rate = _curve("rate", x, rate, least=0.0)
    if not math.isfinite(level):
        raise ValueError(f"level={level!r}: expected a finite number")
    fits = [isotonic_regression(rate, increasing=rising).x for rising in (True, False)]
    errors = [float(np.sum((fit - rate) ** 2)) for fit in fits]
    fit = fits[0] if errors[0] <= errors[1] else -fits[1]
    level = level if errors[0] <= errors[1] else -level
    if not (fit[0] <= level <= fit[-1] and fit[0] < fit[-1]):
        raise MeasurementError(
            f"rate from {rate[0]:.4g} to {rate[-1]:.4g}: expected the grid of x to hold a crossing of "
            f"level={abs(level):.4g}"
        )
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
