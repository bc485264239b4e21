"""Shapes, strides and indices as exact integers: what NumPy does with them, without NumPy's limits.

Strides are in entries. ``None`` stands for the strides of a row-major array without gaps.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence

Shape = tuple[int, ...]
Strides = tuple[int, ...] | None


def as_shape(shape: int | Iterable[int]) -> Shape:
    """``shape`` as a tuple of Python integers. Raises for negative or non-integer sides."""
    try:
        sides = (operator.index(shape),)
    except TypeError:
        sides = tuple(operator.index(side) for side in shape)
    if any(side < 0 for side in sides):
        raise ValueError(f"shape={shape!r}: expected sides >= 0")
    return sides


def broadcast(*shapes: Shape) -> Shape:
    """The shape that ``shapes`` broadcast to. Raises ``ValueError`` when they do not."""
    first = shapes[0]
    if all(shape == first for shape in shapes[1:]):
        return first
    result = [1] * max(len(shape) for shape in shapes)
    for shape in shapes:
        offset = len(result) - len(shape)
        for i, side in enumerate(shape):
            if side == 1 or result[offset + i] == side:
                continue
            if result[offset + i] != 1:
                raise ValueError(f"shapes {', '.join(map(str, shapes))} do not broadcast")
            result[offset + i] = side
    return tuple(result)


def axis_of(axis: int, ndim: int) -> int:
    """``axis`` counted from the front. Raises ``IndexError`` when there is none."""
    axis = operator.index(axis)
    if not -ndim <= axis < ndim:
        raise IndexError(f"axis={axis}: expected -{ndim} <= axis < {ndim}")
    return axis % ndim


def axes_of(axis: int | Sequence[int] | None, ndim: int) -> Shape:
    """Every axis that ``axis`` names, from the front, in rising order; all of them for ``None``."""
    if axis is None:
        return tuple(range(ndim))
    if isinstance(axis, tuple | list):
        axes = sorted(axis_of(a, ndim) for a in axis)
        if len(set(axes)) != len(axes):
            raise ValueError(f"axis={axis!r}: expected no axis twice")
        return tuple(axes)
    return (axis_of(axis, ndim),)


def reduced(shape: Shape, axes: Shape, keepdims: bool) -> Shape:
    """``shape`` after a reduction over ``axes``."""
    if keepdims:
        return tuple([1 if i in axes else side for i, side in enumerate(shape)])
    return tuple([side for i, side in enumerate(shape) if i not in axes])


def row_major(shape: Shape) -> Shape:
    """The strides of a row-major array of ``shape``."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 1, 0, -1):
        strides[i - 1] = strides[i] * max(shape[i], 1)
    return tuple(strides)


def strides_of(shape: Shape, strides: Strides) -> Shape:
    """``strides``, written out."""
    return row_major(shape) if strides is None else strides


def new_shape(shape: Shape, wanted: int | Iterable[int]) -> Shape:
    """The shape that a reshape to ``wanted`` gives, with one side -1 filled in."""
    try:
        sides = [operator.index(wanted)]
    except TypeError:
        sides = [operator.index(side) for side in wanted]
    size = math.prod(shape)
    if sides.count(-1) > 1 or any(side < -1 for side in sides):
        raise ValueError(f"shape={tuple(sides)}: expected sides >= 0 and at most one -1")
    if -1 in sides:
        rest = math.prod(side for side in sides if side != -1)
        if rest == 0 or size % rest:
            raise ValueError(f"an array of shape {shape} has no reshape to {tuple(sides)}")
        sides[sides.index(-1)] = size // rest
    if math.prod(sides) != size:
        raise ValueError(f"an array of shape {shape} has no reshape to {tuple(sides)}")
    return tuple(sides)


