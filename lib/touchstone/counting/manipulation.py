"""Shapes and order of entries: the manipulation functions of the array API standard, and gathers.

Views cost nothing and share the buffer of their array: transposes, slices, flips, broadcasts, and reshapes
that keep the entries in place. Everything else writes each entry of its result once: a move.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from touchstone.counting import costs, layout
from touchstone.counting.elementwise import has_all_data
from touchstone.counting.storage import (
    Stored,
    check_array,
    check_device,
    copied,
    fresh,
    from_result,
    needs_data,
    strides,
    view,
)


def _moved(data: Any, shape: layout.Shape, dtype: np.dtype) -> Stored:
    result = fresh(None, shape, dtype) if data is None else from_result(data)
    costs.charge(moves=math.prod(shape))
    return result


# -- views -----------------------------------------------------------------------------------------------


def permute_dims(x: Stored, /, axes: Sequence[int]) -> Stored:
    """``x`` with its axes in the order ``axes``: a view."""
    check_array(x, "permute_dims")
    order = tuple(layout.axis_of(axis, x.ndim) for axis in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ValueError(f"axes={tuple(axes)!r}: expected every axis of {x.ndim} once")
    shape = tuple(x._shape[axis] for axis in order)
    if x._data is not None:
        return view(x, x._data.transpose(order), shape, None)
    steps = layout.strides_of(x._shape, x._strides)
    return view(x, None, shape, tuple(steps[axis] for axis in order))


def matrix_transpose(x: Stored, /) -> Stored:
    """``x`` with its last two axes exchanged: a view."""
    check_array(x, "matrix_transpose")
    if x.ndim < 2:
        raise ValueError(f"matrix_transpose: expected two axes or more, the shape is {x._shape}")
    n = x.ndim
    return permute_dims(x, (*range(n - 2), n - 1, n - 2))


def moveaxis(x: Stored, source: int | Sequence[int], destination: int | Sequence[int], /) -> Stored:
    """``x`` with the axes ``source`` moved to ``destination``: a view."""
    check_array(x, "moveaxis")
    sources = [source] if isinstance(source, int) else list(source)
    targets = [destination] if isinstance(destination, int) else list(destination)
    sources = [layout.axis_of(axis, x.ndim) for axis in sources]
    targets = [layout.axis_of(axis, x.ndim) for axis in targets]
    if len(sources) != len(targets) or len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
        raise ValueError(f"source={source!r}, destination={destination!r}: expected as many different axes")
    order = [axis for axis in range(x.ndim) if axis not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, axis)
    return permute_dims(x, order)


def flip(x: Stored, /, *, axis: int | Sequence[int] | None = None) -> Stored:
    """``x`` backwards along ``axis`` (all axes by default): a view."""
    check_array(x, "flip")
    axes = layout.axes_of(axis, x.ndim)
    return index(x, tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(x.ndim)))


def expand_dims(x: Stored, /, axis: int | Sequence[int]) -> Stored:
    """``x`` with new axes of one entry at ``axis``: a view."""
    check_array(x, "expand_dims")
    new = (axis,) if isinstance(axis, int) else tuple(axis)
    ndim = x.ndim + len(new)
    axes = layout.axes_of(list(new), ndim)
    return index(x, tuple(None if i in axes else slice(None) for i in range(ndim)))


def squeeze(x: Stored, /, axis: int | Sequence[int]) -> Stored:
    """``x`` without the axes ``axis``, which have one entry: a view."""
    check_array(x, "squeeze")
    axes = layout.axes_of(axis, x.ndim)
    if any(x._shape[i] != 1 for i in axes):
        raise ValueError(f"axis={axis!r}: expected axes with one entry, the shape is {x._shape}")
    return index(x, tuple(0 if i in axes else slice(None) for i in range(x.ndim)))


def broadcast_to(x: Stored, /, shape: Sequence[int]) -> Stored:
    """``x`` repeated to ``shape`` without a copy: a read-only view."""
    check_array(x, "broadcast_to")
    wanted = layout.as_shape(shape)
    if layout.broadcast(x._shape, wanted) != wanted:
        raise ValueError(f"shape={wanted!r}: an array of shape {x._shape} does not broadcast to it")
    if x._data is not None:
        return view(x, np.broadcast_to(x._data, wanted), wanted, None)
    steps = layout.strides_of(x._shape, x._strides)
    extra = len(wanted) - x.ndim
    kept = (
        0 if side != new else step for side, step, new in zip(x._shape, steps, wanted[extra:], strict=True)
    )
    return view(x, None, wanted, (0,) * extra + tuple(kept))


def broadcast_arrays(*arrays: Stored) -> list[Stored]:
    """All ``arrays`` broadcast to their common shape: views."""
    shape = layout.broadcast(*(check_array(x, "broadcast_arrays")._shape for x in arrays))
    return [broadcast_to(x, shape) for x in arrays]


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that ``shapes`` broadcast to."""
    return layout.broadcast(*map(layout.as_shape, shapes))


