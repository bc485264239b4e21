"""Sorting, searching and sets of the array API standard, counted.

A sort costs N ceil(log2 N) comparisons a line and a move for each entry. Functions whose result has a shape
that depends on values (``nonzero``, ``unique_*``) need data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from touchstone.counting import costs, layout, prices
from touchstone.counting.elementwise import has_all_data
from touchstone.counting.storage import Stored, check_array, fresh, from_result, needs_data, uncountable

_INDEX = np.dtype(np.intp)


def _no_complex(name: str, x: Stored) -> None:
    if check_array(x, name)._dtype.kind == "c":
        raise uncountable(f"{name} of complex arrays", "they have no order")


def _lines(x: Stored, axis: int) -> tuple[int, int]:
    """Length of a line along ``axis``, and the number of lines."""
    return x._shape[axis], math.prod(x._shape[:axis]) * math.prod(x._shape[axis + 1 :])


def _charge_sort(x: Stored, axis: int) -> None:
    length, lines = _lines(x, axis)
    costs.charge(comparisons=prices.sort(length) * lines, moves=x.size)


def sort(x: Stored, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Stored:
    """The entries of every line along ``axis`` in order."""
    _no_complex("sort", x)
    axis = layout.axis_of(axis, x.ndim)
    if x._data is not None:
        data = np.sort(x._data, axis=axis, kind="stable" if stable else None)
        result = from_result(np.flip(data, axis=axis) if descending else data)
    else:
        result = fresh(None, x._shape, x._dtype)
    _charge_sort(x, axis)
    return result


def argsort(x: Stored, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Stored:
    """The positions that put every line along ``axis`` in order; ties keep theirs."""
    _no_complex("argsort", x)
    axis = layout.axis_of(axis, x.ndim)
    if x._data is not None:
        kind = "stable" if stable else None
        if descending:  # sort backwards and turn round twice, so that ties keep their order
            data = np.flip(np.argsort(np.flip(x._data, axis=axis), axis=axis, kind=kind), axis=axis)
            data = x._shape[axis] - 1 - data
        else:
            data = np.argsort(x._data, axis=axis, kind=kind)
        result = from_result(data)
    else:
        result = fresh(None, x._shape, _INDEX)
    _charge_sort(x, axis)
    return result


def _argument(name: str, function: Callable[..., Any], x: Stored, axis: int | None, keepdims: bool) -> Stored:
    _no_complex(name, x)
    axes = layout.axes_of(axis, x.ndim)
    k = math.prod(x._shape[i] for i in axes)
    if k == 0:
        raise ValueError(f"{name}: expected at least one entry along axis {axis}, the shape is {x._shape}")
    shape = layout.reduced(x._shape, axes, keepdims)
    if x._data is not None:
        result = from_result(function(x._data, axis=axis, keepdims=keepdims))
    else:
        result = fresh(None, shape, _INDEX)
    outputs = math.prod(shape)
    costs.charge(**({"comparisons": (k - 1) * outputs} if k > 1 else {"moves": outputs}))
    return result


def argmax(x: Stored, /, *, axis: int | None = None, keepdims: bool = False) -> Stored:
    """The position of the largest entry along ``axis``: k - 1 comparisons."""
    return _argument("argmax", np.argmax, x, axis, keepdims)


def argmin(x: Stored, /, *, axis: int | None = None, keepdims: bool = False) -> Stored:
    """The position of the smallest entry along ``axis``: k - 1 comparisons."""
    return _argument("argmin", np.argmin, x, axis, keepdims)


def searchsorted(x1: Stored, x2: Stored, /, *, side: str = "left", sorter: Stored | None = None) -> Stored:
    """Where each entry of ``x2`` belongs among the sorted ``x1``: ceil(log2(N + 1)) comparisons a query."""
    _no_complex("searchsorted", x1)
    _no_complex("searchsorted", x2)
    if side not in ("left", "right"):
        raise ValueError(f"side={side!r}: expected 'left' or 'right'")
    if x1.ndim != 1:
        raise ValueError(f"searchsorted: x1 has {x1.ndim} axes, expected one")
    others = () if sorter is None else (sorter,)
    if has_all_data("searchsorted", x1, x2, *others):
        order = None if sorter is None else sorter._data
        result = from_result(np.searchsorted(x1._data, x2._data, side=side, sorter=order))
    else:
        result = fresh(None, x2._shape, _INDEX)
    costs.charge(comparisons=prices.binary_search(x1._shape[0]) * x2.size)
    return result


def isin(x1: Stored, x2: Stored, /, *, invert: bool = False) -> Stored:
    """Whether each entry of ``x1`` is among those of ``x2``: a sort of ``x2`` and a search for each."""
    _no_complex("isin", x1)
    _no_complex("isin", x2)
    if has_all_data("isin", x1, x2):
        result = from_result(np.isin(x1._data, x2._data, invert=invert))
    else:
        result = fresh(None, x1._shape, np.dtype(bool))
    queries = (prices.binary_search(x2.size) + 1) * x1.size
    costs.charge(comparisons=prices.sort(x2.size) + queries, moves=x2.size)
    return result


def nonzero(x: Stored, /) -> tuple[Stored, ...]:
    """The positions of the entries that are not zero, an array for each axis; needs data."""
    data = needs_data(check_array(x, "nonzero"), "nonzero")
    result = tuple(from_result(part) for part in np.nonzero(data))
    costs.charge(comparisons=x.size, moves=sum(part.size for part in result))
    return result


class UniqueAll(NamedTuple):
    """What ``unique_all`` returns."""

    values: Stored
    indices: Stored
    inverse_indices: Stored
    counts: Stored


class UniqueCounts(NamedTuple):
    """What ``unique_counts`` returns."""

    values: Stored
    counts: Stored


class UniqueInverse(NamedTuple):
    """What ``unique_inverse`` returns."""

    values: Stored
    inverse_indices: Stored


def _unique(name: str, function: Callable[..., Any], x: Stored) -> list[Stored]:
    _no_complex(name, x)
    data = function(needs_data(x, name))
    result = [from_result(part) for part in (data if isinstance(data, tuple) else (data,))]
    costs.charge(
        comparisons=prices.sort(x.size) + max(x.size - 1, 0), moves=sum(part.size for part in result)
    )
    return result


def unique_all(x: Stored, /) -> UniqueAll:
    """The different values in order, where each stood first, which one each entry is, and their numbers."""
    return UniqueAll(*_unique("unique_all", np.unique_all, x))


def unique_counts(x: Stored, /) -> UniqueCounts:
    """The different values in order, and their numbers."""
    return UniqueCounts(*_unique("unique_counts", np.unique_counts, x))


def unique_inverse(x: Stored, /) -> UniqueInverse:
    """The different values in order, and which one each entry is."""
    return UniqueInverse(*_unique("unique_inverse", np.unique_inverse, x))


def unique_values(x: Stored, /) -> Stored:
    """The different values in order."""
    return _unique("unique_values", lambda data: np.sort(np.unique_values(data)), x)[0]
