"""Triangular Toeplitz matrices, applied by fast Fourier transforms and never formed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy import fft as scipy_fft

from touchstone.arrays import namespace

Array = Any

POINTS_PER_BLOCK = 1 << 15
"""Padded points that a block of NumPy columns holds at a time: 256 KiB in float64, within the cache."""

POINTS_PER_THREAD = 1 << 20
"""Padded points, some milliseconds of work, below which a further thread does not pay."""


def lower_toeplitz_apply(
    b: Array, size: int, V: Array, *, transpose: bool = False, workers: int = 1
) -> Array:
    r"""``T @ V`` for the lower-triangular Toeplitz ``T`` whose first column is ``b[:size]``.

    ``T[i, j] = b[i - j]`` for ``i >= j`` and 0 above the diagonal, (size, size). ``b`` has at least ``size``
    entries and ``V`` is (size,) or (size, c); the result has the shape of ``V``. With ``transpose`` it is
    ``T.T @ V``. Real floating arrays of one library.

    The error is absolute: about :math:`u\log_2(\text{size})\,\lVert b\rVert_2\lVert V_c\rVert_2` in each
    column, ``u`` the unit roundoff, so entries that are small by cancellation lose their digits.

    Cost: 2 c + 1 real transforms of N points, N the power of two with ``size <= N / 2 < 2 size``, and
    c (N / 2 + 1) complex products; memory about 4 c N floats. NumPy arrays take blocks of columns on
    at most ``workers`` threads, an N >= 2 size - 1 that has small factors and may be shorter, and, beside the
    result, buffers of about 3 max(``POINTS_PER_BLOCK``, 16 N) floats a thread. Raises ``ValueError`` for
    shapes that do not fit or ``workers`` below 1, ``TypeError`` for arrays that are not real floating.

    Source: conv-basis-attention, the definition of conv(a); G. Golub, C. Van Loan, *Matrix Computations*
    (4th edition, 2013), section 4.8, embedding into a circulant matrix.
    """
    xp = namespace(b, V)
    for name, x in (("b", b), ("V", V)):
        if not xp.isdtype(x.dtype, "real floating"):
            raise TypeError(f"{name} of dtype {x.dtype}: expected real floating numbers")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"size={size!r}: expected an integer >= 1")
    if b.ndim != 1 or b.shape[0] < size:
        raise ValueError(f"b of shape {tuple(b.shape)}: expected at least {size} entries in one row")
    if V.ndim not in (1, 2) or V.shape[0] != size:
        raise ValueError(f"V of shape {tuple(V.shape)}: expected ({size},) or ({size}, columns)")
    if not workers >= 1:
        raise ValueError(f"workers={workers!r}: expected an integer >= 1")
    if isinstance(V, np.ndarray):
        product = _by_blocks(b[:size], V[:, None] if V.ndim == 1 else V, transpose, workers)
        return product[:, 0] if V.ndim == 1 else product
    length = 2 << (size - 1).bit_length()
    # columns become rows: a transform runs over contiguous numbers
    columns = V[None, :] if V.ndim == 1 else V.T
    spectrum = xp.fft.rfft(b[:size], n=length)
    if transpose:
        spectrum = xp.conj(spectrum)
    product = xp.fft.irfft(spectrum[None, :] * xp.fft.rfft(columns, n=length, axis=-1), n=length, axis=-1)
    return product[0, :size] if V.ndim == 1 else product[:, :size].T


def _by_blocks(b: np.ndarray, V: np.ndarray, transpose: bool, workers: int) -> np.ndarray:
    """The same for NumPy: buffers that are used again, contiguous transforms, several columns at a time."""
    dtype = np.result_type(b, V)
    size, columns = V.shape
    length = scipy_fft.next_fast_len(2 * size - 1, real=True)
    spectrum = scipy_fft.rfft(b.astype(dtype, copy=False), n=length)
    if transpose:
        spectrum = np.conj(spectrum)
    out = np.empty(V.shape, dtype=dtype)
    # at least a cache line of each row, as the rows of V are read and written across
    block = max(64 // dtype.itemsize, POINTS_PER_BLOCK // length)
    starts = range(0, columns, block)

    def run(mine: Sequence[int]) -> None:
        padded = np.zeros((min(block, columns), length), dtype=dtype)
        for j in mine:
            some = padded[: min(block, columns - j)]
            some[:, :size] = V[:, j : j + block].T
            product = scipy_fft.rfft(some)
            product *= spectrum
            out[:, j : j + block] = scipy_fft.irfft(product, n=length)[:, :size].T

    workers = min(workers, len(starts), columns * length // POINTS_PER_THREAD)
    if workers < 2:
        run(starts)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(run, [starts[i::workers] for i in range(workers)]))
    return out
