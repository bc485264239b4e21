r"""Sketches with few entries in each column: CountSketch, and the sparse embeddings (OSNAP) of s entries.

A column holds s entries :math:`\pm1/\sqrt s` in different rows, all signs and all columns independent, so
that :math:`\mathbb E\,S^\top S=I` and every column has length 1. Applying one reads each entry of its
argument once and adds it to s places.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import array_api_compat
import numpy as np
from scipy import sparse

from touchstone.arrays import charge, holds_data, namespace, scatter_add, to_host
from touchstone.linalg.sparse_rows import SparseRows
from touchstone.sketching.operator import Place, Sketch, checked_sizes, real_parts

Array = Any

LAYOUTS = ("uniform", "blocks")

ENTRIES_PER_BLOCK = 1 << 16
"""Entries of S that a NumPy product unpacks at a time: about a mebibyte, within the cache of a core."""

ROWS_PER_BLOCK = 16
"""Columns in such a block for each row of S, so that summing the blocks costs little beside making them."""

ROWS_PER_THREAD = 4
"""Columns for each row of S below which a further thread would not pay."""


def count_sketch(m: int, n: int, rng: np.random.Generator, *, like: Any, workers: int = 1) -> Sketch:
    r"""The CountSketch (m, n): one entry :math:`\pm1` in each column, in a row uniform among all m.

    It keeps the squared lengths in a fixed subspace of dimension d to :math:`1\pm\varepsilon` with
    probability :math:`1-\delta` once :math:`m\ge(d^2+d)/(\varepsilon^2\delta)`. The same as ``osnap`` with
    s = 1, where cost and errors are described.

    Source: residual-error-sketch, setting; K. Clarkson, D. Woodruff, *Low-Rank Approximation and Regression
    in Input Sparsity Time* (2013); J. Nelson, H. Nguyen, *OSNAP* (2013), theorem 3, for the number of rows.
    """
    return osnap(m, n, 1, rng, like=like, workers=workers)


def osnap(
    m: int,
    n: int,
    s: int,
    rng: np.random.Generator,
    *,
    layout: str = "uniform",
    like: Any,
    workers: int = 1,
) -> Sketch:
    r"""The sparse embedding (m, n) with s entries :math:`\pm1/\sqrt s` in each column, in s different rows.

    ``layout`` says in which: ``"uniform"`` takes each set of s rows with the same probability, ``"blocks"``
    one row, uniform, in each of the blocks :math:`[\lfloor jm/s\rfloor,\lfloor(j+1)m/s\rfloor)`. With s = 1
    both are the CountSketch. Takes sparse matrices. NumPy products run on ``workers`` threads; the sums are
    then taken in another order, so the last bits may change with ``workers``.

    Cost: n s integers to hold, moved there once. A product of S, or of its transpose, with c columns is n s c
    multiply-adds (twice as many if complex) and a move for each entry of the result; that with a sparse
    matrix is s multiply-adds for each of its entries and a move for each entry of the result. ``columns``
    takes k columns by 8 k s arithmetic operations and k (m + 3 s + 1) moves. Beside the result, NumPy
    products hold for each thread one or two more arrays of the result's size and about
    4 max(``ENTRIES_PER_BLOCK``, ``ROWS_PER_BLOCK`` m s) numbers. Raises ``ValueError`` for sizes below 1, s
    above m, or an unknown ``layout``; ``TypeError`` for an ``rng`` that is no generator or a ``like`` that
    holds no real floating numbers.

    Source: linf-guarantee-regression, setting (uniform); residual-error-sketch, setting (blocks); J. Nelson,
    H. Nguyen, *OSNAP* (2013).
    """
    m, n, s, workers = checked_sizes(rng, m=m, n=n, s=s, workers=workers)
    if s > m:
        raise ValueError(f"s={s!r}: expected at most m={m!r}, the number of rows")
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r}: expected one of {', '.join(map(repr, LAYOUTS))}")
    place = Place(like)
    draw = {"uniform": _uniform_rows, "blocks": _rows_in_blocks}[layout]
    entries = place.integers((n, s), lambda: draw(m, n, s, rng), 2 * m)
    return _SparseEmbedding(place, m, entries, workers)


def _uniform_rows(m: int, n: int, s: int, rng: np.random.Generator) -> np.ndarray:
    """Entries (n, s), each 2 row + sign, with the rows of a column a uniform subset of the m (R. Floyd)."""
    entries = np.empty((n, s), dtype=_integer(2 * m))
    for j in range(s):
        last = m - s + j
        new = rng.integers(0, 2 * (last + 1), n, dtype=entries.dtype)
        if j:  # what is there already is replaced by the one row that could not be drawn before
            taken = np.any(entries[:, :j] >> 1 == (new >> 1)[:, None], axis=1)
            new[taken] = 2 * last + (new[taken] & 1)
        entries[:, j] = new
    return entries


def _rows_in_blocks(m: int, n: int, s: int, rng: np.random.Generator) -> np.ndarray:
    """Entries (n, s), each 2 row + sign, one row in each of s blocks."""
    entries = np.empty((n, s), dtype=_integer(2 * m))
    for j in range(s):
        entries[:, j] = rng.integers(2 * (j * m // s), 2 * ((j + 1) * m // s), n, dtype=entries.dtype)
    return entries


def _integer(below: int) -> type[np.integer]:
    return np.int32 if below <= 2**31 else np.int64


class _SparseEmbedding(Sketch):
    """``entries`` (n, s) hold twice the row of each entry of S, and 1 more where it is negative."""

    def __init__(self, place: Place, m: int, entries: Array, workers: int) -> None:
        self.place, self._entries, self._workers = place, entries, workers
        self.shape = (m, entries.shape[0])
        self.touched = entries.shape[1]
        self._size = place.rounded(1 / math.sqrt(self.touched))

    def _apply(self, A: Array) -> Array:
        return self._product(A, self.shape[0], self._sums, self._sums_on_gpu)

    def _apply_transpose(self, Y: Array) -> Array:
        return self._product(Y, self.shape[1], self._gathers, self._gathers_on_gpu)

    def _product(self, A: Array, rows: int, on_host: Callable, on_gpu: Callable) -> Array:
        """The product (rows, c) of S or its transpose with ``A``, as the library of ``A`` does it best."""
        xp = namespace(self._entries, A)
        dtype = xp.result_type(self.place.dtype, A.dtype)
        if array_api_compat.is_cupy_namespace(xp):
            return on_gpu(A, dtype)
        charge(A, multiply_adds=self._entries.size * A.shape[1] * real_parts(xp, dtype))
        return self._from_host((rows, A.shape[1]), dtype, A, lambda: on_host(to_host(A), _on_host(xp, dtype)))

    def _from_host(self, shape: tuple[int, int], dtype: Any, A: Array, make: Callable) -> Array:
        blank = self.place.blank(A, shape, dtype)
        if blank is not None:
            return blank
        return self.place.xp.asarray(make(), dtype=dtype, device=self.place.device)

    def sparse_matrix(self) -> sparse.csc_array:
        """S itself on the host, as SciPy's sparse matrix of n s entries: for products of its columns with one
        another, which touch a small part of the m rows only."""
        return self._block(slice(None), _on_host(self.place.xp, self.place.dtype))

    # -- NumPy -------------------------------------------------------------------------------------------

    def _shares(self) -> list[list[slice]]:
        """Blocks of columns of S for each thread, as many for one as for the other and about equally long."""
        m, n = self.shape
        block = max(ENTRIES_PER_BLOCK // self.touched, ROWS_PER_BLOCK * m)
        threads = max(1, min(self._workers, n // max(ENTRIES_PER_BLOCK // self.touched, ROWS_PER_THREAD * m)))
        each = max(1, n // (threads * block))
        step = -(-n // (threads * each))
        blocks = [slice(start, min(start + step, n)) for start in range(0, n, step)]
        return [blocks[i : i + each] for i in range(0, len(blocks), each)]

    def _block(self, at: slice, dtype: np.dtype) -> sparse.csc_array:
        """The columns ``at`` of S."""
        entries = to_host(self._entries)[at].ravel()
        values = np.subtract(1, 2 * (entries & 1), dtype=dtype)
        if self.touched > 1:
            values *= self._size
        pointers = np.arange(0, len(entries) + 1, self.touched, dtype=_integer(len(entries)))
        return sparse.csc_array((values, entries >> 1, pointers), shape=(self.shape[0], len(pointers) - 1))

    def _sums(self, A: np.ndarray, dtype: np.dtype) -> np.ndarray:
        return self._total(lambda at: self._block(at, dtype) @ A[at])

    def _gathers(self, Y: np.ndarray, dtype: np.dtype) -> np.ndarray:
        out = np.empty((self.shape[1], Y.shape[1]), dtype=dtype)
        Y = np.ascontiguousarray(Y)

        def run(blocks: list[slice]) -> None:
            for at in blocks:
                out[at] = self._block(at, dtype).T @ Y

        _on_threads(run, self._shares())
        return out

    def _total(self, part: Callable[[slice], np.ndarray]) -> np.ndarray:
        """The sum of ``part`` over all blocks of columns of S."""

        def run(blocks: list[slice]) -> np.ndarray:
            total = part(blocks[0])
            for at in blocks[1:]:
                total += part(at)
            return total

        total, *others = _on_threads(run, self._shares())
        for other in others:
            total += other
        return total

    # -- sparse matrices ---------------------------------------------------------------------------------

    def _apply_sparse(self, A: SparseRows | sparse.sparray | sparse.spmatrix) -> Array:
        xp = self.place.xp
        shape = (self.shape[0], A.shape[1])
        dtype = xp.result_type(self.place.dtype, A.dtype)
        if not isinstance(A, SparseRows):
            A = A.tocsr()
            return self._total(lambda at: self._spread(shape, at, A[at], dtype))
        if array_api_compat.is_cupy_namespace(xp):
            return self._spread_on_gpu(A, dtype)
        charge(A.values, multiply_adds=A.values.size * self.touched * real_parts(xp, dtype))

        def make() -> np.ndarray:
            rows = _rows_on_host(A)
            return self._total(lambda at: self._spread(shape, at, rows[at], _on_host(xp, dtype)))

        return self._from_host(shape, dtype, A.values if holds_data(A.columns) else A.columns, make)

    def _spread(self, shape: tuple[int, int], at: slice, A: sparse.csr_array, dtype: np.dtype) -> np.ndarray:
        """The part of S @ A, of ``shape``, that the columns ``at`` of S make of these rows of it."""
        block = self._block(at, dtype)
        stored = np.diff(A.indptr)
        rows = np.repeat(block.indices.reshape(-1, self.touched), stored, axis=0)
        values = np.repeat(block.data.reshape(-1, self.touched), stored, axis=0) * A.data[:, None]
        columns = np.repeat(A.indices, self.touched)
        return sparse.coo_array((values.ravel(), (rows.ravel(), columns)), shape=shape).toarray()

    def _spread_on_gpu(self, A: SparseRows, dtype: Any) -> Array:
        xp, (m, d) = self.place.xp, (self.shape[0], A.shape[1])
        values, total = xp.astype(A.values, dtype), xp.zeros((m * d,), dtype=dtype)
        for j in range(self.touched):
            entries = xp.astype(self._entries[:, j], xp.int64)[:, None]
            index = (entries >> 1) * d + A.columns
            signed = self._values(entries, dtype) * values
            total += scatter_add(m * d, xp.reshape(index, (-1,)), xp.reshape(signed, (-1,)))
        return xp.reshape(total, (m, d))

    # -- GPU ---------------------------------------------------------------------------------------------

    def _sums_on_gpu(self, A: Array, dtype: Any) -> Array:
        from cupyx.scipy.sparse import csr_matrix

        xp, (m, n) = self.place.xp, self.shape
        entries = xp.reshape(self._entries, (-1,))
        order = xp.argsort(entries)
        entries = xp.take(entries, order)
        first = xp.searchsorted(entries >> 1, xp.arange(m + 1, dtype=entries.dtype))
        parts = (self._values(entries, dtype), order // self.touched, first)
        return csr_matrix(parts, shape=(m, n)) @ xp.astype(A, dtype, copy=False)

    def _gathers_on_gpu(self, Y: Array, dtype: Any) -> Array:
        xp = self.place.xp
        total = xp.zeros((self.shape[1], Y.shape[1]), dtype=dtype)
        for j in range(self.touched):
            entries = self._entries[:, j]
            total += self._values(entries, dtype)[:, None] * xp.take(Y, entries >> 1, axis=0)
        return total

    # -- every library -----------------------------------------------------------------------------------

    def _columns(self, index: Array) -> Array:
        xp = namespace(self._entries, index)
        m, k = self.shape[0], index.shape[0]
        entries = xp.astype(xp.take(self._entries, index, axis=0), xp.int64)
        numbers = xp.arange(k, dtype=xp.int64, device=self.place.device)
        at = xp.reshape((entries >> 1) * k + numbers[:, None], (-1,))
        values = xp.reshape(self._values(entries, self.place.dtype), (-1,))
        return xp.reshape(scatter_add(m * k, at, values), (m, k))

    def _values(self, entries: Array, dtype: Any) -> Array:
        """The entries of S that ``entries`` stand for."""
        xp = namespace(entries)
        return xp.astype(1 - 2 * (entries & 1), dtype) * self._size


def _on_threads(run: Callable[[list[slice]], Any], shares: list[list[slice]]) -> list[Any]:
    if len(shares) == 1:
        return [run(shares[0])]
    with ThreadPoolExecutor(len(shares)) as pool:
        return list(pool.map(run, shares))


def _rows_on_host(A: SparseRows) -> sparse.csr_array:
    columns, values = to_host(A.columns), to_host(A.values)
    pointers = np.arange(0, columns.size + 1, columns.shape[1])
    return sparse.csr_array((values.ravel(), columns.ravel(), pointers), shape=A.shape)


def _on_host(xp: Any, dtype: Any) -> np.dtype:
    return to_host(xp.empty((0,), dtype=dtype)).dtype
