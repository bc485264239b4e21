"""The Fourier extension of the array API standard, priced by ``prices.fft`` and traced."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from touchstone.counting import costs, creation, layout, manipulation, prices
from touchstone.counting.storage import Stored, check_array, dtype_of, fresh, from_result


def _one(name: str, kind: str, x: Stored, n: int | None, axis: int, norm: str, ends: Callable) -> Stored:
    """The transform ``name`` along ``axis``; ``ends(length)`` is the new side."""
    check_array(x, name)
    axis = layout.axis_of(axis, x.ndim)
    side = x._shape[axis]
    length = n if n is not None else (2 * (side - 1) if name in ("irfft", "hfft") else side)
    if length < 1:
        raise ValueError(f"{name}: a transform of {length} points, expected at least 1")
    if norm not in ("backward", "ortho", "forward"):
        raise ValueError(f"norm={norm!r}: expected 'backward', 'ortho' or 'forward'")
    function = getattr(np.fft, name)
    before, after = x._shape[:axis], x._shape[axis + 1 :]
    if x._data is not None:
        result = from_result(function(x._data, n=n, axis=axis, norm=norm))
    else:
        dtype = dtype_of((name, x._dtype), lambda: function(np.ones(2, x._dtype)))
        result = fresh(None, (*before, ends(length), *after), dtype)
    lines = math.prod(before) * math.prod(after)
    costs.charge_fft(kind, length, lines, prices.fft(length, kind))
    return result


def _whole(length: int) -> int:
    return length


def _half(length: int) -> int:
    return length // 2 + 1


def fft(x: Stored, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Stored:
    """The discrete Fourier transform along ``axis``."""
    return _one("fft", "complex", x, n, axis, norm, _whole)


def ifft(x: Stored, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Stored:
    """The inverse of ``fft``."""
    return _one("ifft", "complex", x, n, axis, norm, _whole)


def rfft(x: Stored, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Stored:
    """The transform of real entries along ``axis``: its first half."""
    return _one("rfft", "real", x, n, axis, norm, _half)


def irfft(x: Stored, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Stored:
    """The inverse of ``rfft``, with ``n`` real entries."""
    return _one("irfft", "real", x, n, axis, norm, _whole)


def hfft(x: Stored, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Stored:
    """The transform of a Hermitian signal: ``n`` real entries."""
    return _one("hfft", "real", x, n, axis, norm, _whole)


def ihfft(x: Stored, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Stored:
    """The inverse of ``hfft``."""
    return _one("ihfft", "real", x, n, axis, norm, _half)


def _many(name: str, x: Stored, s: Sequence[int] | None, axes: Sequence[int] | None, norm: str) -> Stored:
    check_array(x, name)
    if axes is None:
        axes = range(x.ndim) if s is None else range(x.ndim - len(s), x.ndim)
    at = [layout.axis_of(axis, x.ndim) for axis in axes]
    lengths = [x._shape[axis] for axis in at] if s is None else list(s)
    if len(lengths) != len(at):
        raise ValueError(f"s={s!r}: expected as many lengths as axes, {len(at)}")
    inverse = "i" if name.startswith("i") else ""
    last = len(at) - 1
    order = list(range(len(at)))
    real_at = last if "r" in name else None
    if real_at is not None and not inverse:
        order = [last, *order[:-1]]  # the real axis first forward, last backward
    for i in order:
        if i == real_at:
            length = lengths[i] if s is not None or not inverse else 2 * (x._shape[at[i]] - 1)
            x = (irfft if inverse else rfft)(x, n=length, axis=at[i], norm=norm)
        else:
            x = (ifft if inverse else fft)(x, n=lengths[i], axis=at[i], norm=norm)
    return x


def fftn(
    x: Stored, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Stored:
    """The transform along every one of ``axes``, one after the other."""
    return _many("fftn", x, s, axes, norm)


def ifftn(
    x: Stored, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Stored:
    """The inverse of ``fftn``."""
    return _many("ifftn", x, s, axes, norm)


def rfftn(
    x: Stored, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Stored:
    """The transform of real entries along ``axes``, halved along the last."""
    return _many("rfftn", x, s, axes, norm)


def irfftn(
    x: Stored, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
) -> Stored:
    """The inverse of ``rfftn``."""
    return _many("irfftn", x, s, axes, norm)


def _shifted(x: Stored, axes: int | Sequence[int] | None, sign: int) -> Stored:
    at = layout.axes_of(axes, x.ndim)
    halves = [side // 2 if sign > 0 else -(side // 2) for side in (x._shape[i] for i in at)]
    return manipulation.roll(x, halves, axis=list(at))


def fftshift(x: Stored, /, *, axes: int | Sequence[int] | None = None) -> Stored:
    """The zero frequency moved to the middle: moves."""
    return _shifted(check_array(x, "fftshift"), axes, 1)


def ifftshift(x: Stored, /, *, axes: int | Sequence[int] | None = None) -> Stored:
    """The inverse of ``fftshift``: moves."""
    return _shifted(check_array(x, "ifftshift"), axes, -1)


_host = creation.Creation(True)


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Stored:
    """The frequencies of ``fft``: moves."""
    return _host.asarray(np.fft.fftfreq(n, d), dtype=dtype, device=device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Stored:
    """The frequencies of ``rfft``: moves."""
    return _host.asarray(np.fft.rfftfreq(n, d), dtype=dtype, device=device)
