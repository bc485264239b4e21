"""Derivatives that know nothing of a paper's formulas: the independent side of an identity.

Three ways, in the order of choice.

- *Complex step*, for functions that are analytic in their argument: f'(x)[v] = Im f(x + ihv) / h with h far
  below rounding. Nothing is subtracted, so the result is as accurate as f itself and has no truncation
  error at any width. The function must carry the imaginary part through: no ``abs``, ``conj``, ``real`` or
  norm (write ``x.T @ x``), branches decided on the real part. Each driver compares itself with central
  differences and raises ``NotAnalyticError`` where they disagree.
- *Central differences with Richardson extrapolation*, for any smooth function: some 10 to 12 digits in
  float64, with an error estimate.
- Fifty digits (``high_precision``) or exact expressions (``symbolic``), for spot checks of small shapes.

Second derivatives: where a gradient formula exists, ``complex_step_jacobian(gradient, x)`` is exact to
rounding. Where only the function exists, ``complex_step_hessian`` and ``complex_step_hvp`` take central
differences of complex-step gradients.

Arguments are floating-point arrays of any shape from any namespace, or numbers; derivatives come back in
the argument's namespace. Functions are called on arrays of the argument's shape.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from touchstone.arrays import Array, stream
from touchstone.evidence.differences import (
    argument,
    difference_along,
    direction_at,
    placed,
    placed_like,
    value_of,
)
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.extrapolation import Estimate

# The complex step and the differences have to agree to this part of the sum of the terms' absolute values.
AGREEMENT = 1e-6

_ADVICE = (
    "f is not analytic here (abs, conj, real, a norm, or a branch on complex numbers?)."
    " Rewrite it, use central_difference, or pass check=False if f is known to be analytic"
)


class NotAnalyticError(MeasurementError):
    """A function that the complex step cannot differentiate: it loses or conjugates the imaginary part."""


# -- complex step ----------------------------------------------------------------------------------------


def complex_step_gradient(f: Callable[[Array], Any], x: Array, *, check: bool = True) -> Array:
    """The gradient of the scalar function ``f`` at ``x``: an array of the shape of ``x``.

    ``check`` compares the result with central differences of ``f`` along one direction in which every
    entry of the gradient takes part: it finds an entry that is wrong by 1e-4 of the largest one. Cost: one
    complex evaluation an entry of ``x``, and 21 real ones for the check.

    Raises ``NotAnalyticError`` when the two disagree or when ``f`` returns real numbers for complex
    arguments (unless it is constant), ``ValueError`` when ``x`` is empty or ``f`` returns no scalar,
    ``MeasurementError`` when ``x`` or a result is not finite. Source: W. Squire, G. Trapp, *Using complex
    variables to estimate derivatives of real functions* (1998).
    """
    return _all_derivatives(f, x, check=check, scalar=True)


def complex_step_jacobian(f: Callable[[Array], Any], x: Array, *, check: bool = True) -> Array:
    """All first derivatives of ``f`` at ``x``: an array of shape ``f(x).shape + x.shape``.

    Entry ``[k, j]`` is the derivative of ``f(x)[k]`` with respect to ``x[j]``, for indices ``k`` and ``j``
    of any number of axes. Arguments, cost and errors as for ``complex_step_gradient``; ``f`` may return an
    array of any shape.
    """
    return _all_derivatives(f, x, check=check, scalar=False)


def complex_step_derivative(f: Callable[[Array], Any], x: Array, v: Array, *, check: bool = True) -> Array:
    """The derivative of ``f`` at ``x`` along ``v``: f'(x)[v], an array of the shape of ``f(x)``.

    Never forms the Jacobian: one complex evaluation, and 21 real ones for the check, which compares with
    central differences along ``v`` alone. ``v`` has the shape of ``x`` and need not be normalised. Errors
    as for ``complex_step_gradient``; ``ValueError`` when ``v`` is zero or of another shape.
    """
    x, point = argument(x)
    direction = direction_at(v, point)
    derivative = _complex_step(f, x, point, direction)
    if check:
        _cross_check(f, x, point, direction, derivative, np.abs(derivative))
    return placed_like(derivative, x)


def complex_step_hessian(f: Callable[[Array], Any], x: Array, *, check: bool = True) -> Estimate:
    """The Hessian of the scalar function ``f`` at ``x``, of shape ``x.shape + x.shape``, with its error.

    Central differences of complex-step gradients: some 12 digits in float64. The symmetric part is
    returned and the antisymmetric one, which only error can cause, is added to the error. Cost: 21 times
    the square of the number of entries of ``x``. Errors as for ``complex_step_gradient``.
    """
    value, error = _all_differences(_unchecked_gradient(f, x, check), x, None)
    x, point = argument(x)
    n = point.size
    value, error = value.reshape(n, n), error.reshape(n, n)
    symmetric = (value + value.T) / 2
    error = np.maximum(error, error.T) + np.abs(value - value.T) / 2
    shape = point.shape + point.shape
    return Estimate(placed_like(symmetric.reshape(shape), x), placed_like(error.reshape(shape), x))


def complex_step_hvp(f: Callable[[Array], Any], x: Array, v: Array, *, check: bool = True) -> Estimate:
    """The Hessian of the scalar function ``f`` at ``x`` times ``v``, of the shape of ``x``, with its error.

    Never forms the Hessian: 21 complex-step gradients. Errors as for ``complex_step_derivative``.
    """
    return directional_difference(_unchecked_gradient(f, x, check), x, v)


def complex_step_curvature(
    f: Callable[[Array], Any], x: Array, u: Array, v: Array, *, check: bool = True
) -> Estimate:
    """The second derivative of ``f`` at ``x`` along ``u`` and ``v``, f''(x)[u, v], of the shape of ``f(x)``.

    For a scalar function this is uᵀHv. Forms no gradient: 21 complex evaluations whatever the size of
    ``x``. Errors as for ``complex_step_derivative``.
    """
    if check:
        complex_step_derivative(f, x, u)
    return directional_difference(lambda y: complex_step_derivative(f, y, u, check=False), x, v)


# -- central differences ---------------------------------------------------------------------------------


def central_difference(f: Callable[[Array], Any], x: Array, step: float | None = None) -> Estimate:
    """All first derivatives of ``f`` at ``x``, of shape ``f(x).shape + x.shape``, with their errors.

    ``f`` returns a scalar or an array, real or complex. Without ``step``, ten steps are taken in each
    coordinate, from 0.23 down to 9e-7 of its scale (its absolute value, at least a hundredth of the
    largest one; 1 when ``x`` is zero), and each output takes the extrapolation that its own error estimate
    likes best: long steps where rounding rules (float32), short ones where the function bends. With
    ``step`` (absolute), the steps ``step`` and ``step / 2`` and one extrapolation. At a kink the value is the
    mean of the slopes on its sides and half their difference is part of the error (found in float64 only).
    Cost: 21 evaluations an entry of ``x``, or 5 with ``step``.

    Raises ``MeasurementError`` when ``x`` is not finite or ``f`` is not finite at any two neighbouring
    steps, ``ValueError`` for a step that is not positive.
    """
    value, error = _all_differences(f, x, step)
    x, _ = argument(x)
    return Estimate(placed_like(value, x), placed_like(error, x))


def directional_difference(
    f: Callable[[Array], Any], x: Array, v: Array, step: float | None = None
) -> Estimate:
    """The derivative of ``f`` at ``x`` along ``v``, of the shape of ``f(x)``, with its error.

    Never forms the Jacobian. ``step`` multiplies ``v``; without it the steps move ``x`` by 0.23 down to
    9e-7 of its scale. Cost: 21 evaluations, or 5 with ``step``. Errors as for ``central_difference``;
    ``ValueError`` when ``v`` is zero or of another shape.
    """
    x, point = argument(x)
    value, error = difference_along(f, x, point, direction_at(v, point), step)
    return Estimate(placed_like(value, x), placed_like(error, x))


def difference_quotient(
    f: Callable[[Array], Any],
    x: Array,
    y: Array,
    *,
    norm: str | Callable[[np.ndarray], float] = "frobenius",
    input_norm: str | Callable[[np.ndarray], float] = "frobenius",
) -> Estimate:
    """‖f(x) − f(y)‖ / ‖x − y‖, a lower bound on a Lipschitz constant, with its rounding error.

    ``norm`` measures ``f(x) - f(y)`` and ``input_norm`` measures ``x - y``: ``"frobenius"`` (the Euclidean
    norm of all entries), ``"spectral"`` (matrices), ``"max"`` (largest entry), ``"sum"`` (of absolute
    values), or a function of a NumPy array. The error says what rounding of ``f`` to its width can do to
    the quotient; hand it to the rule, because nearby points make it large. Cost: two evaluations.

    Raises ``ValueError`` for different shapes, equal points, or a norm that does not fit,
    ``MeasurementError`` when a value is not finite.
    """
    x, first = argument(x)
    y, second = argument(y)
    if first.shape != second.shape:
        raise ValueError(f"y of shape {second.shape}: expected {first.shape}, the shape of x")
    distance = _norm("input_norm", input_norm, first.astype(np.float64) - second)
    if not distance > 0:
        raise ValueError("y: expected a point different from x")
    at_x, at_y = (np.atleast_1d(value_of(f(placed_like(p, x)))) for p in (first, second))
    if not (np.all(np.isfinite(at_x)) and np.all(np.isfinite(at_y))):
        raise MeasurementError("f: expected finite values at x and y")
    wide = np.result_type(at_x.dtype, np.float64)
    rise = _norm("norm", norm, at_x.astype(wide) - at_y.astype(wide))
    eps = float(np.finfo(at_x.dtype).eps)
    error = eps * (_norm("norm", norm, np.abs(at_x)) + _norm("norm", norm, np.abs(at_y))) / distance
    return Estimate(rise / distance, error)


# -- inside ----------------------------------------------------------------------------------------------


def _unit_directions(point: np.ndarray) -> Iterator[np.ndarray]:
    if point.size == 0:
        raise ValueError(f"x of shape {point.shape}: expected at least one entry")
    for j in range(point.size):
        direction = np.zeros(point.shape)
        direction[np.unravel_index(j, point.shape)] = 1.0
        yield direction


def _all_derivatives(f: Callable[[Array], Any], x: Array, *, check: bool, scalar: bool) -> Array:
    x, point = argument(x)
    columns = []
    for direction in _unit_directions(point):
        columns.append(_complex_step(f, x, point, direction))
        if scalar and columns[0].ndim:
            raise ValueError(f"f returned an array of shape {columns[0].shape}: expected a scalar")
    jacobian = np.stack(columns, axis=-1)
    if check:
        size = np.linalg.norm(jacobian.reshape(-1, point.size), axis=0).reshape(point.shape)
        direction = _revealing_direction(size)
        along = jacobian * direction.ravel()
        _cross_check(f, x, point, direction, along.sum(axis=-1), np.abs(along).sum(axis=-1))
    return placed_like(jacobian.reshape((*jacobian.shape[:-1], *point.shape)), x)


def _all_differences(f: Callable[[Array], Any], x: Array, step: float | None) -> Estimate:
    x, point = argument(x)
    parts = [difference_along(f, x, point, direction, step) for direction in _unit_directions(point)]
    value, error = (np.stack([part[i] for part in parts], axis=-1) for i in (0, 1))
    shape = (*value.shape[:-1], *point.shape)
    return Estimate(value.reshape(shape), error.reshape(shape))


def _unchecked_gradient(f: Callable[[Array], Any], x: Array, check: bool) -> Callable[[Array], Array]:
    if check:  # once, at the point itself
        complex_step_gradient(f, x)
    return lambda y: complex_step_gradient(f, y, check=False)


def _complex_step(
    f: Callable[[Array], Any], x: Array, point: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """Im f(x + ih direction) / h, on the host."""
    # far below rounding, yet so long that the product with a small derivative does not underflow
    exponent = -100 if point.dtype == np.float64 else -40
    scale = float(np.max(np.abs(point))) or 1.0
    step = math.ldexp(1.0, exponent + math.frexp(scale / float(np.max(np.abs(direction))))[1])
    dtype = np.result_type(point.dtype, np.complex64)
    shifted = np.asarray(point + 1j * (step * direction), dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            y = value_of(f(placed(shifted, x)))
        except np.exceptions.ComplexWarning as error:
            raise NotAnalyticError(f"f drops the imaginary part of its argument: {error}") from error
        except TypeError as error:
            raise NotAnalyticError(f"f does not take complex arguments: {error}") from error
    if not np.all(np.isfinite(y)):
        raise MeasurementError("f: expected finite values at x, with a complex step")
    if y.dtype.kind != "c" and _moves(f, x, point, direction, y):
        raise NotAnalyticError(f"f returns real numbers for complex arguments: {_ADVICE}")
    return y.imag.astype(np.float64) / step


def _moves(
    f: Callable[[Array], Any], x: Array, point: np.ndarray, direction: np.ndarray, here: np.ndarray
) -> bool:
    """Whether ``f`` differs from its value ``here`` a long or a short step away along ``direction``."""
    scale = (float(np.max(np.abs(point))) or 1.0) / float(np.max(np.abs(direction)))
    with np.errstate(all="ignore"):
        return any(
            np.any(value_of(f(placed_like(point + t * scale * direction, x))) != here)
            for t in (0.2297, -0.2297, 1e-3, -1e-3)
        )


def _revealing_direction(size: np.ndarray) -> np.ndarray:
    """A direction in which large and small entries of a derivative weigh about the same.

    A wrong entry is usually zero (its imaginary part was lost), so entries that look small get the most
    weight; no two weights are equal, so that equal mistakes do not cancel.
    """
    rng = stream(0, "direction of the cross-check", size.size)
    weights = rng.uniform(0.5, 1.5, size.shape) * (2.0 * rng.integers(0, 2, size.shape) - 1.0)
    largest = float(np.max(size))
    return weights / np.maximum(size / largest, 1e-3) if largest > 0 else weights


def _cross_check(
    f: Callable[[Array], Any],
    x: Array,
    point: np.ndarray,
    direction: np.ndarray,
    derivative: np.ndarray,
    size: np.ndarray,
) -> None:
    """Compare ``derivative`` along ``direction``, a sum of terms of total ``size``, with differences of f."""
    value, error = difference_along(f, x, point, direction, None)
    # 20: an error estimate is no bound. 1e-9: outputs that are far smaller than the largest are noise.
    allowed = np.maximum(AGREEMENT * size, 20 * error) + 1e-9 * np.max(size)
    gap = np.abs(value - derivative)
    if np.any(gap > allowed):
        at = np.unravel_index(int(np.argmax(gap - allowed)), gap.shape)
        where = f" of output {tuple(map(int, at))}" if gap.ndim else ""
        raise NotAnalyticError(
            f"the complex step gives {derivative[at]:.6g} for a derivative{where} where central differences"
            f" give {value[at]:.6g}: {_ADVICE}"
        )


def _norm(name: str, norm: str | Callable[[np.ndarray], float], a: np.ndarray) -> float:
    if callable(norm):
        return float(norm(a))
    if norm == "frobenius":
        return float(np.linalg.norm(a.ravel()))
    if norm == "spectral":
        if a.ndim != 2:
            raise ValueError(f"{name}='spectral' for an array of {a.ndim} axes: expected a matrix")
        return float(np.linalg.norm(a, 2))
    if norm == "max":
        return float(np.max(np.abs(a), initial=0.0))
    if norm == "sum":
        return float(np.sum(np.abs(a)))
    raise ValueError(f"{name}={norm!r}: expected 'frobenius', 'spectral', 'max', 'sum' or a function")
