"""Planes through measurements: exponents in several sizes at once, one slope for several curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.means import Estimate
from touchstone.evidence.series import Series


@dataclass(frozen=True)
class MultilinearFit:
    """A fitted plane ``y ≈ intercept + Σ coefficient · x``; ``coefficients`` by name, each with interval."""

    coefficients: Mapping[str, Estimate]
    intercept: float
    r2: float
    points: int


def multilinear_fit(
    X: Mapping[str, Iterable[float]], y: Iterable[float], conf: float = 0.99
) -> MultilinearFit:
    """Least squares of ``y`` (m,) on the named columns of ``X``, each (m,), with a constant.

    Pass logarithms to get exponents. The intervals are Student's t, each at confidence ``conf``; every
    departure from the plane counts as residual. Raises ``MeasurementError`` for fewer than p + 2 points with
    p columns, values that are not finite, or columns that determine one another (the grid moved two sizes
    together); ``ValueError`` for a bad ``conf`` or no column. Cost: one QR of (m, p + 1).
    """
    if not 0 < conf < 1:
        raise ValueError(f"conf={conf!r}: expected a number between 0 and 1")
    if not isinstance(X, Mapping) or not X:
        raise ValueError("X: expected a mapping of names to at least one column")
    y = _column("y", y)
    columns = {str(name): _column(str(name), column) for name, column in X.items()}
    for name, column in columns.items():
        if column.shape != y.shape:
            raise MeasurementError(f"{name} of length {len(column)}: expected {len(y)}, one for each y")
    if len(y) < len(columns) + 2:
        raise MeasurementError(
            f"{len(y)} points: expected at least {len(columns) + 2} for {len(columns)} slopes"
        )
    centres = {name: float(column.mean()) for name, column in columns.items()}
    design = np.stack([column - centres[name] for name, column in columns.items()], axis=1)
    slopes, errors, residual = _least_squares(design, y - y.mean(), len(y) - len(columns) - 1)
    quantile = float(stats.t.ppf(0.5 + conf / 2, len(y) - len(columns) - 1))
    coefficients = {
        name: Estimate(float(slope), (float(slope - quantile * error), float(slope + quantile * error)), conf)
        for name, slope, error in zip(columns, slopes, errors, strict=True)
    }
    total = float(np.sum((y - y.mean()) ** 2))
    intercept = float(y.mean()) - sum(coefficients[name].value * centres[name] for name in columns)
    return MultilinearFit(coefficients, intercept, 1 - residual / total if total > 0 else 1.0, len(y))


def common_slope(curves: Mapping[Any, Series], conf: float = 0.99) -> Estimate:
    """The one exponent that fits all ``curves`` best, each with its own constant (analysis of covariance).

    Curves that do not share their exponent show as residual and widen the interval. Raises
    ``MeasurementError`` for no curve, curves of one size, or fewer than two points to spare.
    """
    if not curves:
        raise MeasurementError("curves: expected at least one")
    for label, curve in curves.items():
        if not isinstance(curve, Series) or len(curve) < 2:
            raise MeasurementError(f"{label}: expected a Series of at least two sizes")
    dx = np.concatenate([curve.log_x - curve.log_x.mean() for curve in curves.values()])
    dy = np.concatenate([curve.log_y - curve.log_y.mean() for curve in curves.values()])
    freedom = len(dx) - len(curves) - 1
    if freedom < 1:
        raise MeasurementError(
            f"{len(dx)} points in {len(curves)} curves: expected at least {len(curves) + 2}"
        )
    size = max(float(np.max(np.abs(curve.log_y))) for curve in curves.values())
    slopes, errors, _ = _least_squares(dx[:, None], dy, freedom, size)
    half = float(stats.t.ppf(0.5 + conf / 2, freedom)) * float(errors[0])
    return Estimate(float(slopes[0]), (float(slopes[0]) - half, float(slopes[0]) + half), conf)


def _least_squares(
    design: np.ndarray, y: np.ndarray, freedom: int, size: float | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Coefficients, their standard errors and the sum of squared residuals; all columns centred."""
    lengths = np.linalg.norm(design, axis=0)
    if np.any(lengths == 0):
        raise MeasurementError("X: expected columns that vary")
    Q, R = np.linalg.qr(design / lengths)
    if np.min(np.abs(np.diagonal(R))) < 1e-8:
        raise MeasurementError("X: expected columns that do not determine one another")
    slopes = np.linalg.solve(R, Q.T @ y) / lengths
    residual = float(np.sum((y - design @ slopes) ** 2))
    # exact counts have no smaller spread than the rounding of their logarithms
    rounding = 4 * np.finfo(np.float64).eps * (float(np.max(np.abs(y))) if size is None else size)
    spread = max(math.sqrt(residual / freedom), rounding)
    return slopes, spread * np.linalg.norm(np.linalg.inv(R), axis=1) / lengths, residual


def _column(name: str, values: Any) -> np.ndarray:
    column = np.asarray(values if isinstance(values, np.ndarray) else list(values), dtype=np.float64)
    if column.ndim != 1 or column.size == 0 or not np.all(np.isfinite(column)):
        raise MeasurementError(f"{name}: expected a row of finite numbers")
    return column
