r"""Leverage scores :math:`a_i^\top(A^\top A)^+a_i` of rows, and what is built of the same projection."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from touchstone.arrays import block_factor, extremes, failures_raise, holds_data, map_rows, namespace, to_host
from touchstone.linalg.sparse_rows import SparseRows
from touchstone.linalg.whitening import (
    Rows,
    WhiteningError,
    condition_limits,
    orthonormal_scores,
    rank_tolerance,
    smallest_norm,
)

Array = Any

METHODS = ("auto", "cholesky", "qr")

BATCH_ENTRIES = 1 << 22
"""Products of two entries of a row, over all rows, of which a batch of weights shares a table."""

WEIGHTS_PER_BLOCK = 1 << 18
"""Weights of a batch that are worked on at a time."""


def leverage_scores(
    A: Array | SparseRows,
    weights: Array | None = None,
    *,
    ridge: float = 0.0,
    rtol: float = 1e-10,
    method: str = "auto",
    workers: int = 1,
) -> Array:
    r"""The leverage scores of the rows of :math:`\sqrt WA`: :math:`w_ia_i^\top(A^\top WA+\lambda I)^+a_i`.

    ``A`` (n, d), an array or ``SparseRows``; ``weights`` (n,) or (..., n), all >= 0 (default 1);
    :math:`\lambda` = ``ridge`` >= 0. Returns (n,) or (..., n), numbers in [0, 1] up to rounding. They add
    up to the rank (with a ridge, to the statistical dimension) and do not change when columns are
    multiplied by numbers (without a ridge), nor does any decision here: columns are brought to norm 1
    first.

    *Which way, and why.* ``method="auto"`` finds the condition number κ of the weighted matrix with columns
    of norm 1 (the ridge included) from the Cholesky factor of its Gram matrix. With u the unit roundoff,

    - κ <= u^(-3/16) (980 in float64, 22 in float32): Gram matrix, Cholesky, norms of the rows of ``A @
      R^-1``. Squaring the condition number costs a relative error of about u κ^2, at most u^(5/8) (1e-10;
      3e-5);
    - κ <= u^(-3/8) (9.6e5; 512): once more on ``A @ R^-1``. That repairs it: about u κ, so u^(5/8) again;
    - beyond, or without full rank: Householder QR by row blocks and an SVD of the triangle in place of the
      first Cholesky factor. Singular values <= ``rtol`` times the largest count as zero, and so do those
      below 8 d times the spacing of 1, which rounding makes; about u κ, κ over the others.

    ``"cholesky"`` always goes the first way, whatever the error, and ``"qr"`` the last. Without data
    (shape-only arrays) it is the first, or the last when n < d and there is no ridge.

    *Complex* arrays give the analytic continuation, for the complex step: nothing is conjugated, no rank is
    decided, and the error is about u κ^2.

    Cost in multiply-adds: n d^2 for the Gram matrix, at most n d^2 for the product with the triangle,
    O(d^3) beside. The repair takes 4 n d^2 instead of the product, QR 2 n d^2 instead of the Gram matrix,
    and the repair. ``SparseRows`` with k entries a row: about 6 operations for each of n k (k + 1) / 2
    pairs, and O(d^3), but dense blocks for the repair and QR. Memory: row blocks for ``workers`` threads
    and a few d × d. A batch costs as much for each member; small matrices share one table of products.

    Raises ``ValueError`` for shapes that do not fit, weights or a ridge that are negative or not finite,
    entries that are not finite, rtol outside [0, 1), an unknown method, or a Gram matrix that
    ``"cholesky"`` cannot factor; ``TypeError`` for arrays that are not floating.

    Source: john-ellipsoid-dp, setting; Y. Yamamoto and others, *Roundoff error analysis of the CholeskyQR2
    algorithm* (2015); J. Demmel and others, *Communication-optimal parallel and sequential QR and LU
    factorizations* (2012).
    """
    xp = _checked(A, weights, ridge, rtol, method, workers)
    ridge, rtol = float(ridge), float(rtol)
    if any(xp.isdtype(x.dtype, "complex floating") for x in (A, weights) if x is not None):
        return _analytic_scores(A.dense() if isinstance(A, SparseRows) else A, weights, ridge)
    try:
        if weights is None or weights.ndim == 1:
            return orthonormal_scores(Rows(A, weights), ridge, rtol, method, workers)
        return _batch(A, weights, ridge, rtol, method, workers)
    except WhiteningError as error:
        raise ValueError(f"method='cholesky': {error}; use method='auto'") from error


def statistical_dimension(
    A: Array | SparseRows, ridge: float, *, rtol: float = 1e-10, workers: int = 1
) -> Array:
    r""":math:`\sum_j\sigma_j^2/(\sigma_j^2+\lambda)`, the sum of the ridge leverage scores: no axes.

    At ``ridge`` 0 it is the numerical rank. Arguments, errors and cost are those of ``leverage_scores``.
    Source: quantum-linear-regression, C6.
    """
    scores = leverage_scores(A, ridge=ridge, rtol=rtol, workers=workers)
    return namespace(scores).sum(scores)


def projection(A: Array, *, rtol: float = 1e-10) -> Array:
    r"""The orthogonal projection :math:`A(A^\top A)^+A^\top` onto the range of ``A``, (..., n, n).

    ``A`` (..., n, d). Real matrices of any rank: QR with columns brought to norm 1, an SVD of the triangle,
    singular values <= ``rtol`` times the largest dropped. Complex ones, which need full column rank, give
    the analytic continuation :math:`A(A^\top A)^{-1}A^\top`, with nothing conjugated.

    Cost: the factorisations and n^2 d multiply-adds for each matrix. Raises ``ValueError`` for an array of
    fewer than two axes or rtol outside [0, 1), ``TypeError`` unless it is floating. Source:
    leverage-gradient-inversion, setting.
    """
    xp = _check_matrices(A)
    _check_rtol(rtol)
    T = xp.matrix_transpose
    if xp.isdtype(A.dtype, "complex floating"):
        return A @ xp.linalg.solve(T(A) @ A, T(A))
    largest = xp.max(xp.abs(A), axis=-2, keepdims=True)
    Q, R = xp.linalg.qr(A / xp.where(largest > 0, largest, xp.ones_like(largest)), mode="reduced")
    norms = xp.linalg.vector_norm(R, axis=-2, keepdims=True)
    U, S, _ = xp.linalg.svd(R / xp.where(norms > 0, norms, xp.ones_like(norms)), full_matrices=False)
    least = rank_tolerance(rtol, A.shape[-1], A.dtype, xp) * S[..., :1]
    kept = xp.astype(least < S, A.dtype)
    basis = Q @ (U * kept[..., None, :])
    return basis @ T(basis)


def squared_projection_apply(A: Array, u: Array) -> Array:
    r""":math:`(P\circ P)u` for the projection P onto the range of ``A``, without the n × n matrix.

    By :math:`P^{(2)}u=\mathrm{diag}(A\,G(A^\top\mathrm{diag}(u)A)G\,A^\top)`, :math:`G=(A^\top A)^{-1}`.
    ``A`` (..., n, d) of full column rank, ``u`` (..., n) or, for several vectors, (..., n, k); the result has
    the shape of ``u``. Analytic in both (nothing is conjugated), so the complex step goes through.
    The relative error is about u κ^2.

    Cost for each matrix: n d^2 (1 + 2 k) multiply-adds, two solves with d right-hand sides for each vector;
    memory n d k.
    Raises ``ValueError`` for shapes that do not fit, ``TypeError`` unless both are floating.

    Source: leverage-gradient-inversion, setting.
    """
    xp = _check_matrices(A)
    namespace(A, u)
    _check_floating("u", u)
    n = A.shape[-2]
    several = u.ndim == A.ndim
    fits = u.shape[-2] == n if several else u.ndim == A.ndim - 1 and u.shape[-1] == n
    if not fits:
        expected = f"{tuple(A.shape[:-1])} or {tuple(A.shape[:-1])} and a number of vectors"
        raise ValueError(f"u of shape {tuple(u.shape)}: expected {expected}, A is {tuple(A.shape)}")
    T = xp.matrix_transpose
    G = T(A) @ A
    if several:  # the vectors become a batch axis before the rows
        A, G, u = A[..., None, :, :], G[..., None, :, :], T(u)
    inside = T(A) @ (u[..., None] * A)
    G = xp.broadcast_to(G, inside.shape)  # CuPy's solver wants equal batch axes
    inside = xp.linalg.solve(G, T(xp.linalg.solve(G, inside)))
    result = xp.sum((A @ inside) * A, axis=-1)
    return T(result) if several else result


# -- batches and the analytic continuation -----------------------------------------------------------------


def _batch(A: Any, weights: Array, ridge: float, rtol: float, method: str, workers: int) -> Array:
    xp = namespace(weights)
    n, d = A.shape
    members = xp.reshape(weights, (math.prod(weights.shape[:-1]), n))
    pairs = d * (d + 1) // 2
    if not isinstance(A, SparseRows) and method != "qr" and n * pairs <= BATCH_ENTRIES and (n >= d or ridge):
        scores = _by_pairs(A, members, ridge, rtol, method, workers)
    else:
        scores = xp.empty_like(members)
        for i in range(members.shape[0]):
            scores[i, :] = orthonormal_scores(Rows(A, members[i, :]), ridge, rtol, method, workers)
    return xp.reshape(scores, weights.shape)


def _by_pairs(A: Array, members: Array, ridge: float, rtol: float, method: str, workers: int) -> Array:
    """Scores for all ``members`` (b, n) at once: every Gram matrix and every score is linear in the products
    of two entries of a row, of which there is one table."""
    xp = namespace(A, members)
    n, d = A.shape
    i, j = np.triu_indices(d)
    place = np.zeros((d, d), dtype=np.int64)
    place[i, j] = place[j, i] = np.arange(len(i))
    place, upper, i, j = (xp.asarray(x) for x in (np.ravel(place), i * d + j, i, j))
    with np.errstate(over="ignore", under="ignore"):
        table = xp.take(A, i, axis=1) * xp.take(A, j, axis=1)
    twice = xp.where(i == j, xp.asarray(1.0, dtype=A.dtype), xp.asarray(2.0, dtype=A.dtype))
    shift = ridge * xp.eye(d, dtype=A.dtype)
    limit, smallest = condition_limits(A.dtype, xp)[0] ** 2, smallest_norm(A.dtype, n, xp)

    def scores(W: Array) -> Array:
        with np.errstate(all="ignore"):
            result, bound, norms = by_table(W)
        if holds_data(result):
            good = (to_host(bound) <= limit) & np.all(to_host(norms) > smallest, axis=1)
            for k in np.flatnonzero(~good):
                result[k, :] = orthonormal_scores(Rows(A, W[k, :]), ridge, rtol, method, 1)
        return result

    def by_table(W: Array) -> tuple[Array, Array, Array]:
        count = W.shape[0]
        G = xp.reshape(xp.take(W @ table, place, axis=1), (count, d, d)) + shift
        norms = xp.sqrt(xp.linalg.diagonal(G))
        scale = norms[:, :, None] * norms[:, None, :]
        G = G / scale
        try:
            with failures_raise(G):
                inverse = xp.linalg.inv(G)
        except np.linalg.LinAlgError:  # at least one of them is singular: each for itself
            inverse = xp.full_like(G, math.inf)
        # squared condition numbers, or NaN where an entry is none or a square left the range
        bound = _row_sum_norm(G) * _row_sum_norm(inverse)
        forms = xp.take(xp.reshape(inverse / scale, (count, d * d)), upper, axis=1) * twice
        return W * (forms @ xp.matrix_transpose(table)), bound, norms

    block = max(1, WEIGHTS_PER_BLOCK * block_factor(A) // n)
    return map_rows(scores, members, block=block, workers=workers)


def _row_sum_norm(G: Array) -> Array:
    xp = namespace(G)
    return xp.max(xp.sum(xp.abs(G), axis=-1), axis=-1)


def _analytic_scores(A: Array, weights: Array | None, ridge: float) -> Array:
    xp = namespace(A)
    weighted = A if weights is None else weights[..., None] * A
    T = xp.matrix_transpose
    G = T(A) @ weighted
    if ridge:
        G = G + ridge * xp.eye(A.shape[1], dtype=A.dtype)
    return xp.sum(
        weighted * T(xp.linalg.solve(G, xp.broadcast_to(T(A), (*G.shape[:-2], *T(A).shape)))), axis=-1
    )


# -- checks ------------------------------------------------------------------------------------------------


def _checked(A: Any, weights: Array | None, ridge: float, rtol: float, method: str, workers: int) -> Any:
    xp = namespace(A.values if isinstance(A, SparseRows) else A, weights)
    if not isinstance(A, SparseRows):
        if A.ndim != 2:
            raise ValueError(f"A of shape {tuple(A.shape)}: expected a matrix")
        _check_floating("A", A)
    n, d = A.shape
    if n < 1 or d < 1:
        raise ValueError(f"A of shape {(n, d)}: expected a row and a column or more")
    if weights is not None:
        _check_floating("weights", weights)
        if weights.ndim < 1 or weights.shape[-1] != n:
            raise ValueError(
                f"weights of shape {tuple(weights.shape)}: expected (..., {n}), one for each row"
            )
        if holds_data(weights) and xp.isdtype(weights.dtype, "real floating"):
            least, most = extremes(weights)
            if not (least >= 0 and most < math.inf):
                raise ValueError(f"weights between {least} and {most}: expected finite numbers >= 0")
    if not (isinstance(ridge, int | float | np.number) and math.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge={ridge!r}: expected a finite number >= 0")
    _check_rtol(rtol)
    if method not in METHODS:
        raise ValueError(f"method={method!r}: expected one of {', '.join(map(repr, METHODS))}")
    if not workers >= 1:
        raise ValueError(f"workers={workers!r}: expected an integer >= 1")
    return xp


def _check_rtol(rtol: float) -> None:
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol={rtol!r}: expected a number in [0, 1)")


def _check_matrices(A: Array) -> Any:
    xp = namespace(A)
    if A.ndim < 2:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected (..., n, d)")
    _check_floating("A", A)
    return xp


def _check_floating(name: str, x: Array) -> None:
    if not namespace(x).isdtype(x.dtype, ("real floating", "complex floating")):
        raise TypeError(f"{name} of dtype {x.dtype}: expected real or complex floating numbers")