def unstack(x: Stored, /, *, axis: int = 0) -> tuple[Stored, ...]:
    """The slices of ``x`` along ``axis``: views."""
    check_array(x, "unstack")
    axis = layout.axis_of(axis, x.ndim)
    return tuple(index(x, ((slice(None),) * axis + (i,))) for i in range(x._shape[axis]))


def diagonal(x: Stored, /, *, offset: int = 0) -> Stored:
    """The diagonal of the last two axes, ``offset`` above the main one: a read-only view."""
    check_array(x, "diagonal")
    if x.ndim < 2:
        raise ValueError(f"diagonal: expected two axes or more, the shape is {x._shape}")
    *batch, m, n = x._shape
    length = max(0, min(m, n - offset) if offset >= 0 else min(m + offset, n))
    shape = (*batch, length)
    if x._data is not None:
        return view(x, np.diagonal(x._data, offset=offset, axis1=-2, axis2=-1), shape, None)
    steps = layout.strides_of(x._shape, x._strides)
    return view(x, None, shape, (*steps[:-2], steps[-2] + steps[-1]))


def reshape(x: Stored, /, shape: int | Sequence[int], *, copy: bool | None = None) -> Stored:
    """``x`` in row-major order as ``shape``: a view where the strides allow it, else a copy (moves).

    ``copy=True`` always copies; ``copy=False`` raises ``ValueError`` where no view exists.
    """
    check_array(x, "reshape")
    wanted = layout.new_shape(x._shape, shape)
    in_place, steps = layout.reshape_strides(x._shape, strides(x), wanted)
    if copy is False and not in_place:
        raise ValueError(f"copy=False: the reshape of {x._shape} to {wanted} needs a copy")
    if copy or not in_place:
        return _moved(None if x._data is None else x._data.reshape(wanted).copy(), wanted, x._dtype)
    if x._data is not None:
        return view(x, x._data.reshape(wanted), wanted, None)
    return view(x, None, wanted, steps)


# -- indexing --------------------------------------------------------------------------------------------


def _parse(key: Any) -> tuple[tuple, dict[int, Stored]]:
    """``key`` as a tuple of plain items, and the arrays in it by position."""
    items = key if isinstance(key, tuple) else (key,)
    plain, arrays = [], {}
    for position, item in enumerate(items):
        if item is None or item is Ellipsis or isinstance(item, slice):
            plain.append(item)
        elif isinstance(item, Stored):
            if item._dtype.kind not in "biu":
                raise IndexError(f"an index array has dtype {item._dtype}: expected integers or booleans")
            arrays[position] = item
            plain.append(item)
        elif isinstance(item, np.ndarray | bool | np.bool_):
            check_array(item, "indexing", "an index")
        else:
            plain.append(operator.index(item))
    return tuple(plain), arrays


def _unwrapped(key: tuple) -> tuple:
    return tuple(item._data if isinstance(item, Stored) else item for item in key)


def _mask(x: Stored, key: tuple, arrays: dict[int, Stored]) -> Stored | None:
    """The boolean mask of ``key``, which must then be its only item (an ellipsis apart)."""
    masks = [item for item in arrays.values() if item._dtype.kind == "b"]
    if not masks:
        return None
    mask = masks[0]
    if len(key) - key.count(Ellipsis) != 1 or key[0] is Ellipsis:
        raise IndexError("a boolean mask must be the only index")
    if mask._shape != x._shape[: mask.ndim]:
        raise IndexError(f"a mask of shape {mask._shape} does not fit an array of shape {x._shape}")
    return mask


def _selected(x: Stored, key: tuple, arrays: dict[int, Stored]) -> tuple[tuple, layout.Shape]:
    """The full key and the shape that integer arrays in it select."""
    ids = {id(item) for item in arrays.values()}
    used = sum(item is not None and item is not Ellipsis for item in key)
    full = layout.full_key(key, x.ndim, used)
    shapes = {i: item._shape for i, item in enumerate(full) if id(item) in ids}
    return full, layout.advanced_index(x._shape, full, shapes)


