"""Sums, means, extremes, cumulative and logical reductions of the array API standard, counted.

A reduction over k entries costs, for each entry of the result: sum and product k - 1, mean k (a division),
variance 4 k (mean, differences, squares, sum, division), standard deviation one square root more, maximum
and minimum k - 1 comparisons, ``all`` and ``any`` k - 1, ``count_nonzero`` k comparisons and k - 1 sums.
Where that is nothing (k <= 1) the entry is a move. Complex sums and means cost twice the real ones, complex
products six times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from touchstone.counting import costs, layout
from touchstone.counting.storage import Stored, check_array, dtype_of, fresh, from_result, uncountable

Axis = int | Sequence[int] | None


def reduction(
    name: str,
    function: Callable[..., Any],
    x: Stored,
    axis: Axis,
    keepdims: bool,
    price: Callable[[int], dict[str, int]],
    **options: Any,
) -> Stored:
    """``function`` over ``axis``; ``price(k)`` is the cost of one entry of the result."""
    check_array(x, name)
    axes = layout.axes_of(axis, x.ndim)
    shape = layout.reduced(x._shape, axes, keepdims)
    if x._data is not None:
        result = from_result(function(x._data, axis=axes, keepdims=keepdims, **options))
    else:
        key = (name, x._dtype, tuple(sorted(options.items(), key=str)))
        result = fresh(None, shape, dtype_of(key, lambda: function(np.ones(2, x._dtype), axis=0, **options)))
    k = math.prod([x._shape[i] for i in axes])
    outputs = math.prod(shape)
    charged = {operation: number * outputs for operation, number in price(k).items() if number > 0}
    costs.charge(**(charged or {"moves": outputs}))
    return result


def _factor(x: Stored, dtype: Any, complex_factor: int) -> int:
    return complex_factor if x._dtype.kind == "c" or np.dtype(dtype or bool).kind == "c" else 1


def sum(x: Stored, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Stored:
    """The sum over ``axis``: k - 1 additions for k entries."""
    check_array(x, "sum")
    w = _factor(x, dtype, 2)
    dtype = None if dtype is None else np.dtype(dtype)
    return reduction("sum", np.sum, x, axis, keepdims, lambda k: {"arithmetic": w * (k - 1)}, dtype=dtype)


def prod(x: Stored, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Stored:
    """The product over ``axis``: k - 1 multiplications for k entries."""
    check_array(x, "prod")
    w = _factor(x, dtype, 6)
    dtype = None if dtype is None else np.dtype(dtype)
    return reduction("prod", np.prod, x, axis, keepdims, lambda k: {"arithmetic": w * (k - 1)}, dtype=dtype)


def mean(x: Stored, /, *, axis: Axis = None, keepdims: bool = False) -> Stored:
    """The mean over ``axis``: k - 1 additions and a division."""
    w = _factor(check_array(x, "mean"), None, 2)
    return reduction("mean", np.mean, x, axis, keepdims, lambda k: {"arithmetic": w * k})


def var(x: Stored, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Stored:
    """The variance over ``axis`` with divisor k - ``correction``: 4 k arithmetic."""
    if check_array(x, "var")._dtype.kind == "c":
        raise uncountable("var of complex arrays", "the standard has none")
    return reduction("var", np.var, x, axis, keepdims, lambda k: {"arithmetic": 4 * k}, correction=correction)


def std(x: Stored, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> Stored:
    """The square root of ``var``."""
    if check_array(x, "std")._dtype.kind == "c":
        raise uncountable("std of complex arrays", "the standard has none")

    def price(k: int) -> dict[str, int]:
        return {"arithmetic": 4 * k, "transcendentals": 1}

    return reduction("std", np.std, x, axis, keepdims, price, correction=correction)


def _extreme(name: str, function: Callable[..., Any], x: Stored, axis: Axis, keepdims: bool) -> Stored:
    check_array(x, name)
    if x._dtype.kind == "c":
        raise uncountable(f"{name} of complex arrays", "they have no order")
    axes = layout.axes_of(axis, x.ndim)
    k = math.prod([x._shape[i] for i in axes])
    if k == 0 and math.prod(layout.reduced(x._shape, axes, False)):
        raise ValueError(f"{name}: expected at least one entry along axis {axis}, the shape is {x._shape}")
    return reduction(name, function, x, axis, keepdims, lambda k: {"comparisons": k - 1})


def max(x: Stored, /, *, axis: Axis = None, keepdims: bool = False) -> Stored:
    """The largest entry along ``axis``: k - 1 comparisons."""
    return _extreme("max", np.max, x, axis, keepdims)


def min(x: Stored, /, *, axis: Axis = None, keepdims: bool = False) -> Stored:
    """The smallest entry along ``axis``: k - 1 comparisons."""
    return _extreme("min", np.min, x, axis, keepdims)


def all(x: Stored, /, *, axis: Axis = None, keepdims: bool = False) -> Stored:
    """Whether every entry along ``axis`` is true: k - 1 comparisons."""
    return reduction("all", np.all, x, axis, keepdims, lambda k: {"comparisons": k - 1})


def any(x: Stored, /, *, axis: Axis = None, keepdims: bool = False) -> Stored:
    """Whether an entry along ``axis`` is true: k - 1 comparisons."""
    return reduction("any", np.any, x, axis, keepdims, lambda k: {"comparisons": k - 1})


def count_nonzero(x: Stored, /, *, axis: Axis = None, keepdims: bool = False) -> Stored:
    """How many entries along ``axis`` are not zero."""

    def price(k: int) -> dict[str, int]:
        return {"comparisons": k, "arithmetic": k - 1}

    return reduction("count_nonzero", np.count_nonzero, x, axis, keepdims, price)


def _cumulative(
    name: str, function: Callable[..., Any], w: int, x: Stored, axis: int | None, dtype: Any, initial: bool
) -> Stored:
    check_array(x, name)
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"{name}: axis=None needs one dimension, the array has {x.ndim}")
        axis = 0
    axis = layout.axis_of(axis, x.ndim)
    dtype = None if dtype is None else np.dtype(dtype)
    side = x._shape[axis] + bool(initial)
    shape = (*x._shape[:axis], side, *x._shape[axis + 1 :])
    if x._data is not None:
        result = from_result(function(x._data, axis=axis, dtype=dtype, include_initial=initial))
    else:
        result = fresh(
            None,
            shape,
            dtype_of((name, x._dtype, dtype), lambda: function(np.ones(1, x._dtype), dtype=dtype)),
        )
    lines = math.prod(x._shape[:axis]) * math.prod(x._shape[axis + 1 :])
    steps = x._shape[axis] - 1
    if steps > 0:
        costs.charge(arithmetic=_factor(x, dtype, w) * steps * lines)
    costs.charge(moves=lines * (bool(initial) + (x._shape[axis] > 0)))  # the entries that start a line
    return result


def cumulative_sum(
    x: Stored, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Stored:
    """The running sum along ``axis``: k - 1 additions a line; the first entries are moves."""
    return _cumulative("cumulative_sum", np.cumulative_sum, 2, x, axis, dtype, include_initial)


def cumulative_prod(
    x: Stored, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Stored:
    """The running product along ``axis``: k - 1 multiplications a line; the first entries are moves."""
    return _cumulative("cumulative_prod", np.cumulative_prod, 6, x, axis, dtype, include_initial)


def diff(
    x: Stored,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: Stored | None = None,
    append: Stored | None = None,
) -> Stored:
    """The ``n``-th differences along ``axis``: one subtraction for each entry of each round."""
    from touchstone.counting import elementwise, manipulation  # both stand on this level

    check_array(x, "diff")
    if n < 0:
        raise ValueError(f"n={n!r}: expected an integer >= 0")
    axis = layout.axis_of(axis, x.ndim)
    parts = [part for part in (prepend, x, append) if part is not None]
    if len(parts) > 1:
        x = manipulation.concat(parts, axis=axis)
    at = (slice(None),) * axis
    for _ in range(n):
        later, earlier = x[(*at, slice(1, None))], x[(*at, slice(None, -1))]  # type: ignore[index]
        x = (
            elementwise.not_equal(later, earlier)
            if x._dtype.kind == "b"
            else elementwise.subtract(later, earlier)
        )
    return x
