"""Changes of basis that make the columns of a tall matrix orthonormal, found and applied by row blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import (
    block_factor,
    extremes,
    failures_raise,
    holds_data,
    map_rows,
    namespace,
    single_threaded_blas,
    to_host,
)
from touchstone.linalg.sparse_rows import SparseRows

Array = Any

ENTRIES_PER_BLOCK = 1 << 15
"""Entries of a block of rows: 256 KiB in float64, within the cache of a core, unless 64 rows are more.

On a GPU ``touchstone.arrays.block_factor`` times as many."""

PANEL = 64
"""Columns of a triangle that one product takes: what lies below a panel is zero and left out."""


class WhiteningError(ValueError):
    """The Gram matrix has no Cholesky factor in floating point."""


class Rows:
    r"""The rows of :math:`\sqrt W A` with columns divided by ``scale``, in dense blocks, never all at once.

    ``A`` (n, d), real floating, dense or ``SparseRows``; ``weights`` (n,) >= 0, or all 1; ``scale`` (d,) > 0.
    """

    def __init__(
        self, A: Array | SparseRows, weights: Array | None = None, scale: Array | None = None
    ) -> None:
        self.A, self.weights, self.scale = A, weights, scale
        self.shape, self.dtype = A.shape, A.dtype
        self.like = A.values if isinstance(A, SparseRows) else A
        self.xp = namespace(self.like)
        stored = (A.columns, A.values) if isinstance(A, SparseRows) else (A,)
        self._arrays = stored if weights is None else (*stored, self.xp.sqrt(weights))

    def map(self, f: Callable[[Array], Any], *, reduce: str, workers: int = 1, least: int = 64) -> Any:
        """``touchstone.arrays.map_rows`` over dense blocks of ``least`` rows or more."""
        block = max(least, ENTRIES_PER_BLOCK * block_factor(self.like) // self.shape[1])

        def rows(*arrays: Array) -> Any:
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # looked for afterwards
                return f(self._dense(*arrays))

        return map_rows(rows, *self._arrays, block=block, reduce=reduce, workers=workers)

    def _dense(self, *arrays: Array) -> Array:
        if isinstance(self.A, SparseRows):
            X, rest = self.A.like(*arrays[:2]).dense(), arrays[2:]
        else:
            X, rest = arrays[0], arrays[1:]
        if rest:
            X = X * rest[0][:, None]
        return X if self.scale is None else X / self.scale

    def gram(self, workers: int) -> Array:
        """(d, d)."""
        if isinstance(self.A, SparseRows):
            return self.A.gram(self.weights, workers=workers)
        # adding up d x d matrices must not cost more than making them: a block of several d rows
        return self.map(lambda X: X.T @ X, reduce="sum", workers=workers, least=8 * self.shape[1])

    def largest(self) -> Array:
        """The largest absolute entry of each column, (d,)."""
        xp, most = self.xp, self.xp.zeros((self.shape[1],), dtype=self.dtype, device=self._device)

        def larger(X: Array) -> Array:
            nonlocal most
            most = xp.maximum(most, xp.max(xp.abs(X), axis=0))
            return most[:1]  # blocks come in order, as one thread takes them; what they add up to is not used

        self.map(larger, reduce="sum")
        return most

    def triangle(self, start: Array) -> Array:
        """R of a QR factorisation of the rows below ``start`` (d, d)."""
        xp, R = self.xp, start

        def longer(X: Array) -> Array:
            nonlocal R
            R = xp.linalg.qr(xp.concat([R, X]), mode="reduced").R
            return R[0, :1]

        with single_threaded_blas():  # blocks are skinny, and one follows the other
            self.map(longer, reduce="sum", least=4 * self.shape[1])
        return R

    @property
    def _device(self) -> Any:
        return array_api_compat.device(self.like)


def orthonormal_scores(rows: Rows, ridge: float, rtol: float, method: str, workers: int) -> Array:
    """Squared norms of the rows of an orthonormal basis of ``rows``: see ``leverage.leverage_scores``."""
    n, d = rows.shape
    if method == "cholesky" or (method == "auto" and (n >= d or ridge)):
        T, condition = _from_gram(rows, ridge, workers)
        once, twice = condition_limits(rows.dtype, rows.xp)
        if method == "cholesky" and T is None:
            raise WhiteningError("the Gram matrix in floating point is not positive definite or out of range")
        if method == "cholesky" or condition <= once:
            return _scores(rows, T, workers)
        if condition <= twice:
            return _scores_through(rows, T, _repair(rows, T, ridge * (T.T @ T), workers), workers)
    scaled, T, shift = _from_triangle(rows, ridge, rtol)
    if T.shape[1] == 0:
        return rows.xp.zeros((n,), dtype=rows.dtype, device=rows._device)
    return _scores_through(scaled, T, _repair(scaled, T, shift, workers), workers)


def whitening(A: Array | SparseRows, *, rtol: float = 1e-10, workers: int = 1) -> Array:
    r"""A matrix T (d, r) that makes the columns of ``A @ T`` orthonormal, r the numerical rank of ``A`` (n,
    d).

    Found as ``leverage.leverage_scores`` finds it, with the same errors, cost and ``rtol``: the inverse
    triangle of a Cholesky factorisation of the Gram matrix, repaired or replaced by QR and an SVD where the
    condition number asks for it. The range of ``A @ T`` is that of ``A``, up to singular values <= ``rtol``
    times the largest.

    Raises ``ValueError`` for an ``A`` that is no matrix or holds a number that is not finite, ``TypeError``
    unless it is real floating.
    """
    rows = Rows(A)
    if len(A.shape) != 2 or min(A.shape) < 1:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected a matrix with a row and a column or more")
    if not rows.xp.isdtype(A.dtype, "real floating"):
        raise TypeError(f"A of dtype {A.dtype}: expected real floating numbers")
    if A.shape[0] >= A.shape[1]:
        T, condition = _from_gram(rows, 0.0, workers)
        once, twice = condition_limits(rows.dtype, rows.xp)
        if condition <= once:
            return T
        if condition <= twice:
            return T @ _repair(rows, T, 0.0, workers)
    scaled, T, _ = _from_triangle(rows, 0.0, rtol)
    if T.shape[1]:
        T = T @ _repair(scaled, T, 0.0, workers)
    return T / scaled.scale[:, None]


def condition_limits(dtype: Any, xp: Any) -> tuple[float, float]:
    """Condition numbers up to which one and two Cholesky passes keep five eighths of the digits.

    One pass errs by u κ^2, two by u κ: with these limits both stay below u^(5/8). Two passes need a
    first one that is right to some digits, and it is: to u κ^2 <= u^(1/4).
    """
    unit = float(xp.finfo(dtype).eps) / 2
    return unit ** (-3 / 16), unit ** (-3 / 8)


def rank_tolerance(rtol: float, d: int, dtype: Any, xp: Any) -> float:
    """``rtol``, or the relative size below which a singular value of d columns may be all rounding."""
    return max(rtol, 8 * d * float(xp.finfo(dtype).eps))


def smallest_norm(dtype: Any, n: int, xp: Any) -> float:
    """The norm of a column of n entries below which squares that underflow may be missed."""
    information = xp.finfo(dtype)
    return math.sqrt(n * float(information.smallest_normal) / float(information.eps))


# -- from the Gram matrix ----------------------------------------------------------------------------------


def _from_gram(rows: Rows, ridge: float, workers: int) -> tuple[Array | None, float]:
    """An upper triangle T with ``T.T @ (Gram + ridge) @ T = I`` and the condition number of the rows with
    columns of norm 1; ``None`` and infinity when there is none to be had this way."""
    xp, d = rows.xp, rows.shape[1]
    G = rows.gram(workers)
    if ridge:
        G = G + ridge * xp.eye(d, dtype=rows.dtype, device=rows._device)
    norms = xp.sqrt(xp.linalg.diagonal(G))
    if holds_data(norms) and not _in_range(norms, rows):
        return None, math.inf
    try:
        with failures_raise(G):
            R = xp.linalg.cholesky(G / (norms[:, None] * norms[None, :]), upper=True)
            inverse = xp.linalg.inv(R)
    except np.linalg.LinAlgError:
        return None, math.inf
    return inverse / norms[:, None], _condition(R, inverse, condition_limits(rows.dtype, xp)[0])


def _in_range(norms: Array, rows: Rows) -> bool:
    """Whether squares of entries neither overflowed nor lost digits to underflow."""
    least, most = extremes(norms)
    return least > smallest_norm(rows.dtype, rows.shape[0], rows.xp) and most < math.inf


def _condition(R: Array, inverse: Array, limit: float) -> float:
    """At least the condition number of ``R``, and equal to it when that matters. 1 without data."""
    xp = namespace(R)
    bound = xp.asarray(1.0, dtype=R.dtype, device=array_api_compat.device(R))
    for x in (R, inverse):  # ||x||_2^2 <= ||x||_1 ||x||_inf, nearly equal when x is near the identity
        size = xp.abs(x)
        bound = bound * xp.sqrt(xp.max(xp.sum(size, axis=0)) * xp.max(xp.sum(size, axis=1)))
    if not holds_data(bound):
        return 1.0
    condition = float(bound)
    if condition <= limit:
        return condition
    if not math.isfinite(condition):
        return math.inf
    values = xp.linalg.svdvals(R)
    return float(values[0]) / float(values[-1]) if float(values[-1]) > 0 else math.inf


def _scores(rows: Rows, T: Array, workers: int) -> Array:
    """Squared norms of the rows of ``rows @ T``, T an upper triangle."""
    if isinstance(rows.A, SparseRows):
        forms = rows.A.quadratic_forms(T @ T.T, workers=workers)
        return forms if rows.weights is None else forms * rows.weights
    xp, d = rows.xp, rows.shape[1]

    def norms(X: Array) -> Array:
        total = None
        for start in range(0, d, PANEL):
            stop = min(start + PANEL, d)
            Y = X[:, :stop] @ T[:stop, start:stop]
            part = xp.vecdot(Y, Y)
            total = part if total is None else total + part
        return total

    return rows.map(norms, reduce="concatenate", workers=workers)


def _repair(rows: Rows, T: Array, shift: Array | float, workers: int) -> Array:
    """The triangle by which to multiply ``rows @ T``, nearly orthonormal, to make it so.

    ``shift`` is what a ridge adds to its Gram matrix.
    """
    xp = rows.xp

    def gram(X: Array) -> Array:
        Q = X @ T
        return Q.T @ Q

    G = rows.map(gram, reduce="sum", workers=workers, least=8 * T.shape[1])
    return xp.linalg.inv(xp.linalg.cholesky(G + shift, upper=True))


def _scores_through(rows: Rows, T: Array, triangle: Array, workers: int) -> Array:
    """Squared norms of the rows of ``(rows @ T) @ triangle``.

    In this order: the product is the one that ``_repair`` saw, so the scores are those of rows each of
    which was perturbed by a few roundings of its own size, however long other rows are.
    """
    xp = rows.xp

    def norms(X: Array) -> Array:
        Y = (X @ T) @ triangle
        return xp.vecdot(Y, Y)

    return rows.map(norms, reduce="concatenate", workers=workers, least=8 * T.shape[1])


# -- from a QR factorisation -------------------------------------------------------------------------------


def _from_triangle(rows: Rows, ridge: float, rtol: float) -> tuple[Rows, Array, Array | float]:
    """Rows with scaled columns, a T that makes those nearly orthonormal, whatever their rank, and what the
    ridge adds to the Gram matrix of ``scaled rows @ T``."""
    xp, (n, d) = rows.xp, rows.shape
    root = math.sqrt(ridge)
    largest = xp.maximum(rows.largest(), xp.asarray(root, dtype=rows.dtype, device=rows._device))
    if holds_data(largest) and not extremes(largest)[1] < math.inf:
        raise ValueError(f"A of shape {(n, d)}: expected finite entries (times the root of the weight)")
    # two scales in turn, not their product, which may leave the range
    scaled = Rows(rows.A, rows.weights, _positive(largest))
    below = root * xp.eye(d, dtype=rows.dtype, device=rows._device) / scaled.scale
    R = scaled.triangle(below)
    norms = _positive(xp.linalg.vector_norm(R, axis=0))
    _, S, Vt = xp.linalg.svd(R / norms, full_matrices=False)
    rank = d
    if holds_data(S):
        values = to_host(S)
        rank = int(np.sum(values > rank_tolerance(rtol, d, rows.dtype, xp) * values[0]))
    T = Vt[:rank, :].T / S[:rank] / norms[:, None]
    low = below @ T
    return scaled, T, low.T @ low if ridge else 0.0


def _positive(scale: Array) -> Array:
    """``scale``, with 1 in place of 0."""
    xp = namespace(scale)
    return xp.where(scale > 0, scale, xp.ones_like(scale))
