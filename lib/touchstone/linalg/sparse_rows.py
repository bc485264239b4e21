"""Matrices with the same small number of stored entries in every row."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np
from scipy import sparse

from touchstone.arrays import block_factor, holds_data, map_rows, namespace, scatter_add, to_host

Array = Any

NUMBERS_PER_BLOCK = 1 << 17
"""Numbers, of each kind that a routine needs, that a block of rows makes at a time: 1 MiB in float64.

On a GPU ``touchstone.arrays.block_factor`` times as many."""


class SparseRows:
    r"""An (n, d) matrix with k stored entries a row: ``columns`` (n, k) integers, ``values`` (n, k).

    Entries that share a row and a column add up, so a shorter row is filled up with zeros. An operator with
    ``shape``, ``@``, ``.T @``, ``gram``, ``quadratic_forms``, ``take`` and ``dense``; every one charges the
    stored entries that it touches. The arrays are kept, not copied.

    Raises ``ValueError`` for arrays that are no matrices of one shape, d < 1, k < 1, or a column outside
    [0, d), ``TypeError`` for columns that are no integers or values that are not floating.

    Source: john-ellipsoid-dp, C5. The layout is known as ELL.
    """

    def __init__(self, columns: Array, values: Array, d: int) -> None:
        xp = namespace(columns, values)
        if isinstance(d, bool) or not isinstance(d, int | np.integer) or d < 1:
            raise ValueError(f"d={d!r}: expected an integer >= 1")
        if columns.ndim != 2 or tuple(columns.shape) != tuple(values.shape) or columns.shape[1] < 1:
            raise ValueError(
                f"columns of shape {tuple(columns.shape)} and values of shape {tuple(values.shape)}: "
                "expected two matrices of one shape with a column or more"
            )
        if not xp.isdtype(columns.dtype, "integral"):
            raise TypeError(f"columns of dtype {columns.dtype}: expected integers")
        if not xp.isdtype(values.dtype, ("real floating", "complex floating")):
            raise TypeError(f"values of dtype {values.dtype}: expected floating numbers")
        if holds_data(columns) and columns.shape[0]:
            host = to_host(columns)
            low, high = host.min(), host.max()
            if low < 0 or high >= d:
                raise ValueError(f"columns between {low} and {high}: expected indices in [0, {d})")
        self._set(columns, values, int(d))

    def _set(self, columns: Array, values: Array, d: int) -> None:
        self.columns, self.values = columns, values
        self.shape: tuple[int, int] = (columns.shape[0], d)

    def like(self, columns: Array, values: Array) -> SparseRows:
        """Other rows of the same width, without checks."""
        result = object.__new__(SparseRows)
        result._set(columns, values, self.shape[1])
        return result

    @property
    def dtype(self) -> Any:
        return self.values.dtype

    @property
    def T(self) -> TransposedSparseRows:
        return TransposedSparseRows(self)

    def __matmul__(self, M: Array) -> Array:
        """``M`` (d,) or (d, c). Cost: n k c multiply-adds, and n k c moves for the rows of ``M`` read."""
        _check_operand(M, self.shape[1])
        if M.ndim == 1:
            return (self @ M[:, None])[:, 0]
        if isinstance(M, np.ndarray):
            return self._for_scipy() @ M

        def rows(columns: Array, values: Array) -> Array:
            xp = namespace(columns, values, M)
            count, k = columns.shape
            gathered = xp.reshape(xp.take(M, xp.reshape(columns, (-1,)), axis=0), (count, k, M.shape[1]))
            return xp.matmul(values[:, None, :], gathered)[:, 0, :]

        return map_rows(rows, self.columns, self.values, block=self._block(self._width * M.shape[1]))

    def take(self, rows: Array) -> SparseRows:
        """The rows of these indices. Cost: two moves for each stored entry of them."""
        xp = namespace(self.values, rows)
        return self.like(xp.take(self.columns, rows, axis=0), xp.take(self.values, rows, axis=0))

    def dense(self) -> Array:
        """The matrix itself, (n, d). Cost: an addition for each stored entry, n d moves."""
        xp = namespace(self.values)
        n, d = self.shape
        start = d * xp.arange(n, dtype=xp.int64, device=array_api_compat.device(self.columns))
        index = xp.reshape(xp.astype(self.columns, xp.int64, copy=False) + start[:, None], (-1,))
        return xp.reshape(_sum_by_index(n * d, index, xp.reshape(self.values, (-1,))), (n, d))

    def gram(self, weights: Array | None = None, *, workers: int = 1) -> Array:
        r""":math:`\sum_iw_ia_ia_i^\top`, (d, d), ``weights`` (n,) of any sign (default 1).

        Cost: for each row and each of its k (k + 1) / 2 pairs of stored entries a product, an addition and
        a few moves (and k products with the weights); d^2 arithmetic; memory a few d^2 and a block of
        pairs.
        """
        xp = namespace(self.values)
        d = self.shape[1]
        if weights is not None and tuple(weights.shape) != (self.shape[0],):
            raise ValueError(f"weights of shape {tuple(weights.shape)}: expected ({self.shape[0]},)")
        i, j, share = self._pairs(0.5, 1.0)

        def pairs(columns: Array, values: Array, weights: Array | None = None) -> Array:
            columns, right = (_by_columns(x) for x in (columns, values))
            left = right if weights is None else right * weights
            products = xp.take(left, i, axis=0) * (xp.take(right, j, axis=0) * share)
            return _sum_by_index(d * d, _places(columns, i, j, d), xp.reshape(products, (-1,)))

        arrays = (self.columns, self.values) if weights is None else (self.columns, self.values, weights)
        # d^2 numbers are cleared and added for each block: it must hold as many pairs
        block = max(self._block(i.shape[0]), d * d // i.shape[0])
        half = xp.reshape(map_rows(pairs, *arrays, block=block, reduce="sum", workers=workers), (d, d))
        return half + half.T

    def quadratic_forms(self, M: Array, *, workers: int = 1) -> Array:
        r""":math:`a_i^\top Ma_i` for every row, (n,), ``M`` (d, d).

        Cost: for each row and each of its k (k + 1) / 2 pairs of stored entries three products and a few
        moves, one of them for the entry of ``M``; d^2 arithmetic.
        """
        xp = namespace(self.values, M)
        d = self.shape[1]
        if tuple(M.shape) != (d, d):
            raise ValueError(f"M of shape {tuple(M.shape)}: expected ({d}, {d})")
        flat = xp.reshape((M + M.T) / 2, (d * d,))
        i, j, share = self._pairs(1.0, 2.0)

        def forms(columns: Array, values: Array) -> Array:
            columns, values = (_by_columns(x) for x in (columns, values))
            products = xp.take(values, i, axis=0) * xp.take(values, j, axis=0)
            some = xp.reshape(xp.take(flat, _places(columns, i, j, d)), products.shape)
            return share[:, 0] @ (products * some)

        block = self._block(i.shape[0])
        return map_rows(forms, self.columns, self.values, block=block, workers=workers)

    @property
    def _width(self) -> int:
        return self.columns.shape[1]

    def _block(self, numbers: int) -> int:
        """Rows, each with so many numbers at work, that fill a block."""
        return max(1, NUMBERS_PER_BLOCK * block_factor(self.values) // numbers)

    def _pairs(self, same: float, different: float) -> tuple[Array, Array, Array]:
        """All i <= j below k, and a column of numbers, ``same`` where i = j and ``different`` elsewhere."""
        xp, device = namespace(self.values), array_api_compat.device(self.values)
        i, j = np.triu_indices(self._width)
        share = np.where(i == j, same, different)[:, None]
        return (
            xp.asarray(i, device=device),
            xp.asarray(j, device=device),
            xp.asarray(share, dtype=self.values.dtype, device=device),
        )

    def _for_scipy(self) -> sparse.csr_array:
        n, k = self.columns.shape
        starts = np.arange(0, n * k + 1, k)
        return sparse.csr_array((self.values.ravel(), self.columns.ravel(), starts), shape=self.shape)


def _by_columns(x: Array) -> Array:
    """The transpose in memory: what is done for each of the k entries of a row then runs along all rows."""
    xp = namespace(x)
    return xp.asarray(xp.matrix_transpose(x), copy=True)


def _places(columns: Array, i: Array, j: Array, d: int) -> Array:
    """Where the pairs (i, j) of entries of each row stand in a (d, d) matrix, laid out in a row."""
    xp = namespace(columns)
    columns = xp.astype(columns, xp.int64, copy=False)
    return xp.reshape(xp.take(columns * d, i, axis=0) + xp.take(columns, j, axis=0), (-1,))


def _sum_by_index(n: int, index: Array, values: Array) -> Array:
    """``scatter_add``, by the faster ``bincount`` where NumPy has it."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return np.bincount(index, values, minlength=n).astype(values.dtype, copy=False)
    return scatter_add(n, index, values)