def reshape_strides(shape: Shape, strides: Strides, wanted: Shape) -> tuple[bool, Strides]:
    """Whether the reshape to ``wanted`` is a view, and the strides of that view.

    It is a view when each run of old axes that becomes a run of new ones has no gap or turn inside.
    """
    if strides is None or math.prod(shape) == 0:
        return True, None
    old = [(side, step) for side, step in zip(shape, strides, strict=True) if side != 1]
    result: list[int] = []
    i = j = 0
    while i < len(old) and j < len(wanted):
        begin_old, begin_new = i, j
        size_old, size_new = old[i][0], wanted[j]
        while size_old != size_new:
            if size_new < size_old:
                j += 1
                size_new *= wanted[j]
            else:
                i += 1
                size_old *= old[i][0]
        for (_, outer), (side, inner) in zip(old[begin_old:i], old[begin_old + 1 : i + 1], strict=True):
            if outer != side * inner:
                return False, None
        step, block = old[i][1], []
        for side in reversed(wanted[begin_new : j + 1]):
            block.append(step)
            step *= side
        result.extend(reversed(block))
        i, j = i + 1, j + 1
    result.extend([1] * (len(wanted) - j))  # only sides 1 are left
    return True, tuple(result)


def slice_length(index: slice, side: int) -> tuple[int, int]:
    """How many entries ``index`` takes from an axis of ``side``, and its step."""
    start, stop, step = index.indices(side)
    return max(0, (stop - start + step - (1 if step > 0 else -1)) // step), step


def full_key(key: tuple, ndim: int, used: int) -> tuple:
    """``key`` with its ellipsis written out as whole slices; ``used`` axes are named by its other items."""
    if used > ndim:
        raise IndexError(f"{used} indices for an array of {ndim} dimensions")
    fill = (slice(None),) * (ndim - used)
    at = [i for i, item in enumerate(key) if item is Ellipsis]
    if len(at) > 1:
        raise IndexError("an index can have one ellipsis only")
    if not at:
        return (*key, *fill)
    return (*key[: at[0]], *fill, *key[at[0] + 1 :])


def basic_index(shape: Shape, strides: Strides, key: tuple) -> tuple[Shape, Strides]:
    """Shape and strides of the view that integers, slices, ``None`` and an ellipsis select."""
    key = full_key(key, len(shape), sum(item is not None and item is not Ellipsis for item in key))
    steps = strides_of(shape, strides)
    sides_out, steps_out, axis = [], [], 0
    for item in key:
        if item is None:
            sides_out.append(1)
            steps_out.append(0)
            continue
        if isinstance(item, slice):
            length, step = slice_length(item, shape[axis])
            sides_out.append(length)
            steps_out.append(steps[axis] * step)
        else:
            axis_index(item, shape[axis], axis)
        axis += 1
    return tuple(sides_out), tuple(steps_out)


def axis_index(index: int, side: int, axis: int) -> None:
    """Raise ``IndexError`` unless ``index`` is on an axis of ``side``."""
    if not -side <= operator.index(index) < side:
        raise IndexError(f"index {index} is outside axis {axis} of {side} entries")


def advanced_index(shape: Shape, key: tuple, arrays: dict[int, Shape]) -> Shape:
    """The shape of ``x[key]`` when the items of ``key`` at the positions ``arrays`` are integer arrays.

    As in NumPy: the arrays and integers broadcast together; their axes stand where the first of them stood
    when all are neighbours, and in front otherwise. ``key`` has no ellipsis any more.
    """
    parts: list[Shape] = []
    places, axis, around, common = [], 0, [], ()
    for position, item in enumerate(key):
        if item is None:
            around.append((position, 1))
            continue
        if isinstance(item, slice):
            around.append((position, slice_length(item, shape[axis])[0]))
        else:
            places.append(position)
            if position in arrays:
                parts.append(arrays[position])
            else:
                axis_index(item, shape[axis], axis)
        axis += 1
    common = broadcast(*parts)
    neighbours = places == list(range(places[0], places[-1] + 1))
    first = places[0] if neighbours else -1
    before = tuple(side for position, side in around if position < first)
    after = tuple(side for position, side in around if position >= first)
    return before + common + after
