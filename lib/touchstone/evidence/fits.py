"""Straight lines through measurements, with intervals: the slopes that scaling and rate claims speak of."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.series import logs

RESAMPLES = 9999


@dataclass(frozen=True)
class Fit:
    """A fitted line ``y ≈ intercept + slope x`` (of logarithms, where the fit was one of logarithms).

    ``interval`` holds the slope with confidence ``conf``; ``residual`` is the largest absolute residual.
    """

    slope: float
    interval: tuple[float, float]
    intercept: float
    r2: float
    conf: float
    residual: float
    points: int


def linear_fit(x: Iterable[float], y: Iterable[float], conf: float = 0.95) -> Fit:
    """Least squares of ``y`` on ``x``, both (m,), with Student's t interval for the slope.

    Every departure from the line counts as residual, a deterministic bend as much as noise: the interval
    says how well one slope describes the range that was run. It never gets narrower than the rounding
    error of the numbers. Raises ``MeasurementError`` for fewer than three points, values that are not
    finite, or ``x`` all equal; ``ValueError`` for ``conf`` outside (0, 1).
    """
    _check_confidence(conf)
    x, y = _points(x, y)
    fit = _least_squares(x, y)
    half_width = float(stats.t.ppf(0.5 + conf / 2, len(x) - 2) * fit.standard_error)
    return Fit(
        fit.slope,
        (fit.slope - half_width, fit.slope + half_width),
        fit.intercept,
        fit.r2,
        conf,
        fit.largest_residual,
        len(x),
    )


def loglog_fit(
    x: Iterable[Any],
    y: Iterable[Any],
    conf: float = 0.95,
    *,
    groups: Sequence[Hashable] | None = None,
    rng: np.random.Generator | None = None,
) -> Fit:
    """The power of ``x`` by which ``y`` grows: ``linear_fit`` of ``log y`` on ``log x``, natural logarithms.

    ``x`` and ``y`` are positive numbers of any size. With ``groups`` (one label a point, usually the seed)
    the interval comes from a bootstrap that redraws whole groups, so that points which share a seed are not
    taken for independent; its percentiles are widened to those of Student's t for the number of groups,
    because few groups say little about their own spread. It needs ``rng`` and at least five groups.

    Raises ``MeasurementError`` for too few points or groups or for values that are not positive,
    ``ValueError`` for a bad ``conf`` or ``groups`` without ``rng``.
    """
    log_x, log_y = logs("x", x), logs("y", y)
    fit = linear_fit(log_x, log_y, conf)
    if groups is None:
        return fit
    if rng is None:
        raise ValueError("rng=None: expected a random generator, as groups are resampled")
    interval = _cluster_interval(log_x, log_y, groups, conf, rng)
    return Fit(fit.slope, interval, fit.intercept, fit.r2, conf, fit.residual, fit.points)


def local_slopes(x: Iterable[Any], y: Iterable[Any]) -> np.ndarray:
    """Slopes of ``log y`` against ``log x`` between neighbouring points: (m - 1,) for m points.

    Numbers of any size. Raises ``MeasurementError`` unless there are two points and ``x`` increases.
    """
    log_x, log_y = _points(logs("x", x), logs("y", y), least=2)
    if not np.all(np.diff(log_x) > 0):
        raise MeasurementError("x: expected sizes that strictly increase")
    return np.diff(log_y) / np.diff(log_x)


@dataclass(frozen=True)
class _Line:
    slope: float
    intercept: float
    standard_error: float
    r2: float
    largest_residual: float


def _least_squares(x: np.ndarray, y: np.ndarray) -> _Line:
    dx, dy = x - x.mean(), y - y.mean()
    sxx, syy = float(dx @ dx), float(dy @ dy)
    slope = float(dx @ dy) / sxx
    residuals = dy - slope * dx
    # each logarithm carries a few units in its last place: exact counts have no smaller spread than that
    rounding = 4 * np.finfo(np.float64).eps * float(np.max(np.abs(y), initial=0.0))
    spread = max(math.sqrt(float(residuals @ residuals) / (len(x) - 2)), rounding)
    unexplained = float(residuals @ residuals) / syy if syy > 0 else 0.0
    largest = float(np.max(np.abs(residuals)))
    return _Line(
        slope,
        float(y.mean() - slope * x.mean()),
        spread / math.sqrt(sxx),
        1.0 - unexplained,
        largest if largest > rounding else 0.0,
    )


def _cluster_interval(
    x: np.ndarray, y: np.ndarray, groups: Sequence[Hashable], conf: float, rng: np.random.Generator
) -> tuple[float, float]:
    labels = list(groups)
    if len(labels) != len(x):
        raise ValueError(f"groups of length {len(labels)}: expected one label for each of {len(x)} points")
    index = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    m = len(index)
    if m < 5:
        raise MeasurementError(f"groups: expected at least 5 different ones, got {m}")
    x, y = x - x.mean(), y - y.mean()
    sums = np.zeros((5, m))
    for row, values in zip(sums, (np.ones_like(x), x, y, x * x, x * y), strict=True):
        np.add.at(row, [index[label] for label in labels], values)

    def slope(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        n, sx, sy, sxx, sxy = (row[drawn.astype(np.intp)].sum(axis=axis) for row in sums)
        return (sxy - sx * sy / n) / (sxx - sx * sx / n)

    widened = math.sqrt(m / (m - 1)) * float(stats.t.ppf(0.5 + conf / 2, m - 1))
    level = 1.0 - 2.0 * float(stats.norm.cdf(-widened))
    result = stats.bootstrap(
        (np.arange(m),),
        slope,
        n_resamples=RESAMPLES,
        confidence_level=level,
        method="percentile",
        vectorized=True,
        batch=1000,
        rng=rng,
    )
    low, high = (float(end) for end in result.confidence_interval)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise MeasurementError("groups: expected each group to cover at least two different x")
    return low, high


def _points(x: Iterable[float], y: Iterable[float], least: int = 3) -> tuple[np.ndarray, np.ndarray]:
    x, y = (np.asarray(v if isinstance(v, np.ndarray) else list(v), dtype=np.float64) for v in (x, y))
    if x.ndim != 1 or x.shape != y.shape:
        raise MeasurementError(f"x and y of shapes {x.shape} and {y.shape}: expected two equal lengths")
    if len(x) < least:
        raise MeasurementError(f"{len(x)} points: expected at least {least}")
    for name, values in (("x", x), ("y", y)):
        if not np.all(np.isfinite(values)):
            raise MeasurementError(f"{name}[{int(np.argmin(np.isfinite(values)))}]: expected finite numbers")
    if np.all(x == x[0]):
        raise MeasurementError(f"x all equal to {x[0]:g}: expected at least two different values")
    return x, y


def _check_confidence(conf: float) -> None:
    if not 0 < conf < 1:
        raise ValueError(f"conf={conf!r}: expected a number between 0 and 1")
