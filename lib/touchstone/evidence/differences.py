"""A function seen along a line: points to evaluate it at, and its central differences there.

What ``differentiation`` stands on. Points and values are kept on the host; the function is called on
arrays of the namespace and the width that its argument came in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import Array, namespace, to_host
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.extrapolation import UNEXPLAINED, Estimate, richardson

# Steps of the central differences, as multiples of the argument's scale: 0.23, 0.057, ... 9e-7. The first is
# no simple fraction, so that a periodic function is not sampled at its period.
FIRST_STEP = 0.2297
STEP_RATIO = 4.0
LEVELS = 10
# Of a smooth function the difference of the one-sided slopes shrinks with the step, at least by a half.
KINK = 0.75


def argument(x: Array) -> tuple[Array, np.ndarray]:
    """``x`` as an array, and as a finite floating-point array on the host."""
    if not hasattr(x, "dtype"):
        x = np.asarray(x, dtype=np.float64)
    point = np.asarray(to_host(x))
    if point.dtype.kind in "iu":
        point = point.astype(np.float64)
        x = placed(point, x)
    if point.dtype.kind != "f":
        raise ValueError(f"x of dtype {point.dtype}: expected real floating-point numbers")
    if not np.all(np.isfinite(point)):
        raise MeasurementError("x: expected finite entries")
    return x, point


def direction_at(v: Array, point: np.ndarray) -> np.ndarray:
    direction = np.asarray(to_host(v), dtype=np.float64)
    if direction.shape != point.shape:
        raise ValueError(f"v of shape {direction.shape}: expected {point.shape}, the shape of x")
    if not np.all(np.isfinite(direction)):
        raise MeasurementError("v: expected finite entries")
    if not np.any(direction):
        raise ValueError("v=0: expected a direction with a non-zero entry")
    return direction


def placed(host: np.ndarray, x: Array) -> Array:
    """``host``, in its own dtype, where ``x`` lives."""
    if isinstance(x, np.ndarray | np.generic):
        return host
    return namespace(x).asarray(host, device=array_api_compat.device(x))


def placed_like(host: np.ndarray, x: Array) -> Array:
    """``host`` in the namespace and the precision of ``x``, complex where ``host`` is."""
    width = np.finfo(np.asarray(to_host(x)).dtype).dtype
    dtype = np.result_type(width, np.complex64) if np.iscomplexobj(host) else width
    return placed(np.asarray(host, dtype=dtype), x)


def value_of(y: Any) -> np.ndarray:
    value = np.asarray(to_host(y))
    if value.dtype.kind in "biu":
        return value.astype(np.float64)
    if value.dtype.kind not in "fc":
        raise ValueError(f"f returned {type(y).__name__} of dtype {value.dtype}: expected numbers")
    return value


def difference_along(
    f: Callable[[Array], Any], x: Array, point: np.ndarray, direction: np.ndarray, step: float | None
) -> Estimate:
    """The derivative of ``f`` at ``point`` along ``direction`` from central differences, on the host."""
    largest = float(np.max(np.abs(direction)))
    reach = float(np.max(np.abs(point[direction != 0])))  # the size of what moves
    if step is None:
        scale = max(reach, 0.01 * float(np.max(np.abs(point)))) or 1.0
        steps = [FIRST_STEP * scale / largest / STEP_RATIO**k for k in range(LEVELS)]
    elif step > 0 and math.isfinite(step):
        steps = [step, step / 2]
    else:
        raise ValueError(f"step={step!r}: expected a positive number")
    eps = float(np.finfo(point.dtype).eps)
    differences, rounding, bends = [], [], []
    with np.errstate(all="ignore"):  # a step outside the domain is passed over below
        here = value_of(f(placed_like(point, x)))
        wide = np.result_type(here.dtype, np.float64)
        for t in steps:
            up, down = (np.asarray(point + s * direction, dtype=point.dtype) for s in (t, -t))
            high, low = (value_of(f(placed(p, x))).astype(wide) for p in (up, down))
            taken = _taken(t, up, down, direction)
            slope = (high - low) / (2 * taken)
            # each value is good to a few units in its last place, each point to half a unit
            in_values = 2 * eps * (np.abs(high) + np.abs(low))
            one_sided = (np.abs(high - here) + np.abs(low - here)) / (2 * taken)
            in_points = eps * reach / largest * one_sided
            differences.append(slope)
            rounding.append((in_values + in_points) / taken)
            bends.append(np.abs(high - here + (low - here)) / taken)
        value, error = richardson(np.stack(differences), steps, np.stack(rounding))
        # where the sides' slopes differ by as much at the shorter step, the mean of the two is no derivative
        kink = (bends[-1] > KINK * bends[-2]) & (bends[-1] > UNEXPLAINED * rounding[-1])
        error = np.where(kink, error + bends[-1] / 2, error)
    if not np.all(np.isfinite(error)):
        raise MeasurementError("f: expected finite values near x, at steps that its width can take")
    return Estimate(value, error)


def _taken(t: float, up: np.ndarray, down: np.ndarray, direction: np.ndarray) -> float:
    """The step between two rounded points: exact along a coordinate; 0 where rounding swallowed it."""
    at = np.unravel_index(int(np.argmax(np.abs(direction))), direction.shape)
    between = float((np.float64(up[at]) - np.float64(down[at])) / (2 * direction[at]))
    return between if np.count_nonzero(direction) == 1 or between == 0 else t
