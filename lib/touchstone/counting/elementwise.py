"""Elementwise functions of the array API standard, counted.

Real entries cost one operation of their class. Complex entries cost their textbook formula in real ones
(a arithmetic, t transcendental): exp(x + iy) = e^x (cos y + i sin y), 2 a + 3 t; log from log|z| and the
angle, 3 a + 3 t; sqrt by half angles, 7 a + 2 t; |z| is 3 a + 1 t; sin, cos, sinh and cosh 2 a + 4 t. Other
complex functions raise ``CountingError``. ``logaddexp`` is a maximum, three sums and two calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from touchstone.counting import costs, layout
from touchstone.counting.costs import ShapeOnlyError
from touchstone.counting.storage import (
    Stored,
    check_array,
    copied,
    dtype_of,
    fresh,
    from_result,
    uncountable,
)

Scalar = bool | int | float | complex | np.generic


class Unit(NamedTuple):
    """The cost of one entry of a result."""

    arithmetic: int = 0
    transcendentals: int = 0
    comparisons: int = 0
    moves: int = 0

    def charge(self, size: int) -> None:
        """Charge ``size`` entries."""
        costs.charge(
            arithmetic=self.arithmetic * size,
            transcendentals=self.transcendentals * size,
            comparisons=self.comparisons * size,
            moves=self.moves * size,
        )


ARITHMETIC = Unit(arithmetic=1)
TRANSCENDENTAL = Unit(transcendentals=1)
COMPARISON = Unit(comparisons=1)
MOVE = Unit(moves=1)

# (is the first operand complex, is the second) -> arithmetic
_ADDITION = {(0, 0): 1, (1, 0): 1, (0, 1): 1, (1, 1): 2}
_PRODUCT = {(0, 0): 1, (1, 0): 2, (0, 1): 2, (1, 1): 6}
_QUOTIENT = {(0, 0): 1, (1, 0): 2, (0, 1): 7, (1, 1): 11}


def _per_pair(table: dict[tuple[int, int], int]) -> dict[tuple[int, int], Unit]:
    return {kinds: Unit(arithmetic=number) for kinds, number in table.items()}


def _same(real: Unit, complex_: Unit | None = None) -> dict[tuple[int, int], Unit]:
    result = {(0, 0): real}
    if complex_ is not None:
        result |= {(1, 0): complex_, (0, 1): complex_, (1, 1): complex_}
    return result


# -- one operand -----------------------------------------------------------------------------------------


def unary(name: str, function: np.ufunc, real: Unit, complex_: Unit | None, x: Any) -> Stored:
    """The result of ``function`` on every entry of ``x``."""
    check_array(x, name)
    unit = real
    if x._dtype.kind == "c":
        if complex_ is None:
            raise uncountable(f"{name} of a {x._dtype} array", "its complex form has no agreed price")
        unit = complex_
    if x._data is not None:
        result = from_result(function(x._data, order="C"))
    else:
        dtype = dtype_of((function, x._dtype), lambda: function(np.ones(1, x._dtype)))
        result = fresh(None, x._shape, dtype)
    unit.charge(math.prod(x._shape))
    return result


def _unary(name: str, function: np.ufunc, real: Unit, complex_: Unit | None = None) -> Callable:
    def counted_function(x: Stored, /) -> Stored:
        return unary(name, function, real, complex_, x)

    counted_function.__name__ = counted_function.__qualname__ = name
    counted_function.__doc__ = f"``{name}`` of every entry, as in the array API standard."
    return counted_function


_COMPLEX_TRIGONOMETRY = Unit(arithmetic=2, transcendentals=4)
_TWICE = Unit(arithmetic=2)

abs = _unary("abs", np.abs, ARITHMETIC, Unit(arithmetic=3, transcendentals=1))
acos = _unary("acos", np.arccos, TRANSCENDENTAL)
acosh = _unary("acosh", np.arccosh, TRANSCENDENTAL)
asin = _unary("asin", np.arcsin, TRANSCENDENTAL)
asinh = _unary("asinh", np.arcsinh, TRANSCENDENTAL)
atan = _unary("atan", np.arctan, TRANSCENDENTAL)
atanh = _unary("atanh", np.arctanh, TRANSCENDENTAL)
bitwise_invert = _unary("bitwise_invert", np.invert, ARITHMETIC)
ceil = _unary("ceil", np.ceil, ARITHMETIC)
cos = _unary("cos", np.cos, TRANSCENDENTAL, _COMPLEX_TRIGONOMETRY)
cosh = _unary("cosh", np.cosh, TRANSCENDENTAL, _COMPLEX_TRIGONOMETRY)
exp = _unary("exp", np.exp, TRANSCENDENTAL, Unit(arithmetic=2, transcendentals=3))
expm1 = _unary("expm1", np.expm1, TRANSCENDENTAL)
floor = _unary("floor", np.floor, ARITHMETIC)
isfinite = _unary("isfinite", np.isfinite, COMPARISON, Unit(comparisons=2))
isinf = _unary("isinf", np.isinf, COMPARISON, Unit(comparisons=2))
isnan = _unary("isnan", np.isnan, COMPARISON, Unit(comparisons=2))
log = _unary("log", np.log, TRANSCENDENTAL, Unit(arithmetic=3, transcendentals=3))
log10 = _unary("log10", np.log10, TRANSCENDENTAL)
log1p = _unary("log1p", np.log1p, TRANSCENDENTAL)
log2 = _unary("log2", np.log2, TRANSCENDENTAL)
logical_not = _unary("logical_not", np.logical_not, COMPARISON, Unit(comparisons=2))
negative = _unary("negative", np.negative, ARITHMETIC, _TWICE)
reciprocal = _unary("reciprocal", np.reciprocal, ARITHMETIC, Unit(arithmetic=7))
sign = _unary("sign", np.sign, COMPARISON)
signbit = _unary("signbit", np.signbit, COMPARISON)
sin = _unary("sin", np.sin, TRANSCENDENTAL, _COMPLEX_TRIGONOMETRY)
sinh = _unary("sinh", np.sinh, TRANSCENDENTAL, _COMPLEX_TRIGONOMETRY)
sqrt = _unary("sqrt", np.sqrt, TRANSCENDENTAL, Unit(arithmetic=7, transcendentals=2))
square = _unary("square", np.square, ARITHMETIC, Unit(arithmetic=6))
tan = _unary("tan", np.tan, TRANSCENDENTAL)
tanh = _unary("tanh", np.tanh, TRANSCENDENTAL)
trunc = _unary("trunc", np.trunc, ARITHMETIC)
_rint = _unary("round", np.rint, ARITHMETIC, _TWICE)


def positive(x: Stored, /) -> Stored:
    """A copy of ``x``."""
    return copied(check_array(x, "positive"))


def round(x: Stored, /) -> Stored:
    """Every entry rounded to the nearest integer, halves to even; integers are copied."""
    check_array(x, "round")
    return copied(x) if x._dtype.kind in "biu" else _rint(x)


def conj(x: Stored, /) -> Stored:
    """The complex conjugate; a real array is returned as it is."""
    check_array(x, "conj")
    return unary("conj", np.conjugate, ARITHMETIC, ARITHMETIC, x) if x._dtype.kind == "c" else x


def _part(name: str, function: Callable, x: Stored) -> Stored:
    check_array(x, name)
    dtype = dtype_of((name, x._dtype), lambda: function(np.ones(1, x._dtype)))
    data = None if x._data is None else np.array(function(x._data), order="C")
    result = fresh(data, x._shape, dtype)
    costs.charge(moves=x.size)
    return result


def real(x: Stored, /) -> Stored:
    """The real parts, as a copy."""
    return _part("real", np.real, x)


def imag(x: Stored, /) -> Stored:
    """The imaginary parts, as a copy."""
    return _part("imag", np.imag, x)


# -- two operands ----------------------------------------------------------------------------------------


def _operand(name: str, x: Any) -> tuple[Any, Any, Any]:
    """What NumPy is given, the shape, and what decides the dtype (a type for a Python scalar)."""
    if isinstance(x, Stored):
        return x._data, x._shape, x._dtype
    if isinstance(x, np.generic):
        return x, (), x.dtype
    if isinstance(x, bool):
        return x, (), np.dtype(bool)
    if isinstance(x, int | float | complex):
        return x, (), type(x)
    check_array(x, name, "an operand")
    return None


def _is_complex(kind: Any) -> int:
    return int(kind is complex or (isinstance(kind, np.dtype) and kind.kind == "c"))


def resolved(name: str, function: np.ufunc, first: Any, second: Any) -> np.dtype:
    """The dtype of ``function`` on operands of these dtypes (Python types stand for Python scalars)."""
    if not isinstance(first, np.dtype) and not isinstance(second, np.dtype):
        raise TypeError(f"{name}: expected at least one counting array")
    return dtype_of(
        (function, first, second),
        lambda: np.empty(0, function.resolve_dtypes((first, second, None))[2]),
    )


def binary(name: str, function: np.ufunc, units: dict, a: Any, b: Any, into: Stored | None = None) -> Stored:
    """The result of ``function`` on broadcast entries of ``a`` and ``b``; written to ``into`` if given."""
    a_data, a_shape, a_kind = _operand(name, a)
    b_data, b_shape, b_kind = _operand(name, b)
    if not isinstance(a, Stored) and not isinstance(b, Stored):
        raise TypeError(f"{name}: expected at least one counting array")
    unit = units.get((_is_complex(a_kind), _is_complex(b_kind)))
    if unit is None:
        raise uncountable(f"{name} of complex arrays", "its complex form has no agreed price")
    shape = a_shape if a_shape == b_shape else layout.broadcast(a_shape, b_shape)
    has_data = a_data is not None and b_data is not None
    if into is not None:
        result = into
        if shape != into._shape:
            raise ValueError(f"{name} in place: shape {shape} does not fit {into._shape}")
        if into._data is not None:
            if not has_data:
                raise ShapeOnlyError(f"{name} in place: the second operand is shape-only, the first has data")
            function(a_data, b_data, out=into._data)
        elif not np.can_cast(resolved(name, function, a_kind, b_kind), into._dtype, "same_kind"):
            raise TypeError(f"{name} in place: the result does not fit dtype {into._dtype}")
    elif has_data:
        result = from_result(function(a_data, b_data, order="C"))
    else:
        result = fresh(None, shape, resolved(name, function, a_kind, b_kind))
    unit.charge(math.prod(shape))
    return result


BINARY: dict[str, tuple[np.ufunc, dict]] = {
    "add": (np.add, _per_pair(_ADDITION)),
    "subtract": (np.subtract, _per_pair(_ADDITION)),
    "multiply": (np.multiply, _per_pair(_PRODUCT)),
    "divide": (np.divide, _per_pair(_QUOTIENT)),
    "floor_divide": (np.floor_divide, _same(ARITHMETIC)),
    "remainder": (np.remainder, _same(ARITHMETIC)),
    "bitwise_and": (np.bitwise_and, _same(ARITHMETIC)),
    "bitwise_or": (np.bitwise_or, _same(ARITHMETIC)),
    "bitwise_xor": (np.bitwise_xor, _same(ARITHMETIC)),
    "bitwise_left_shift": (np.left_shift, _same(ARITHMETIC)),
    "bitwise_right_shift": (np.right_shift, _same(ARITHMETIC)),
    "copysign": (np.copysign, _same(ARITHMETIC)),
    "nextafter": (np.nextafter, _same(ARITHMETIC)),
    "maximum": (np.maximum, _same(COMPARISON)),
    "minimum": (np.minimum, _same(COMPARISON)),
    "equal": (np.equal, _same(COMPARISON, Unit(comparisons=2))),
    "not_equal": (np.not_equal, _same(COMPARISON, Unit(comparisons=2))),
    "less": (np.less, _same(COMPARISON)),
    "less_equal": (np.less_equal, _same(COMPARISON)),
    "greater": (np.greater, _same(COMPARISON)),
    "greater_equal": (np.greater_equal, _same(COMPARISON)),
    "logical_and": (np.logical_and, _same(COMPARISON, Unit(comparisons=2))),
    "logical_or": (np.logical_or, _same(COMPARISON, Unit(comparisons=2))),
    "logical_xor": (np.logical_xor, _same(COMPARISON, Unit(comparisons=2))),
    "atan2": (np.arctan2, _same(TRANSCENDENTAL)),
    "hypot": (np.hypot, _same(TRANSCENDENTAL)),
    "logaddexp": (np.logaddexp, _same(Unit(arithmetic=3, transcendentals=2, comparisons=1))),
}


def _binary(name: str) -> Callable:
    function, units = BINARY[name]

    def counted_function(x1: Stored | Scalar, x2: Stored | Scalar, /) -> Stored:
        return binary(name, function, units, x1, x2)

    counted_function.__name__ = counted_function.__qualname__ = name
    counted_function.__doc__ = f"``{name}`` of broadcast entries, as in the array API standard."
    return counted_function


add = _binary("add")
atan2 = _binary("atan2")
bitwise_and = _binary("bitwise_and")
bitwise_left_shift = _binary("bitwise_left_shift")
bitwise_or = _binary("bitwise_or")
bitwise_right_shift = _binary("bitwise_right_shift")
bitwise_xor = _binary("bitwise_xor")
copysign = _binary("copysign")
divide = _binary("divide")
equal = _binary("equal")
floor_divide = _binary("floor_divide")
greater = _binary("greater")
greater_equal = _binary("greater_equal")
hypot = _binary("hypot")
less = _binary("less")
less_equal = _binary("less_equal")
logaddexp = _binary("logaddexp")
logical_and = _binary("logical_and")
logical_or = _binary("logical_or")
logical_xor = _binary("logical_xor")
maximum = _binary("maximum")
minimum = _binary("minimum")
multiply = _binary("multiply")
nextafter = _binary("nextafter")
not_equal = _binary("not_equal")
remainder = _binary("remainder")
subtract = _binary("subtract")


def power_unit(exponent: Any, is_complex: bool) -> Unit:
    """The cost of one entry of ``x ** exponent``: binary powering for a whole scalar exponent."""
    number = isinstance(exponent, int | float | np.integer | np.floating) and not isinstance(exponent, bool)
    if number and math.isfinite(exponent) and exponent == int(exponent):
        p = int(exponent)
        steps = p.bit_length() + p.bit_count() - 2 if p else 0  # bit_count takes the absolute value
        arithmetic = steps * (6 if is_complex else 1) + (p < 0) * (7 if is_complex else 1)
        return Unit(arithmetic=arithmetic) if arithmetic else MOVE
    if is_complex:
        raise uncountable("pow of complex arrays", "only a whole scalar exponent has an agreed price")
    return TRANSCENDENTAL


def power(a: Any, b: Any, into: Stored | None = None) -> Stored:
    """``a ** b``; see ``pow``."""
    kinds = [_is_complex(_operand("pow", x)[2]) for x in (a, b)]
    unit = power_unit(b, any(kinds))
    return binary("pow", np.power, {tuple(kinds): unit}, a, b, into)


def pow(x1: Stored | Scalar, x2: Stored | Scalar, /) -> Stored:
    """``x1 ** x2``. A whole scalar exponent costs the multiplications of binary powering."""
    return power(x1, x2)


# -- three operands --------------------------------------------------------------------------------------


def clip(x: Stored, /, min: Stored | Scalar | None = None, max: Stored | Scalar | None = None) -> Stored:
    """Every entry held between ``min`` and ``max``, in the dtype of ``x``. Cost: one comparison a bound."""
    check_array(x, "clip")
    bounds = [bound for bound in (min, max) if bound is not None]
    operands = [_operand("clip", bound) for bound in bounds]
    shape = layout.broadcast(x._shape, *(operand[1] for operand in operands))
    if not bounds:
        return copied(x)
    if x._data is not None and all(operand[0] is not None for operand in operands):
        low, high = (bound._data if isinstance(bound, Stored) else bound for bound in (min, max))
        data = np.clip(x._data, low, high)
        result = from_result(data if data.dtype == x._dtype else data.astype(x._dtype))
    else:
        result = fresh(None, shape, x._dtype)
    costs.charge(comparisons=len(bounds) * math.prod(shape))
    return result


def where(condition: Stored, x1: Stored | Scalar, x2: Stored | Scalar, /) -> Stored:
    """``x1`` where ``condition`` holds and ``x2`` elsewhere. Cost: one comparison an entry."""
    check_array(condition, "where", "condition")
    operands = [_operand("where", x) for x in (x1, x2)]
    shape = layout.broadcast(condition._shape, *(operand[1] for operand in operands))
    if condition._data is not None and all(operand[0] is not None for operand in operands):
        result = from_result(np.where(condition._data, operands[0][0], operands[1][0]))
    else:
        kinds = tuple(operand[2] for operand in operands)
        tiny = [np.ones(1, kind) if isinstance(kind, np.dtype) else kind(1) for kind in kinds]
        dtype = dtype_of(("where", *kinds), lambda: np.where(np.ones(1, bool), *tiny))
        result = fresh(None, shape, dtype)
    costs.charge(comparisons=math.prod(shape))
    return result


def has_all_data(name: str, *arrays: Stored) -> bool:
    """Whether every one of ``arrays`` has data; raises ``TypeError`` for anything else than arrays."""
    for x in arrays:
        check_array(x, name)
    return all(x._data is not None for x in arrays)