class TransposedSparseRows:
    """The transpose of ``SparseRows``: an operator with ``shape``, ``@`` and ``.T``."""

    def __init__(self, rows: SparseRows) -> None:
        self._rows = rows

    @property
    def shape(self) -> tuple[int, int]:
        n, d = self._rows.shape
        return (d, n)

    @property
    def T(self) -> SparseRows:
        return self._rows

    def __matmul__(self, M: Array) -> Array:
        """``M`` (n,) or (n, c). Cost: n k c multiplications and n k c additions."""
        _check_operand(M, self._rows.shape[0])
        if M.ndim == 1:
            return (self @ M[:, None])[:, 0]
        if isinstance(M, np.ndarray):
            return self._rows._for_scipy().T @ M

        def rows(columns: Array, values: Array, M: Array) -> Array:
            xp = namespace(columns, values, M)
            count, k = columns.shape
            spread = xp.reshape(values[:, :, None] * M[:, None, :], (count * k, M.shape[1]))
            return scatter_add(self._rows.shape[1], xp.reshape(columns, (-1,)), spread)

        block = self._rows._block(self._rows._width * M.shape[1])
        return map_rows(rows, self._rows.columns, self._rows.values, M, block=block, reduce="sum")


def _check_operand(M: Array, rows: int) -> None:
    if M.ndim not in (1, 2) or M.shape[0] != rows:
        raise ValueError(f"M of shape {tuple(M.shape)}: expected {rows} rows")