def index(x: Stored, key: Any) -> Stored:
    """``x[key]``: a view for integers and slices, a gather (moves) for integer arrays and masks.

    A mask costs a comparison for each of its entries, and its result has a shape that depends on values.
    """
    key, arrays = _parse(key)
    if not arrays:
        if x._data is not None:
            data = x._data[key if Ellipsis in key else (*key, Ellipsis)]
            result = view(x, data, data.shape, None)
        else:
            result = view(x, None, *layout.basic_index(x._shape, x._strides, key))
        result._source = (x, key)
        return result
    mask = _mask(x, key, arrays)
    if mask is not None:
        needs_data(mask, "selection by a mask")
        needs_data(x, "selection by a mask")
        result = from_result(x._data[mask._data])
        costs.charge(comparisons=mask.size, moves=result.size)
        return result
    full, shape = _selected(x, key, arrays)
    data = x._data[_unwrapped(full)] if has_all_data("indexing", x, *arrays.values()) else None
    return _moved(data, shape, x._dtype)


def assign(x: Stored, key: Any, value: Any) -> None:
    """``x[key] = value``: a move for each entry written.

    A mask costs a move and a comparison for each entry of ``x``, whatever its values. Python ends
    ``x[key] += y`` with ``x[key] = x[key]``: a view assigned to its own place is neither written nor counted.
    """
    key, arrays = _parse(key)
    source = value._source if isinstance(value, Stored) else None
    if source is not None and source[0] is x and not arrays and source[1] == key:
        return
    mask = _mask(x, key, arrays) if arrays else None
    if mask is not None:
        shape = x._shape
        costs.charge(comparisons=x.size)
    elif arrays:
        shape = _selected(x, key, arrays)[1]
    elif x._data is not None:
        shape = x._data[key if Ellipsis in key else (*key, Ellipsis)].shape
    else:
        shape = layout.basic_index(x._shape, x._strides, key)[0]
    if isinstance(value, Stored):
        if mask is not None and value.ndim and not (x.has_data and value.has_data and mask.has_data):
            needs_data(mask, "assignment of an array under a mask")
        if mask is None and layout.broadcast(shape, value._shape) != shape:
            raise ValueError(f"a value of shape {value._shape} does not broadcast to {shape}")
    elif not isinstance(value, bool | int | float | complex | np.generic):
        check_array(value, "assignment", "the value")
    if x._data is not None:
        for array in arrays.values():
            needs_data(array, "assignment at an index array")
        data = needs_data(value, "assignment into an array with data") if isinstance(value, Stored) else value
        x._data[_unwrapped(key) if arrays else key] = data
    costs.charge(moves=math.prod(shape))


def take(x: Stored, indices: Stored, /, *, axis: int | None = None) -> Stored:
    """The entries of ``x`` at ``indices`` along ``axis``: moves."""
    check_array(x, "take")
    check_array(indices, "take", "indices")
    if axis is None:
        if x.ndim != 1:
            raise ValueError(f"take: axis=None needs one dimension, the array has {x.ndim}")
        axis = 0
    axis = layout.axis_of(axis, x.ndim)
    shape = x._shape[:axis] + indices._shape + x._shape[axis + 1 :]
    has_data = has_all_data("take", x, indices)
    return _moved(np.take(x._data, indices._data, axis=axis) if has_data else None, shape, x._dtype)


def take_along_axis(x: Stored, indices: Stored, /, *, axis: int = -1) -> Stored:
    """The entries of ``x`` at the positions ``indices`` along ``axis``, line by line: moves."""
    check_array(x, "take_along_axis")
    check_array(indices, "take_along_axis", "indices")
    axis = layout.axis_of(axis, x.ndim)
    if x.ndim != indices.ndim:
        raise ValueError(f"indices of {indices.ndim} axes: expected {x.ndim}, as many as x has")
    around = layout.broadcast(
        (*x._shape[:axis], 1, *x._shape[axis + 1 :]), (*indices._shape[:axis], 1, *indices._shape[axis + 1 :])
    )
    shape = (*around[:axis], indices._shape[axis], *around[axis + 1 :])
    has_data = has_all_data("take_along_axis", x, indices)
    data = np.take_along_axis(x._data, indices._data, axis=axis) if has_data else None
    return _moved(data, shape, x._dtype)


# -- copies ----------------------------------------------------------------------------------------------


