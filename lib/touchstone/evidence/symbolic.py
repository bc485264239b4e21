"""Exact derivatives by SymPy, for spot checks of small shapes.

The function is written in ordinary arithmetic and SymPy's functions (``sympy.exp``); it is called once, on an
array of symbols. The derivative is an array of expressions to read, and to evaluate at a point with as
many digits as it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import sympy

from touchstone.arrays import to_host
from touchstone.evidence.errors import MeasurementError

CONTAINERS = ("array", "matrix")
# Expressions grow with the square of the number of symbols and worse; beyond this use ``high_precision``.
LARGEST = 64
DOUBLINGS = 4


@dataclass(frozen=True)
class Derivative:
    """Exact ``expressions`` (an object array of any shape) in ``symbols`` (of the argument's shape)."""

    expressions: np.ndarray
    symbols: np.ndarray

    def at(self, x: Any, digits: int = 30) -> np.ndarray:
        """The value at ``x``, of the shape of ``expressions``, in float64.

        The floats in ``x`` are taken as the binary fractions that they are. The working precision doubles
        until every entry has ``digits`` digits that no longer change (entries below 10^-digits of the
        largest count as zero); then each is rounded once. Raises ``ValueError`` for an ``x`` of another
        shape, ``MeasurementError`` where the derivative is not a finite real number.
        """
        point = np.asarray(to_host(x))
        if point.shape != self.symbols.shape:
            raise ValueError(f"x of shape {point.shape}: expected {self.symbols.shape}")
        try:
            numbers = [mpmath.mpf(entry) for entry in point.ravel().tolist()]
        except (TypeError, ValueError) as error:
            raise MeasurementError(f"x: expected real numbers, got {error}") from None
        if not all(mpmath.isfinite(number) for number in numbers):
            raise MeasurementError("x: expected finite real numbers")
        compute = sympy.lambdify(
            list(self.symbols.ravel()), self.expressions.ravel().tolist(), modules="mpmath", cse=True
        )
        values: list[Any] = []
        for doubling in range(1, 2 + DOUBLINGS):
            before = values
            with mpmath.workdps(digits * 2**doubling):
                values = [_real(value, i) for i, value in enumerate(_computed(compute, numbers))]
                if before and _settled(before, values, digits):
                    return np.array([float(value) for value in values]).reshape(self.expressions.shape)
        raise MeasurementError(
            f"the digits still change at {digits * 2**doubling} digits: x is a singular point"
        )


def _computed(compute: Callable[..., list[Any]], numbers: list[Any]) -> list[Any]:
    try:
        return compute(*numbers)
    except (ArithmeticError, ValueError, TypeError, NameError) as error:
        raise MeasurementError(f"the derivative cannot be evaluated at x: {error}") from error


def _real(value: Any, i: int) -> Any:
    value = mpmath.mpmathify(value)
    if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value):
        raise MeasurementError(f"entry {i} of the derivative is {value} at x: expected a finite real number")
    return value


def _settled(before: list[Any], values: list[Any], digits: int) -> bool:
    unit = mpmath.mpf(10) ** -digits
    floor = unit * max(abs(value) for value in values)
    return all(abs(a - b) <= unit * max(abs(b), floor) for a, b in zip(before, values, strict=True))


def symbols_of(shape: int | Sequence[int], name: str = "x") -> np.ndarray:
    """An object array of real symbols ``name_0_0, name_0_1, ...`` of ``shape`` (one symbol for ``()``)."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    out = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        out[index] = sympy.Symbol("_".join([name, *map(str, index)]), real=True)
    return out


def symbolic_gradient(
    f: Callable[[Any], Any], shape: int | Sequence[int], *, container: str = "array"
) -> Derivative:
    """The exact gradient of the scalar function ``f`` of an argument of ``shape``.

    ``container`` says what ``f`` is called on: ``"array"`` (an object array of symbols) or ``"matrix"``
    (``sympy.Matrix``, for one or two axes). Raises ``ValueError`` for a bad argument, more than 64 symbols,
    or an ``f`` that returns no scalar. Cost: grows fast with the number of symbols.
    """
    derivative = symbolic_jacobian(f, shape, container=container)
    if derivative.expressions.ndim != derivative.symbols.ndim:
        raise ValueError("f returned an array: expected a scalar")
    return derivative


def symbolic_jacobian(
    f: Callable[[Any], Any], shape: int | Sequence[int], *, container: str = "array"
) -> Derivative:
    """All exact first derivatives of ``f``: expressions of shape ``f(x).shape + shape``.

    A column that ``f`` returns as an ``n × 1`` matrix counts as a vector, a ``1 × 1`` matrix as a scalar.
    Arguments and errors as for ``symbolic_gradient``.
    """
    symbols, value = _evaluated(f, shape, container)
    return Derivative(_differentiated(value, symbols), symbols)


def symbolic_hessian(
    f: Callable[[Any], Any], shape: int | Sequence[int], *, container: str = "array"
) -> Derivative:
    """All exact second derivatives of ``f``: expressions of shape ``f(x).shape + shape + shape``.

    Arguments and errors as for ``symbolic_gradient``; ``f`` may return an array.
    """
    symbols, value = _evaluated(f, shape, container)
    return Derivative(_differentiated(_differentiated(value, symbols), symbols), symbols)


def _evaluated(
    f: Callable[[Any], Any], shape: int | Sequence[int], container: str
) -> tuple[np.ndarray, np.ndarray]:
    if container not in CONTAINERS:
        raise ValueError(f"container={container!r}: expected one of {', '.join(map(repr, CONTAINERS))}")
    symbols = symbols_of(shape)
    if not 1 <= symbols.size <= LARGEST:
        raise ValueError(f"shape={shape!r}: expected between 1 and {LARGEST} entries, got {symbols.size}")
    if container == "matrix" and symbols.ndim not in (1, 2):
        raise ValueError(f"shape={shape!r}: expected one or two axes for container='matrix'")
    value = f(sympy.Matrix(symbols.tolist()) if container == "matrix" else symbols)
    if isinstance(value, sympy.MatrixBase):
        rows, columns = value.shape
        value = np.array(value.tolist(), dtype=object).reshape(rows, columns)
        value = value.reshape(()) if value.size == 1 else value[:, 0] if columns == 1 else value
    value = np.asarray(value, dtype=object)
    out = np.empty(value.shape, dtype=object)
    for index, entry in np.ndenumerate(value):
        try:
            out[index] = _exact(sympy.sympify(entry))
        except (sympy.SympifyError, TypeError) as error:
            raise ValueError(f"f returned {type(entry).__name__}: expected SymPy expressions") from error
    return symbols, out


def _exact(expression: sympy.Expr) -> sympy.Expr:
    """Floats of the function's own data as the binary fractions that they are."""
    return expression.xreplace({number: sympy.Rational(number) for number in expression.atoms(sympy.Float)})


def _differentiated(value: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    out = np.empty(value.shape + symbols.shape, dtype=object)
    for index, entry in np.ndenumerate(value):
        for at, symbol in np.ndenumerate(symbols):
            out[(*index, *at)] = sympy.diff(entry, symbol)
    return out
