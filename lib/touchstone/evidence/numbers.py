"""How numbers are written: six significant digits in the ledger, four on the page.

Rounding keeps the last bits of a matrix product, which differ from one BLAS to the next, out of the ledger.
JSON has neither infinities nor integers beyond 2^53 that every reader keeps, so an infinity or a NaN is
written as the string ``"inf"``, ``"-inf"`` or ``"nan"``, and an integer beyond 2^53 in absolute value as the
object ``{"log2": 10240.0}`` (with ``"sign": -1`` when it is negative).
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

SIGNIFICANT_DIGITS = 6
LARGEST_EXACT = 2**53

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def rounded(x: float, digits: int = SIGNIFICANT_DIGITS) -> float:
    """``x`` to ``digits`` significant digits (zero, infinities and NaN as they are; never minus zero)."""
    return float(f"{x:.{digits - 1}e}") + 0.0 if math.isfinite(x) else x


def log_of(x: Any) -> float:
    """Natural logarithm of a positive number of any size: a float, an integer beyond all floats, a fraction.

    Raises ``ValueError`` for a number that is not positive and finite, ``TypeError`` for anything else.
    """
    if isinstance(x, bool | np.bool_) or not isinstance(x, numbers.Real):
        raise TypeError(f"{x!r}: expected a real number")
    if isinstance(x, Fraction):
        return log_of(x.numerator) - log_of(x.denominator)
    if not x > 0:
        raise ValueError(f"{shown(x)}: expected a positive number")
    if isinstance(x, numbers.Integral):
        return math.log(int(x))
    if not math.isfinite(x):
        raise ValueError(f"{x!r}: expected a finite number")
    return math.log(x)


def encoded(value: Any) -> Any:
    """``value`` as the ledger holds it (see the module's head). Raises ``TypeError`` for other kinds."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, numbers.Integral):
        return _encoded_integer(int(value))
    if isinstance(value, numbers.Real):
        return _encoded_float(float(value))
    if isinstance(value, np.ndarray):
        return encoded(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): encoded(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [encoded(item) for item in value]
    raise TypeError(f"{type(value).__name__}: the ledger holds numbers, text, lists and mappings only")


def _encoded_integer(x: int) -> Any:
    if abs(x) <= LARGEST_EXACT:
        return x
    size = {"log2": _log2(abs(x))}
    return size if x > 0 else {**size, "sign": -1}


def _log2(x: int) -> float:
    """Base-two logarithm, exact for powers of two of any size."""
    shift = max(x.bit_length() - 60, 0)
    return rounded(shift + math.log2(x >> shift))


def _encoded_float(x: float) -> float | str:
    return rounded(x) if math.isfinite(x) else str(x)


def shown(value: Any, digits: int = 4) -> str:
    """``value`` for a reader: short, plain text, powers of ten with superscripts."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return _shown_integer(int(value))
    if isinstance(value, numbers.Real):
        return _shown_float(float(value), digits)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(item, digits)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "[" + ", ".join(shown(item, digits) for item in value) + "]"
    return str(value)


def _shown_integer(x: int) -> str:
    if abs(x) <= 10**9:
        return str(x).replace("-", "−")
    log2 = _log2(abs(x))
    body = "2" + str(int(log2)).translate(_SUPERSCRIPTS) if log2 == int(log2) else f"2^{log2:.6g}"
    return body if x > 0 else f"−{body}"


def _shown_float(x: float, digits: int) -> str:
    if not math.isfinite(x):
        return {math.inf: "∞", -math.inf: "−∞"}.get(x, "not a number")
    text = f"{x:.{digits}g}"
    if "e" not in text:
        return text.replace("-", "−")
    mantissa, exponent = text.split("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    if mantissa in ("1", "-1"):
        return mantissa[:-1].replace("-", "−") + power
    return f"{mantissa}×{power}".replace("-", "−")