def astype(x: Stored, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Stored:
    """``x`` in another dtype: moves; with ``copy=False`` the array itself where nothing changes."""
    check_array(x, "astype")
    check_device(device)
    dtype = np.dtype(dtype)
    if dtype == x._dtype:
        return copied(x) if copy else x
    if x._dtype.kind == "c" and dtype.kind != "c":
        raise TypeError(f"astype from {x._dtype} to {dtype} would drop the imaginary part; use real(x)")
    return _moved(None if x._data is None else x._data.astype(dtype, order="C"), x._shape, dtype)


def _common_dtype(arrays: Sequence[Stored]) -> np.dtype:
    return np.result_type(*(x._dtype for x in arrays))


def concat(arrays: Sequence[Stored], /, *, axis: int | None = 0) -> Stored:
    """``arrays`` joined along ``axis`` (flattened first for ``None``): moves."""
    arrays = list(arrays)
    if not arrays:
        raise ValueError("arrays=[]: expected at least one array")
    has_data = has_all_data("concat", *arrays)
    if axis is None:
        shape: layout.Shape = (sum(x.size for x in arrays),)
    else:
        first = arrays[0]
        axis = layout.axis_of(axis, first.ndim)
        around = {(x.ndim, x._shape[:axis], x._shape[axis + 1 :]) for x in arrays}
        if len(around) != 1:
            raise ValueError(f"concat: shapes {[x._shape for x in arrays]} differ beside axis {axis}")
        shape = (*first._shape[:axis], sum(x._shape[axis] for x in arrays), *first._shape[axis + 1 :])
    data = np.concatenate([x._data for x in arrays], axis=axis) if has_data else None
    return _moved(data, shape, _common_dtype(arrays))


def stack(arrays: Sequence[Stored], /, *, axis: int = 0) -> Stored:
    """``arrays`` of one shape along a new axis: moves."""
    arrays = list(arrays)
    if not arrays:
        raise ValueError("arrays=[]: expected at least one array")
    has_data = has_all_data("stack", *arrays)
    if len({x._shape for x in arrays}) != 1:
        raise ValueError(f"stack: shapes {[x._shape for x in arrays]} differ")
    axis = layout.axis_of(axis, arrays[0].ndim + 1)
    shape = (*arrays[0]._shape[:axis], len(arrays), *arrays[0]._shape[axis:])
    return _moved(
        np.stack([x._data for x in arrays], axis=axis) if has_data else None, shape, _common_dtype(arrays)
    )


def roll(x: Stored, /, shift: int | Sequence[int], *, axis: int | Sequence[int] | None = None) -> Stored:
    """``x`` shifted cyclically by ``shift`` along ``axis``: moves."""
    check_array(x, "roll")
    if axis is not None:
        for a in [axis] if isinstance(axis, int) else axis:
            layout.axis_of(a, x.ndim)
    return _moved(None if x._data is None else np.roll(x._data, shift, axis=axis), x._shape, x._dtype)


def tile(x: Stored, repetitions: Sequence[int], /) -> Stored:
    """``x`` laid out ``repetitions`` times along each axis: moves."""
    check_array(x, "tile")
    times = layout.as_shape(repetitions)
    ndim = max(x.ndim, len(times))
    sides = (1,) * (ndim - x.ndim) + x._shape
    times = (1,) * (ndim - len(times)) + times
    shape = tuple(side * number for side, number in zip(sides, times, strict=True))
    return _moved(None if x._data is None else np.tile(x._data, times), shape, x._dtype)


def repeat(x: Stored, repeats: int | Stored, /, *, axis: int | None = None) -> Stored:
    """Every entry along ``axis`` written ``repeats`` times: moves."""
    check_array(x, "repeat")
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = layout.axis_of(axis, x.ndim)
    if isinstance(repeats, Stored):
        number = needs_data(repeats, "repeat by an array")
        total = int(np.broadcast_to(number, (x._shape[axis],)).sum())
    else:
        number = operator.index(repeats)
        total = x._shape[axis] * number
    shape = (*x._shape[:axis], total, *x._shape[axis + 1 :])
    return _moved(None if x._data is None else np.repeat(x._data, number, axis=axis), shape, x._dtype)


def tril(x: Stored, /, *, k: int = 0) -> Stored:
    """The entries on and below the ``k``-th diagonal of the last two axes, zero elsewhere: moves."""
    check_array(x, "tril")
    return _moved(None if x._data is None else np.tril(x._data, k), x._shape, x._dtype)


def triu(x: Stored, /, *, k: int = 0) -> Stored:
    """The entries on and above the ``k``-th diagonal of the last two axes, zero elsewhere: moves."""
    check_array(x, "triu")
    return _moved(None if x._data is None else np.triu(x._data, k), x._shape, x._dtype)


def meshgrid(*arrays: Stored, indexing: str = "xy") -> list[Stored]:
    """The coordinate arrays of a grid, written out: moves."""
    if indexing not in ("xy", "ij"):
        raise ValueError(f"indexing={indexing!r}: expected 'xy' or 'ij'")
    shape = [check_array(x, "meshgrid").size for x in arrays]
    order = list(range(len(arrays)))
    if indexing == "xy" and len(arrays) > 1:
        order[:2] = [1, 0]
    grid = []
    for i, x in enumerate(arrays):
        line = reshape(x, tuple(-1 if j == i else 1 for j in order))
        grid.append(copied(broadcast_to(line, tuple(shape[j] for j in order))))
    return grid
