"""The counting array: NumPy's results, and an exact account of the work behind them.

    X = counted(np.ones((1000, 20)))
    with count() as costs:
        with costs.phase("gram"):
            G = X.T @ X
    costs.multiply_adds      # 400000, exactly 20 * 1000 * 20
    costs.bytes_peak         # 3200, the bytes of G
    costs.products           # [Product(m=20, k=1000, n=20, count=1)]

``costs`` documents what is counted, ``shapes.shape_only`` makes the same array without data, and
``namespace`` is the array API namespace of both. NumPy's own functions do not work on it (nothing would be
counted): ``arrays.to_host`` gives the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from touchstone.counting import blocks, costs, creation, elementwise, linalg, manipulation
from touchstone.counting.costs import Costs, CountingError, Product, ShapeOnlyError, count
from touchstone.counting.creation import counted
from touchstone.counting.storage import Stored, fresh, needs_data, short

__all__ = ["Costs", "CountingArray", "CountingError", "Product", "ShapeOnlyError", "count", "counted"]


def _operator(name: str) -> Callable[[Any, Any], Any]:
    function, units = elementwise.BINARY[name]

    def apply(self: Any, other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        return elementwise.binary(name, function, units, self, other)

    return apply


def _reflected(name: str) -> Callable[[Any, Any], Any]:
    function, units = elementwise.BINARY[name]

    def apply(self: Any, other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        return elementwise.binary(name, function, units, other, self)

    return apply


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    function, units = elementwise.BINARY[name]

    def apply(self: Any, other: Any) -> Any:
        if not _is_operand(other):
            return NotImplemented
        return elementwise.binary(name, function, units, self, other, into=self)

    return apply


def _is_operand(x: Any) -> bool:
    if isinstance(x, np.ndarray):
        raise TypeError("a NumPy array meets a counting array: wrap it with counted(x) or asarray(x) first")
    return isinstance(x, Stored | int | float | complex | np.number | np.bool_)


class CountingArray(Stored):
    """An array API array that counts. Make one with ``counted``, ``shape_only`` or a namespace function.

    Attributes: ``shape``, ``ndim``, ``size``, ``dtype``, ``device``, ``nbytes``, ``T``, ``mT``, ``has_data``.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy's functions would work on it uncounted

    # -- the standard's hooks, and those of `arrays` ---------------------------------------------------

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        if self._data is None:
            from touchstone.counting import shapes

            return shapes.namespace()
        from touchstone.counting import namespace

        return namespace

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError(
            "a counting array does not turn into a NumPy array in silence (the work would not be counted); "
            "use arrays.to_host(x)"
        )

    def __to_host__(self) -> np.ndarray:
        return needs_data(self, "to_host")

    def __charge__(self, **operations: int) -> None:
        for name, number in operations.items():
            if name not in costs.OPERATIONS:
                raise ValueError(f"{name}={number!r}: expected one of {', '.join(costs.OPERATIONS)}")
            if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
                raise ValueError(f"{name}={number!r}: expected an integer >= 0")
        costs.charge(**{name: int(number) for name, number in operations.items()})

    def __scatter_add__(self, n: int, index: CountingArray) -> CountingArray:
        """Rows summed by ``index``: an addition for each entry, and a move for each entry of the zeros."""
        if not isinstance(index, CountingArray) or index.dtype.kind not in "iu":
            raise TypeError(f"index={index!r}: expected a counting array of integers")
        if self.ndim == 0 or index.shape != self.shape[:1]:
            raise ValueError(f"index of shape {index.shape}: expected one entry for each row of {self.shape}")
        shape = (n, *self._shape[1:])
        data = None
        if self._data is not None and index._data is not None:
            if index.size and not 0 <= index._data.min() <= index._data.max() < n:
                raise ValueError(f"index: expected entries in [0, {n})")
            data = np.zeros(shape, dtype=self._dtype)
            np.add.at(data, index._data, self._data)
        result = fresh(data, shape, self._dtype)
        costs.charge(arithmetic=self.size * (2 if self._dtype.kind == "c" else 1), moves=math.prod(shape))
        return result

    def __map_rows__(
        self, f: Callable[..., Any], arrays: tuple, block: int, reduce: str | Sequence[str]
    ) -> Any:
        return blocks.map_rows(f, arrays, block, reduce)

    # -- values ----------------------------------------------------------------------------------------

    def _value(self, kind: str) -> Any:
        if self.size != 1 or self.ndim:
            raise TypeError(f"{kind}() of an array of shape {short(self._shape)}: expected no dimensions")
        return needs_data(self, f"{kind}()")

    def __bool__(self) -> bool:
        return bool(self._value("bool"))

    def __int__(self) -> int:
        return int(self._value("int"))

    def __index__(self) -> int:
        return self._value("index").__index__()

    def __float__(self) -> float:
        return float(self._value("float"))

    def __complex__(self) -> complex:
        return complex(self._value("complex"))

    def __len__(self) -> int:
        if not self._shape:
            raise TypeError("len() of an array without dimensions")
        return self._shape[0]

    def __iter__(self) -> Iterator[CountingArray]:
        if not self._shape:
            raise TypeError("iteration over an array without dimensions")
        i = 0
        while i < self._shape[0]:  # range() would refuse sides of many digits
            yield self[i]
            i += 1

    def __repr__(self) -> str:
        if self._data is None:
            return f"shape_only{short(self._shape)} {self._dtype}"
        return f"counted({np.array2string(self._data, threshold=50, prefix='counted(')}, dtype={self._dtype})"

    # -- shape and indexing ----------------------------------------------------------------------------

    @property
    def T(self) -> CountingArray:
        """The transpose of a matrix: a view."""
        if self.ndim != 2:
            raise ValueError(f"T of shape {self._shape}: expected two axes; use mT or permute_dims")
        return manipulation.matrix_transpose(self)

    @property
    def mT(self) -> CountingArray:
        """The transpose of the last two axes: a view."""
        return manipulation.matrix_transpose(self)

    def __getitem__(self, key: Any) -> CountingArray:
        return manipulation.index(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        manipulation.assign(self, key, value)

    def __copy__(self) -> CountingArray:
        return manipulation.copied(self)

    def __deepcopy__(self, memo: dict) -> CountingArray:
        return manipulation.copied(self)

    def __reduce__(self) -> tuple:
        if self._data is None:
            return (_restored, (self._shape, self._dtype))
        return (creation.counted, (self._data,))

    # -- operators -------------------------------------------------------------------------------------

    def __neg__(self) -> CountingArray:
        return elementwise.negative(self)

    def __pos__(self) -> CountingArray:
        return elementwise.positive(self)

    def __abs__(self) -> CountingArray:
        return elementwise.abs(self)

    def __invert__(self) -> CountingArray:
        return elementwise.bitwise_invert(self)

    def __pow__(self, other: Any) -> CountingArray:
        return elementwise.power(self, other) if _is_operand(other) else NotImplemented

    def __rpow__(self, other: Any) -> CountingArray:
        return elementwise.power(other, self) if _is_operand(other) else NotImplemented

    def __ipow__(self, other: Any) -> CountingArray:
        return elementwise.power(self, other, into=self) if _is_operand(other) else NotImplemented

    def __matmul__(self, other: Any) -> CountingArray:
        if isinstance(other, np.ndarray):
            _is_operand(other)
        return linalg.matmul(self, other) if isinstance(other, Stored) else NotImplemented

    def __rmatmul__(self, other: Any) -> CountingArray:
        if isinstance(other, np.ndarray):
            _is_operand(other)
        return linalg.matmul(other, self) if isinstance(other, Stored) else NotImplemented

    def __imatmul__(self, other: Any) -> CountingArray:
        self[...] = self @ other
        return self

    __add__, __radd__, __iadd__ = _operator("add"), _reflected("add"), _in_place("add")
    __sub__, __rsub__, __isub__ = _operator("subtract"), _reflected("subtract"), _in_place("subtract")
    __mul__, __rmul__, __imul__ = _operator("multiply"), _reflected("multiply"), _in_place("multiply")
    __truediv__, __rtruediv__ = _operator("divide"), _reflected("divide")
    __itruediv__ = _in_place("divide")
    __floordiv__, __rfloordiv__ = _operator("floor_divide"), _reflected("floor_divide")
    __ifloordiv__ = _in_place("floor_divide")
    __mod__, __rmod__, __imod__ = _operator("remainder"), _reflected("remainder"), _in_place("remainder")
    __and__, __rand__, __iand__ = (
        _operator("bitwise_and"),
        _reflected("bitwise_and"),
        _in_place("bitwise_and"),
    )
    __or__, __ror__, __ior__ = _operator("bitwise_or"), _reflected("bitwise_or"), _in_place("bitwise_or")
    __xor__, __rxor__, __ixor__ = (
        _operator("bitwise_xor"),
        _reflected("bitwise_xor"),
        _in_place("bitwise_xor"),
    )
    __lshift__, __rlshift__ = _operator("bitwise_left_shift"), _reflected("bitwise_left_shift")
    __ilshift__ = _in_place("bitwise_left_shift")
    __rshift__, __rrshift__ = _operator("bitwise_right_shift"), _reflected("bitwise_right_shift")
    __irshift__ = _in_place("bitwise_right_shift")
    __eq__, __ne__ = _operator("equal"), _operator("not_equal")  # type: ignore[assignment]
    __lt__, __le__ = _operator("less"), _operator("less_equal")
    __gt__, __ge__ = _operator("greater"), _operator("greater_equal")


def _restored(shape: tuple[int, ...], dtype: np.dtype) -> CountingArray:
    from touchstone.counting.shapes import shape_only

    return shape_only(shape, dtype=dtype)
