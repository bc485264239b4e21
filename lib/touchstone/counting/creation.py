"""New arrays. A constant is a move for each entry, ``linspace`` two operations, ``empty`` nothing.

Data that enters from the host is a move for each entry too, since it is one on a device. The namespace of a
shape-only array makes constants without data, so that an algorithm can ask for outputs of any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from touchstone.counting import costs, layout
from touchstone.counting.costs import CountingError
from touchstone.counting.storage import Stored, check_array, check_device, copied, fresh, given

_FLOAT = np.dtype("float64")


def checked_dtype(dtype: np.dtype) -> np.dtype:
    """``dtype`` if it is boolean, integer, real or complex; raises ``TypeError`` otherwise."""
    if dtype.kind not in "biufc":
        raise TypeError(f"dtype={dtype}: expected a boolean, integer, real or complex one")
    return dtype


def counted(x: np.ndarray) -> Stored:
    """The NumPy array ``x`` as a counting array that shares its memory: an input, without cost.

    A counting array is returned as it is. Raises ``TypeError`` for anything but an array of numbers.
    """
    if isinstance(x, Stored):
        return x
    if not isinstance(x, np.ndarray | np.generic):
        raise TypeError(f"x is {type(x).__name__}, expected a NumPy array")
    data = np.asarray(x)
    return given(data, data.shape, checked_dtype(data.dtype))


class Creation:
    """The creation functions, with data or without."""

    def __init__(self, with_data: bool) -> None:
        self._with_data = with_data

    def _new(
        self,
        shape: Any,
        dtype: Any,
        device: Any,
        make: Callable[[layout.Shape, np.dtype], np.ndarray],
        **unit: int,
    ) -> Stored:
        check_device(device)
        shape = layout.as_shape(shape)
        dtype = checked_dtype(np.dtype(dtype))
        try:
            data = make(shape, dtype) if self._with_data else None
        except (MemoryError, ValueError, OverflowError) as error:
            raise CountingError(
                f"no memory holds an array of shape {shape}; take the namespace of a shape-only array"
            ) from error
        result = fresh(data, shape, dtype)
        size = math.prod(shape)
        costs.charge(**{name: number * size for name, number in unit.items()})
        return result

    def empty(self, shape: int | Sequence[int], *, dtype: Any = None, device: Any = None) -> Stored:
        """Entries of any value: no cost but its bytes."""
        return self._new(shape, dtype or _FLOAT, device, np.empty)

    def zeros(self, shape: int | Sequence[int], *, dtype: Any = None, device: Any = None) -> Stored:
        """Entries 0."""
        return self._new(shape, dtype or _FLOAT, device, np.zeros, moves=1)

    def ones(self, shape: int | Sequence[int], *, dtype: Any = None, device: Any = None) -> Stored:
        """Entries 1."""
        return self._new(shape, dtype or _FLOAT, device, np.ones, moves=1)

    def full(
        self, shape: int | Sequence[int], fill_value: Any, *, dtype: Any = None, device: Any = None
    ) -> Stored:
        """Entries ``fill_value``, a Python scalar."""
        if isinstance(fill_value, Stored):
            raise TypeError("full: fill_value is an array, expected a Python scalar")
        dtype = np.asarray(fill_value).dtype if dtype is None else dtype
        return self._new(shape, dtype, device, lambda s, d: np.full(s, fill_value, d), moves=1)

    def eye(
        self, n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
    ) -> Stored:
        """Ones on the ``k``-th diagonal, zeros elsewhere."""
        n_cols = n_rows if n_cols is None else n_cols
        return self._new(
            (n_rows, n_cols), dtype or _FLOAT, device, lambda s, d: np.eye(*s, k=k, dtype=d), moves=1
        )

    def arange(
        self,
        start: float,
        /,
        stop: float | None = None,
        step: float = 1,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> Stored:
        """Numbers from ``start`` (0 if it stands alone) to below ``stop`` by ``step``: moves."""
        if stop is None:
            start, stop = 0, start
        if all(isinstance(value, int | np.integer) for value in (start, stop, step)):
            kind, length = np.dtype(np.int64), -((int(start) - int(stop)) // int(step))
        else:
            kind, length = _FLOAT, math.ceil((stop - start) / step)
        length, dtype = max(0, length), kind if dtype is None else dtype
        return self._new(
            (length,), dtype, device, lambda _, d: np.arange(start, stop, step, dtype=d), moves=1
        )

    def linspace(
        self,
        start: float,
        stop: float,
        /,
        num: int,
        *,
        dtype: Any = None,
        device: Any = None,
        endpoint: bool = True,
    ) -> Stored:
        """``num`` evenly spaced numbers from ``start`` to ``stop``: a product and a sum for each."""
        dtype = dtype or np.result_type(float, np.asarray(start).dtype, np.asarray(stop).dtype)
        return self._new(
            (num,),
            dtype,
            device,
            lambda s, d: np.linspace(start, stop, *s, endpoint=endpoint, dtype=d),
            arithmetic=2,
        )

    def asarray(
        self, x: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
    ) -> Stored:
        """``x`` as a counting array. Host data (scalars, lists, NumPy arrays) enters by a move each."""
        from touchstone.counting import manipulation  # it stands above this file

        check_device(device)
        if isinstance(x, Stored):
            if dtype is not None and np.dtype(dtype) != x._dtype:
                if copy is False:
                    raise ValueError(f"copy=False: {x._dtype} to {np.dtype(dtype)} needs a copy")
                return manipulation.astype(x, dtype)
            return copied(x) if copy else x
        data = np.array(x, dtype=dtype, order="C", copy=copy)
        result = fresh(data, data.shape, checked_dtype(data.dtype))
        costs.charge(moves=data.size)
        return result

    def from_dlpack(self, x: Any, /, *, device: Any = None, copy: bool | None = None) -> Stored:
        """The array behind ``x`` as a counting array: moves."""
        return self.asarray(np.from_dlpack(x), device=device, copy=copy)


def _like(x: Stored, name: str, dtype: Any, *arguments: Any, device: Any = None) -> Stored:
    check_array(x, f"{name}_like")
    make = getattr(Creation(x.has_data), name)
    return make(x._shape, *arguments, dtype=x._dtype if dtype is None else dtype, device=device)


def empty_like(x: Stored, /, *, dtype: Any = None, device: Any = None) -> Stored:
    """An array like ``x`` with entries of any value."""
    return _like(x, "empty", dtype, device=device)


def zeros_like(x: Stored, /, *, dtype: Any = None, device: Any = None) -> Stored:
    """An array like ``x`` of zeros: moves."""
    return _like(x, "zeros", dtype, device=device)


def ones_like(x: Stored, /, *, dtype: Any = None, device: Any = None) -> Stored:
    """An array like ``x`` of ones: moves."""
    return _like(x, "ones", dtype, device=device)


def full_like(x: Stored, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Stored:
    """An array like ``x`` of ``fill_value``: moves."""
    return _like(x, "full", dtype, fill_value, device=device)
