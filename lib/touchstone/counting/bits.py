"""Communication: the words and bits of what is sent, counted where it is sent.

A word is a number (see ``space``). In bits, a float costs the width of its dtype, or, rounded to β
significant bits, sign + exponent + β - 1 (the leading bit is not sent): 64 for float64 at β = 53. An integer
costs its bit length, at least 1, and in a part of a message with a negative entry each entry pays one more
for its sign; or a fixed field if one is agreed on. A truth value costs one bit, text eight a byte. Shapes,
lengths and field widths are part of the protocol and are not charged: variable-length integers are charged
what they say, not what it takes to tell them apart.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from touchstone.arrays import as_array_like, to_host
from touchstone.counting.leaves import is_array, leaves, numpy_dtype
from touchstone.counting.space import bits_in, words_in


class Size(NamedTuple):
    """What a message takes, in Python integers."""

    words: int
    bits: int


def message_size(message: Any, *, bits: int | None = None, integer_bits: int | None = None) -> Size:
    """The words and bits of ``message``: arrays, numbers, text, and containers of them (see ``leaves``).

    ``bits`` is the number of significant bits of each float (at most what its dtype has), ``integer_bits``
    the width of a fixed field for each integer, sign included; the default is as the module says. An object
    that occurs twice is sent twice.

    Raises ``ValueError`` for a width below 1 or an integer that does not fit its field, ``TypeError`` for a
    part that cannot be counted, or integers without data and without a field. Cost: integer arrays are
    read, others not.
    """
    for name, width in (("bits", bits), ("integer_bits", integer_bits)):
        if width is not None and (isinstance(width, bool) or not hasattr(width, "__index__") or width < 1):
            raise ValueError(f"{name}={width!r}: expected an integer >= 1")
    words = total = 0
    for path, leaf in leaves(message, shared=False):
        words += words_in(leaf)
        total += _bits(path, leaf, bits, integer_bits)
    return Size(words, total)


def rounded_to_bits(x: Any, bits: int) -> Any:
    """The floats in ``x`` rounded to ``bits`` significant binary digits, ties to even; in the same dtype.

    ``x`` is an array of any namespace, a number, or a tuple, list or dict of such. Integers, truth values,
    text and entries that are not finite stay as they are. Raises ``ValueError`` unless ``bits`` is an
    integer >= 1, ``TypeError`` for other containers.
    """
    if isinstance(bits, bool) or not hasattr(bits, "__index__") or bits < 1:
        raise ValueError(f"bits={bits!r}: expected an integer >= 1")
    if isinstance(x, tuple | list):
        parts = [rounded_to_bits(part, bits) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict):
        return {key: rounded_to_bits(value, bits) for key, value in x.items()}
    if isinstance(x, int | str | bytes | type(None)):
        return x
    if isinstance(x, float | complex) and not isinstance(x, np.generic):
        return type(x)(_rounded(np.asarray(x), bits))
    if not is_array(x):
        raise TypeError(f"{type(x).__name__}: expected arrays, numbers, or tuples, lists and dicts of them")
    if numpy_dtype(x.dtype).kind not in "fc":
        return x
    host = _rounded(np.asarray(to_host(x)), bits)
    return (
        host[()]
        if isinstance(x, np.generic)
        else host
        if isinstance(x, np.ndarray)
        else as_array_like(host, x)
    )


class Channel:
    """A line between parties on which everything is counted, and rounded as it would be on the wire.

    ``send`` returns the message as it arrives: with ``bits``, its floats rounded to that many significant
    bits. ``tally`` counts ``messages``, ``words`` and ``bits``; ``labels`` keeps the same for each label.
    The protocol's functions are given ``channel.send`` and nothing of the other side's.
    """

    def __init__(self, bits: int | None = None) -> None:
        if bits is not None and (isinstance(bits, bool) or not hasattr(bits, "__index__") or bits < 1):
            raise ValueError(f"bits={bits!r}: expected an integer >= 1")
        self.bits = bits
        self.tally: Counter[str] = Counter(messages=0, words=0, bits=0)
        self.labels: dict[str, Counter[str]] = {}

    def send(
        self,
        message: Any,
        *,
        label: str | None = None,
        bits: int | None = None,
        integer_bits: int | None = None,
        receivers: int = 1,
    ) -> Any:
        """Count ``message`` once for each of ``receivers`` and return it as it arrives.

        ``bits`` overrides the channel's own; ``integer_bits`` as in ``message_size``. A message without data
        is counted and returned as it is. Errors as for ``message_size`` and ``rounded_to_bits``; nothing is
        counted then.
        """
        if isinstance(receivers, bool) or not hasattr(receivers, "__index__") or receivers < 0:
            raise ValueError(f"receivers={receivers!r}: expected an integer >= 0")
        bits = self.bits if bits is None else bits
        size = message_size(message, bits=bits, integer_bits=integer_bits)
        arrived = message if bits is None or _without_data(message) else rounded_to_bits(message, bits)
        spent = {"messages": receivers, "words": receivers * size.words, "bits": receivers * size.bits}
        self.tally.update(spent)
        if label is not None:
            self.labels.setdefault(label, Counter(messages=0, words=0, bits=0)).update(spent)
        return arrived


def _bits(path: str, leaf: Any, bits: int | None, integer_bits: int | None) -> int:
    if isinstance(leaf, int) and not isinstance(leaf, bool):
        return _integers(path, leaf, leaf, 1, max(1, leaf.bit_length()), integer_bits)
    if isinstance(leaf, float | complex) and not isinstance(leaf, np.generic):
        leaf = np.asarray(leaf)
    kind = numpy_dtype(leaf.dtype).kind if is_array(leaf) else ""
    if kind in ("f", "c"):
        part = np.finfo(numpy_dtype(leaf.dtype))
        fraction = part.nmant if bits is None else min(int(bits) - 1, part.nmant)
        return words_in(leaf) * (1 + part.nexp + fraction)
    if kind in ("i", "u"):
        number = math.prod(leaf.shape)
        if number == 0 or (integer_bits is not None and _without_data(leaf)):
            return number * (integer_bits or 0)
        host = np.asarray(to_host(leaf))
        lengths = int(np.sum(np.maximum(_bit_lengths(host), 1)))
        return _integers(path, int(host.min()), int(host.max()), number, lengths, integer_bits)
    return bits_in(leaf)


def _integers(path: str, low: int, high: int, number: int, lengths: int, field: int | None) -> int:
    """Bits of ``number`` integers in [low, high] whose bit lengths add up to ``lengths``."""
    if field is None:
        return lengths + (number if low < 0 else 0)
    least, most = (-(1 << (field - 1)), (1 << (field - 1)) - 1) if low < 0 else (0, (1 << field) - 1)
    if low < least or high > most:
        raise ValueError(f"{path}: integers in [{low}, {high}]: expected them to fit {field} bits")
    return number * int(field)


def _bit_lengths(host: np.ndarray) -> np.ndarray:
    """The bit length of each entry's absolute value, for any integer dtype."""
    rest = host.astype(np.uint64)
    if host.dtype.kind == "i":
        rest = np.where(host < 0, ~rest + np.uint64(1), rest)  # two's complement, right for the smallest too
    lengths = np.zeros(host.shape, dtype=np.int64)
    for shift in (32, 16, 8, 4, 2, 1):
        high = rest >> np.uint64(shift)
        lengths += shift * (high > 0)
        rest = np.where(high > 0, high, rest)
    return lengths + (rest > 0)


def _rounded(host: np.ndarray, bits: int) -> np.ndarray:
    if host.dtype.kind == "c":
        out = np.empty_like(host)
        out.real, out.imag = _rounded(host.real, bits), _rounded(host.imag, bits)
        return out
    if bits >= np.finfo(host.dtype).nmant + 1:
        return host
    mantissa, exponent = np.frexp(host)  # mantissa in [1/2, 1): exact to scale, unlike the number itself
    with np.errstate(over="ignore", invalid="ignore"):
        out = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
    return np.where(np.isfinite(host), out, host).astype(host.dtype)


def _without_data(message: Any) -> bool:
    for _, leaf in leaves(message, shared=False):
        if is_array(leaf) and not isinstance(leaf, np.ndarray | np.generic):
            try:
                to_host(leaf)
            except TypeError:
                return True
    return False
