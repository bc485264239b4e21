"""Where an array's shape, dtype, data and bytes are kept, and how results are made.

Data and shape-only arrays are one class: an operation works out the shape of its result, charges its cost,
and asks NumPy for the data when every operand has some. Every new array is row-major, so that a reshape is a
view or a copy by a rule that needs no data; elementwise work on a transposed operand is slower for it than
NumPy's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from touchstone.counting import costs
from touchstone.counting.costs import CountingError, ShapeOnlyError
from touchstone.counting.layout import Shape, Strides

CPU = "cpu"


class Stored:
    """Shape, dtype, data (or none) and the buffer that views share; `CountingArray` adds the operators."""

    __slots__ = ("__weakref__", "_buffer", "_data", "_dtype", "_shape", "_source", "_strides")

    _made: type[Stored]  # the class of every result

    _data: np.ndarray | None
    _dtype: np.dtype
    _shape: Shape
    _strides: Strides  # of a shape-only array; data has its own
    _buffer: costs.Buffer | None
    _source: tuple[Stored, tuple] | None  # of a view by indexing: the array and the key

    def __init_subclass__(cls) -> None:
        Stored._made = cls

    def __init__(self, *_: Any, **__: Any) -> None:
        raise TypeError("make a counting array with counted(x), shape_only(n, d) or its namespace")

    @property
    def shape(self) -> Shape:
        """The sides, as Python integers."""
        return self._shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """The number of entries, as a Python integer."""
        return math.prod(self._shape)

    @property
    def dtype(self) -> np.dtype:
        """The NumPy dtype of the entries."""
        return self._dtype

    @property
    def device(self) -> str:
        """Always ``"cpu"``."""
        return CPU

    @property
    def nbytes(self) -> int:
        """Bytes of all entries."""
        return self.size * self._dtype.itemsize

    @property
    def has_data(self) -> bool:
        """Whether the entries exist; if not, the array is shape-only."""
        return self._data is not None

    def to_device(self, device: str, /, *, stream: Any = None) -> Stored:
        """The array itself; raises ``ValueError`` unless ``device`` is ``"cpu"`` and ``stream`` ``None``."""
        check_device(device)
        if stream is not None:
            raise ValueError(f"stream={stream!r}: expected None")
        return self


def _new(data: np.ndarray | None, shape: Shape, dtype: np.dtype, strides: Strides, buffer: Any) -> Stored:
    x = object.__new__(Stored._made)
    x._data = data
    x._shape = shape
    x._dtype = dtype
    x._strides = strides
    x._buffer = buffer
    x._source = None
    return x


def fresh(data: np.ndarray | None, shape: Shape, dtype: np.dtype) -> Stored:
    """A new array with a buffer of its own."""
    return _new(data, shape, dtype, None, costs.allocate(math.prod(shape) * dtype.itemsize))


def from_result(data: Any) -> Stored:
    """A new array around what NumPy returned; row-major, as the cost model takes every new array to be."""
    data = np.asarray(data)
    if not data.flags.c_contiguous:
        data = np.ascontiguousarray(data)
    return _new(data, data.shape, data.dtype, None, costs.allocate(data.nbytes))


def given(data: np.ndarray | None, shape: Shape, dtype: np.dtype) -> Stored:
    """An input: it existed before and has no buffer."""
    return _new(data, shape, dtype, None, None)


def view(x: Stored, data: np.ndarray | None, shape: Shape, strides: Strides) -> Stored:
    """Another look at the entries of ``x``."""
    return _new(data, shape, x._dtype, strides, x._buffer)


def strides(x: Stored) -> Strides:
    """The strides of ``x``, in any one unit."""
    if x._data is not None:
        return None if x._data.flags.c_contiguous else x._data.strides
    return x._strides


def copied(x: Stored) -> Stored:
    """A row-major copy. Cost: one move for each entry."""
    result = fresh(None if x._data is None else x._data.copy(order="C"), x._shape, x._dtype)
    costs.charge(moves=x.size)
    return result


def needs_data(x: Stored, operation: str) -> np.ndarray:
    """The data of ``x``. Raises ``ShapeOnlyError`` naming ``operation`` when there is none."""
    if x._data is None:
        raise ShapeOnlyError(
            f"{operation} depends on values, but this array is shape-only (shape {short(x._shape)}, "
            f"{x._dtype}): it has no data"
        )
    return x._data


def check_array(x: Any, operation: str, name: str = "x") -> Stored:
    """``x`` if it is a counting array. Raises ``TypeError`` with the way out otherwise."""
    if not isinstance(x, Stored):
        raise TypeError(
            f"{operation}: {name} is {type(x).__module__}.{type(x).__name__}, expected a counting array; "
            "wrap host data with counted(x) or the namespace's asarray(x)"
        )
    return x


def check_device(device: Any) -> None:
    """Raise ``ValueError`` unless ``device`` is ``None`` or ``"cpu"``."""
    if device is not None and device != CPU:
        raise ValueError(f"device={device!r}: expected None or {CPU!r}")


_probed: dict[Any, np.dtype] = {}


def dtype_of(key: Any, function: Callable[[], Any]) -> np.dtype:
    """The dtype that NumPy gives to the result of ``function``, a call on tiny arrays; kept under ``key``."""
    dtype = _probed.get(key)
    if dtype is None:
        with np.errstate(all="ignore"):
            dtype = _probed[key] = np.asarray(function()).dtype
    return dtype


def is_complex(dtype: np.dtype) -> bool:
    """Whether ``dtype`` is a complex one."""
    return dtype.kind == "c"


def short(shape: Shape) -> str:
    """``shape`` with sides of many digits as powers of two, for messages."""
    sides = [str(side) if side.bit_length() <= 64 else f"~2^{side.bit_length() - 1}" for side in shape]
    return f"({', '.join(sides)}{',' if len(sides) == 1 else ''})"


def uncountable(operation: str, why: str) -> CountingError:
    """The error for an operation without a price."""
    return CountingError(f"{operation} cannot be counted: {why}")
