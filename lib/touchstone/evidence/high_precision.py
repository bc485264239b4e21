"""Derivatives to fifty digits (or as many as asked for), by differences in mpmath's arithmetic.

The function is written in ordinary arithmetic and mpmath's functions (``mpmath.exp``), never NumPy's: it is
called on an object array of ``mpf`` numbers of the argument's shape, or on an ``mpmath.matrix``. At such a
precision plain central differences are as good as exact: the step is 10^-(digits/2 + 2) and the arithmetic
carries the digits that the subtraction eats. Every entry is computed at two steps that have to agree, and
a coarse third one along one direction shows whether the function rounds to a float somewhere inside.

The floats of an argument and of the function's own data are taken as the binary fractions that they are.
Results are object arrays of ``mpf``; ``as_floats`` rounds them once. For spot checks at small shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np

from touchstone.arrays import to_host
from touchstone.evidence.errors import MeasurementError

CONTAINERS = ("array", "matrix")
GUARD_DIGITS = 15
# Digits that the results at the two steps may differ in.
LOST_DIGITS = 5


class PrecisionError(MeasurementError):
    """A function that does not carry the precision: it rounds to floats inside, or is not smooth."""


def precise_gradient(
    f: Callable[[Any], Any], x: Any, digits: int = 50, *, container: str = "array"
) -> np.ndarray:
    """The gradient of the scalar function ``f`` at ``x``, an object array of the shape of ``x``.

    ``x`` holds floats, integers or ``mpf``; ``digits`` are the significant ones wanted of the largest
    entry; ``container`` is ``"array"`` or ``"matrix"`` (mpmath's, for ``x`` of one or two axes). Cost: four
    evaluations an entry of ``x`` at about ``1.5 digits`` digits.

    Raises ``PrecisionError`` when ``f`` rounds to floats or is not smooth at ``x``, ``ValueError`` for a
    bad argument or an ``f`` that returns no scalar.
    """
    jacobian = precise_jacobian(f, x, digits, container=container)
    if jacobian.ndim != np.ndim(_plain(x)):
        shape = jacobian.shape[: jacobian.ndim - np.ndim(_plain(x))]
        raise ValueError(f"f returned an array of shape {shape}: expected a scalar")
    return jacobian


def precise_jacobian(
    f: Callable[[Any], Any], x: Any, digits: int = 50, *, container: str = "array"
) -> np.ndarray:
    """All first derivatives of ``f`` at ``x``: an object array of shape ``f(x).shape + x.shape``.

    A column that ``f`` returns as an ``n × 1`` matrix counts as a vector, a ``1 × 1`` matrix as a scalar.
    Arguments, cost and errors as for ``precise_gradient``.
    """
    function = _Function(f, x, digits, container)
    with mpmath.workdps(digits + digits // 2 + 2 + GUARD_DIGITS):
        point = function.point()
        parts = [function.first(point, v) for v in function.units(point)]
        function.carries_precision(point, order=1)
        result = np.stack(parts, axis=-1)
        return function.rounded(result.reshape((*result.shape[:-1], *point.shape)))


def precise_derivative(
    f: Callable[[Any], Any], x: Any, v: Any, digits: int = 50, *, container: str = "array"
) -> np.ndarray:
    """The derivative of ``f`` at ``x`` along ``v``, of the shape of ``f(x)``, without the Jacobian.

    Four evaluations. Arguments and errors as for ``precise_gradient``.
    """
    function = _Function(f, x, digits, container)
    with mpmath.workdps(digits + digits // 2 + 2 + GUARD_DIGITS):
        point = function.point()
        result = function.first(point, function.direction(v))
        function.carries_precision(point, order=1)
        return function.rounded(result)


def precise_hessian(
    f: Callable[[Any], Any], x: Any, digits: int = 50, *, container: str = "array"
) -> np.ndarray:
    """The Hessian of ``f`` at ``x``: an object array of shape ``f(x).shape + x.shape + x.shape``.

    Cost: eight evaluations a pair of entries of ``x`` at about ``2 digits`` digits. Arguments and errors as
    for ``precise_gradient``.
    """
    function = _Function(f, x, digits, container)
    with mpmath.workdps(2 * digits + 4 + GUARD_DIGITS):
        point = function.point()
        units = list(function.units(point))
        n = len(units)
        rows: list[list[Any]] = [[None] * n for _ in range(n)]
        for i in range(n):
            for j in range(i, n):
                rows[i][j] = rows[j][i] = function.second(point, units[i], units[j])
        function.carries_precision(point, order=2)
        result = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
        shape = (*result.shape[:-2], *point.shape, *point.shape)
        return function.rounded(result.reshape(shape))


def precise_curvature(
    f: Callable[[Any], Any], x: Any, u: Any, v: Any, digits: int = 50, *, container: str = "array"
) -> np.ndarray:
    """The second derivative of ``f`` at ``x`` along ``u`` and ``v``, of the shape of ``f(x)``.

    Eight evaluations, no Hessian. Arguments and errors as for ``precise_gradient``.
    """
    function = _Function(f, x, digits, container)
    with mpmath.workdps(2 * digits + 4 + GUARD_DIGITS):
        point = function.point()
        result = function.second(point, function.direction(u), function.direction(v))
        function.carries_precision(point, order=2)
        return function.rounded(result)


def as_floats(a: np.ndarray) -> np.ndarray:
    """An object array of ``mpf`` (or ``mpc``) rounded once to float64 (or complex128)."""
    a = _array(a)
    kind = complex if any(isinstance(entry, mpmath.mpc) for entry in a.ravel()) else float
    return np.array([kind(entry) for entry in a.ravel()]).reshape(a.shape)


class _Function:
    """``f`` at a precision: converts points and values, and takes differences."""

    def __init__(self, f: Callable[[Any], Any], x: Any, digits: int, container: str) -> None:
        if isinstance(digits, bool) or not isinstance(digits, int) or digits < 20:
            raise ValueError(f"digits={digits!r}: expected an integer >= 20")
        if container not in CONTAINERS:
            raise ValueError(f"container={container!r}: expected one of {', '.join(map(repr, CONTAINERS))}")
        self.f, self.digits, self.container = f, digits, container
        self.x = _plain(x)
        if self.x.size == 0:
            raise ValueError(f"x of shape {self.x.shape}: expected at least one entry")
        if container == "matrix" and self.x.ndim not in (1, 2):
            raise ValueError(f"x of {self.x.ndim} axes: expected one or two for container='matrix'")
        self.value_scale = mpmath.mpf(0)

    def point(self) -> np.ndarray:
        return _precise("x", self.x)

    def direction(self, v: Any) -> np.ndarray:
        v = _precise("v", _plain(v))
        if v.shape != self.x.shape:
            raise ValueError(f"v of shape {v.shape}: expected {self.x.shape}, the shape of x")
        if not any(entry != 0 for entry in v.ravel()):
            raise ValueError("v=0: expected a direction with a non-zero entry")
        return v

    def units(self, point: np.ndarray) -> Iterator[np.ndarray]:
        for j in range(point.size):
            v = np.full(point.shape, mpmath.mpf(0), dtype=object)
            v[np.unravel_index(j, point.shape)] = mpmath.mpf(1)
            yield v

    def at(self, point: np.ndarray) -> np.ndarray:
        if self.container == "matrix":
            column = point.reshape(len(point), -1)
            argument: Any = mpmath.matrix(column.tolist())
        else:
            argument = point
        value = self.f(argument)
        if isinstance(value, mpmath.matrix):
            value = np.array(value.tolist(), dtype=object).reshape(value.rows, value.cols)
            value = value.reshape(()) if value.size == 1 else value
            value = value[:, 0] if value.ndim == 2 and value.shape[1] == 1 else value
        value = _array(value)
        for entry in value.ravel():
            if not isinstance(entry, mpmath.mpf | mpmath.mpc | int):
                raise PrecisionError(
                    f"f returned {type(entry).__name__}: expected mpf numbers, so write it with mpmath"
                )
            if not mpmath.isfinite(entry):
                raise MeasurementError("f: expected finite values at x")
            self.value_scale = max(self.value_scale, abs(entry))
        return value

    def first(self, point: np.ndarray, v: np.ndarray) -> np.ndarray:
        h = self._step(point, v)
        return self._agree(*(self._slope(point, v, t) for t in (h, h / 2)), 1 / self._length(point, v))

    def second(self, point: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        s, t = self._step(point, u), self._step(point, v)
        results = (self._bend(point, u, v, s / k, t / k) for k in (1, 2))
        return self._agree(*results, 1 / (self._length(point, u) * self._length(point, v)))

    def carries_precision(self, point: np.ndarray, order: int) -> None:
        """The function is smooth, and a difference so coarse that floats survive it agrees with the fine one.

        Both are looked at along one direction in which every entry of the argument takes part.
        """
        weights = [mpmath.mpf(2 * k + 3) / (k + 2) * (-1) ** (k // 2) for k in range(point.size)]
        v = _array(_array(weights).reshape(point.shape) * self._size(point))
        h = self._step(point, v)
        here, up, down = (self._shifted(point, v, t) for t in (mpmath.mpf(0), h, -h))
        for a, b, c in zip(here.ravel(), up.ravel(), down.ravel(), strict=True):
            if abs(b - 2 * a + c) > h * self.value_scale / 1000 and abs(b - 2 * a + c) > abs(b - c) / 1000:
                raise PrecisionError("f has a kink at x: its derivatives from the two sides differ")
        if order == 1:
            fine, coarse = (self._slope(point, v, t) for t in (h, mpmath.mpf(10) ** -5))
        else:
            fine, coarse = (self._bend(point, v, v, t, t) for t in (h, mpmath.mpf(10) ** -3))
        size = max(
            (max(abs(a), abs(b)) for a, b in zip(fine.ravel(), coarse.ravel(), strict=True)), default=0
        )
        for a, b in zip(fine.ravel(), coarse.ravel(), strict=True):
            if abs(a - b) > size / 100 + self.value_scale * mpmath.mpf(10) ** -9:
                raise PrecisionError(
                    f"f has the difference {mpmath.nstr(a, 6)} at a fine step and {mpmath.nstr(b, 6)} at a"
                    " coarse one: it rounds to floats inside, or is not smooth at x"
                )

    def rounded(self, a: np.ndarray) -> np.ndarray:
        with mpmath.workdps(self.digits):
            return np.array([+entry for entry in a.ravel()], dtype=object).reshape(a.shape)

    def _slope(self, point: np.ndarray, v: np.ndarray, h: Any) -> np.ndarray:
        return _array((self._shifted(point, v, h) - self._shifted(point, v, -h)) / (2 * h))

    def _bend(self, point: np.ndarray, u: np.ndarray, v: np.ndarray, s: Any, t: Any) -> np.ndarray:
        up, down = (_array(point + u * shift) for shift in (s, -s))
        rise = self._shifted(up, v, t) - self._shifted(up, v, -t)
        fall = self._shifted(down, v, t) - self._shifted(down, v, -t)
        return _array((rise - fall) / (4 * s * t))

    def _shifted(self, point: np.ndarray, v: np.ndarray, h: Any) -> np.ndarray:
        return self.at(_array(point + v * h))

    def _agree(self, coarse: np.ndarray, fine: np.ndarray, per_length: Any) -> np.ndarray:
        size = max([abs(entry) for entry in fine.ravel()], default=0)
        allowed = (size + self.value_scale * per_length) * mpmath.mpf(10) ** (LOST_DIGITS - self.digits)
        for a, b in zip(coarse.ravel(), fine.ravel(), strict=True):
            if abs(a - b) > allowed:
                raise PrecisionError(
                    f"derivatives {mpmath.nstr(a, 12)} and {mpmath.nstr(b, 12)} at two steps: expected"
                    f" {self.digits - LOST_DIGITS} equal digits; f is not smooth at x, or rounds inside"
                )
        return _array(fine + (fine - coarse) / 3)

    def _step(self, point: np.ndarray, v: np.ndarray) -> Any:
        return mpmath.mpf(10) ** -(self.digits // 2 + 2) * self._length(point, v)

    def _length(self, point: np.ndarray, v: np.ndarray) -> Any:
        """The multiple of ``v`` that is as large as what it moves."""
        reach = max(abs(p) for p, d in zip(point.ravel(), v.ravel(), strict=True) if d != 0)
        return (reach or self._size(point)) / max(abs(d) for d in v.ravel())

    @staticmethod
    def _size(point: np.ndarray) -> Any:
        return max(abs(p) for p in point.ravel()) or mpmath.mpf(1)


def _array(values: Any) -> np.ndarray:
    """An object array, also where arithmetic on one without axes has left its single entry."""
    return np.asarray(values, dtype=object)


def _plain(x: Any) -> np.ndarray:
    if isinstance(x, mpmath.matrix):
        return np.array(x.tolist(), dtype=object).reshape(x.rows, x.cols)
    return np.asarray(to_host(x))


def _precise(name: str, x: np.ndarray) -> np.ndarray:
    try:
        entries = [mpmath.mpf(entry) for entry in x.ravel().tolist()]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected real numbers, got {error}") from None
    if not all(mpmath.isfinite(entry) for entry in entries):
        raise MeasurementError(f"{name}: expected finite entries")
    return np.array(entries, dtype=object).reshape(x.shape)
