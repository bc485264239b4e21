"""The array API namespace of counting arrays: every name of the standard that can be counted.

A name that is missing here raises ``CountingError``; nothing is ever counted as zero in silence.
"""

# ruff: noqa: F401
from __future__ import annotations

from typing import Any

import numpy as np

from touchstone.counting import array, fft, linalg
from touchstone.counting.costs import CountingError
from touchstone.counting.creation import Creation, empty_like, full_like, ones_like, zeros_like
from touchstone.counting.elementwise import (
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    ceil,
    clip,
    conj,
    copysign,
    cos,
    cosh,
    divide,
    equal,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    hypot,
    imag,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    nextafter,
    not_equal,
    positive,
    pow,
    real,
    reciprocal,
    remainder,
    round,
    sign,
    signbit,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
    where,
)
from touchstone.counting.linalg import matmul, tensordot, vecdot
from touchstone.counting.manipulation import (
    astype,
    broadcast_arrays,
    broadcast_shapes,
    broadcast_to,
    concat,
    expand_dims,
    flip,
    matrix_transpose,
    meshgrid,
    moveaxis,
    permute_dims,
    repeat,
    reshape,
    roll,
    squeeze,
    stack,
    take,
    take_along_axis,
    tile,
    tril,
    triu,
    unstack,
)
from touchstone.counting.searching import (
    argmax,
    argmin,
    argsort,
    isin,
    nonzero,
    searchsorted,
    sort,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
)
from touchstone.counting.statistical import (
    all,
    any,
    count_nonzero,
    cumulative_prod,
    cumulative_sum,
    diff,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from touchstone.counting.storage import Stored

CountingArray = array.CountingArray

__array_api_version__ = "2024.12"

_creation = Creation(True)
arange = _creation.arange
asarray = _creation.asarray
empty = _creation.empty
eye = _creation.eye
from_dlpack = _creation.from_dlpack
full = _creation.full
linspace = _creation.linspace
ones = _creation.ones
zeros = _creation.zeros

bool = np.dtype("bool")
int8 = np.dtype("int8")
int16 = np.dtype("int16")
int32 = np.dtype("int32")
int64 = np.dtype("int64")
uint8 = np.dtype("uint8")
uint16 = np.dtype("uint16")
uint32 = np.dtype("uint32")
uint64 = np.dtype("uint64")
float32 = np.dtype("float32")
float64 = np.dtype("float64")
complex64 = np.dtype("complex64")
complex128 = np.dtype("complex128")

e, inf, nan, newaxis, pi = np.e, np.inf, np.nan, None, np.pi


def _dtype(x: Any) -> Any:
    return x._dtype if isinstance(x, Stored) else x


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """The dtype that these arrays, dtypes and Python scalars promote to."""
    return np.result_type(*map(_dtype, arrays_and_dtypes))


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether a dtype (or the dtype of an array) casts to ``to`` without loss."""
    return np.can_cast(_dtype(from_), to)


def finfo(type: Any, /) -> np.finfo:
    """The limits of a real or complex dtype, or of an array's."""
    return np.finfo(_dtype(type))


def iinfo(type: Any, /) -> np.iinfo:
    """The limits of an integer dtype, or of an array's."""
    return np.iinfo(_dtype(type))


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether ``dtype`` is of ``kind``, as in the array API standard."""
    return np.isdtype(np.dtype(dtype), kind)


def __array_namespace_info__() -> Any:
    """What the namespace can do: the same as NumPy's."""
    return np.__array_namespace_info__()


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise CountingAttributeError(
        f"{name} cannot be counted: the counting namespace has no such function; write it with the functions "
        "of the array API standard"
    )


class CountingAttributeError(CountingError, AttributeError):
    """A name that the counting namespace lacks (an ``AttributeError`` too, so that ``hasattr`` works)."""
