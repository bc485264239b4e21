r"""The Walsh-Hadamard transform: products with the matrix :math:`H_{ij}=(-1)^k`, k the number of binary ones
that i and j share.

:math:`H_{ab}=H_a\otimes H_b`, so a transform is a few products with small matrices, each along one axis of
the argument seen as a box. On a processor this is several times faster than the textbook's butterflies, three
levels of which are one such product; the count stays that of the textbook.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import charge, holds_data, namespace, single_threaded_blas, to_host

Array = Any

BYTES_PER_BLOCK = 1 << 22
"""Bytes of the columns that a thread transforms at a time: 32 columns of 2^14 numbers in float64."""

NUMBERS_PER_THREAD = 1 << 18
"""Numbers, about a millisecond of work, below which a further thread would not pay."""

NUMBERS_FOR_BLAS = 1 << 14
"""Numbers from which on BLAS, which might take several threads, is told to take one."""

LEAST_WIDTH = 8
"""Columns from which on they are transformed together; fewer go one by one, unless they are short."""

NUMBERS_AT_ONCE = 1 << 13
"""Numbers up to which a few columns go together as well: there the calls cost more than slim products."""

NUMBERS_PER_GPU_BLOCK = 1 << 26
"""Numbers in the columns that libraries other than NumPy transform at a time."""


def walsh_hadamard(X: Array, axis: int = 0, *, workers: int = 1) -> Array:
    r""":math:`HX` along ``axis`` of ``X``, with N = 2^k entries there; the result has the shape of ``X``.

    H is not normalised, :math:`HH=N\cdot I`, and its rows come in the order of the Kronecker products
    (Sylvester's). ``X`` holds floating numbers, real or complex. NumPy arrays take ``workers`` threads. The
    relative error of a column is about :math:`u\log_2N` in the 2-norm.

    Cost: :math:`N\log_2N` additions a column (twice as many if complex) and a move for each entry of the
    result. That is the count of the butterflies; what runs are products with matrices of order 8, or 64 for
    single columns. NumPy arrays hold, beside the result, about 2 max(``BYTES_PER_BLOCK``, 8 columns) a
    thread. Raises ``ValueError`` for an ``axis`` that is not there, a length that is no power of two or
    ``workers`` below 1, ``TypeError`` for entries that are not floating.

    Source: linf-guarantee-regression, C4.
    """
    xp = namespace(X)
    if not xp.isdtype(X.dtype, ("real floating", "complex floating")):
        raise TypeError(f"X of dtype {X.dtype}: expected floating numbers")
    if isinstance(axis, bool) or not isinstance(axis, int) or not -X.ndim <= axis < X.ndim:
        raise ValueError(f"axis={axis!r}: expected an axis of X of shape {tuple(X.shape)}")
    size = X.shape[axis]
    if size < 1 or size & (size - 1):
        raise ValueError(f"X of shape {tuple(X.shape)}: expected a power of two along axis {axis}")
    if not workers >= 1:
        raise ValueError(f"workers={workers!r}: expected an integer >= 1")
    parts = 2 if xp.isdtype(X.dtype, "complex floating") else 1
    charge(X, arithmetic=X.size * (size.bit_length() - 1) * parts)
    if not holds_data(X):
        return xp.zeros(X.shape, dtype=X.dtype, device=array_api_compat.device(X))
    if hasattr(X, "__charge__"):  # what it costs has been said, so nothing is counted again
        return xp.asarray(walsh_hadamard(to_host(X), axis, workers=workers))
    moved = xp.moveaxis(X, axis, 0)
    columns = xp.reshape(moved, (size, -1))
    transform = _by_blocks if isinstance(X, np.ndarray) else _by_products
    return xp.moveaxis(xp.reshape(transform(columns, workers), moved.shape), 0, axis)


def hadamard_entries(i: Array, j: Array, bits: int) -> Array:
    r""":math:`H_{ij}` for integers ``i`` and ``j`` in [0, 2^``bits``), of shapes that broadcast: 1 or -1.

    Cost: :math:`4+2\lceil\log_2\text{bits}\rceil` operations an entry of the result.
    """
    common = i & j
    for fold in reversed(range(max(bits - 1, 0).bit_length())):  # bit 0 gets the parity of all
        common = common ^ (common >> (1 << fold))
    return 1 - 2 * (common & 1)


# -- NumPy: blocks of columns in buffers that are used again ---------------------------------------------


def _by_blocks(X: np.ndarray, workers: int) -> np.ndarray:
    out = np.empty(X.shape, dtype=X.dtype)
    size = X.shape[0]

    def run(at: slice, buffers: Buffers) -> None:
        width = at.stop - at.start
        np.copyto(buffers.view(0, size, width), X[:, at])
        out[:, at] = buffers.transform(size, size, width)

    on_blocks(run, X.shape, X.dtype, workers)
    return out


class Buffers:
    """Two arrays that take turns in holding ``rows`` × ``width`` numbers of ``dtype``, real or complex."""

    def __init__(self, numbers: int, dtype: np.dtype) -> None:
        self._arrays = [np.empty(numbers, dtype=dtype) for _ in range(2)]

    def view(self, which: int, rows: int, width: int) -> np.ndarray:
        return self._arrays[which][: rows * width].reshape(rows, width)

    def transform(self, rows: int, size: int, width: int) -> np.ndarray:
        """The transforms of each ``size`` rows of buffer 0, one after another: (rows, width)."""
        real = self._arrays[0].real.dtype
        source, other = (self.view(k, rows, width).reshape(-1).view(real) for k in (0, 1))
        wide = source.size // rows  # a complex number is two real ones
        left, right = rows // size, size
        for bits in _factors(size.bit_length() - 1, wide):
            H = _small(bits, real)
            right >>= bits
            if right * wide == 1:
                np.matmul(source.reshape(-1, len(H)), H, out=other.reshape(-1, len(H)))
            else:
                shape = (left, len(H), right * wide)
                np.matmul(H, source.reshape(shape), out=other.reshape(shape))
            source, other = other, source
            left <<= bits
        return source.view(self._arrays[0].dtype).reshape(rows, width)


def on_blocks(
    run: Callable[[slice, Buffers], None], shape: tuple[int, int], dtype: np.dtype, workers: int
) -> None:
    """``run(columns, buffers)`` for blocks of columns of a matrix of ``shape``, on some threads."""
    rows, columns = shape
    step = 1
    if columns >= LEAST_WIDTH or 1 < columns <= NUMBERS_AT_ONCE // rows:
        threads = max(1, min(workers, columns // LEAST_WIDTH, rows * columns // NUMBERS_PER_THREAD))
        step = min(max(BYTES_PER_BLOCK // (rows * dtype.itemsize), LEAST_WIDTH), -(-columns // threads))
    blocks = [slice(start, min(start + step, columns)) for start in range(0, columns, step)]
    threads = max(1, min(workers, len(blocks), rows * columns // NUMBERS_PER_THREAD))

    def share(mine: list[slice]) -> None:
        buffers = Buffers(rows * step, dtype)
        for at in mine:
            run(at, buffers)

    # products as slim as these lose by the threads of BLAS; what is soon done is not worth the asking
    with single_threaded_blas() if rows * columns >= NUMBERS_FOR_BLAS else nullcontext():
        if threads == 1:
            share(blocks)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(share, [blocks[i::threads] for i in range(threads)]))


def _factors(bits: int, width: int) -> list[int]:
    """``bits`` as a sum of threes and twos. A single column ends with a six: one product of matrices."""
    last = min(bits, 6) if width == 1 else 0
    count = -(-(bits - last) // 3)
    first = [(bits - last + i) // count for i in range(count)]
    return [*first, last] if last else first


@functools.cache
def _small(bits: int, dtype: np.dtype) -> np.ndarray:
    i = np.arange(1 << bits)
    H = hadamard_entries(i[:, None], i, bits).astype(dtype)
    H.flags.writeable = False
    return H


# -- other libraries -------------------------------------------------------------------------------------


def _by_products(X: Array, workers: int) -> Array:  # noqa: ARG001
    """The same for all libraries, by products with matrices of order 64 at most."""
    xp, device = namespace(X), array_api_compat.device(X)
    size, columns = X.shape
    out = xp.empty(X.shape, dtype=X.dtype, device=device)
    block = max(1, NUMBERS_PER_GPU_BLOCK // size)
    for start in range(0, columns, block):
        at = slice(start, min(start + block, columns))
        some = X[:, at]
        shape, left, bits = some.shape, 1, size.bit_length() - 1
        while bits:
            i = xp.arange(1 << min(bits, 6), device=device)
            H = xp.astype(hadamard_entries(i[:, None], i, 6), X.dtype)
            some = H @ xp.reshape(some, (left, H.shape[0], -1))
            left, bits = left * H.shape[0], max(0, bits - 6)
        out[:, at] = xp.reshape(some, shape)
    return out
