"""Leverage scores up to a constant factor, in less time than exact ones: sketch, factorise, project."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import block_factor, extremes, holds_data, map_rows, namespace, normal
from touchstone.linalg.sparse_rows import SparseRows
from touchstone.linalg.whitening import whitening

Array = Any

ENTRIES_PER_BLOCK = 1 << 18
"""Entries of ``A`` in a block of rows: 2 MiB in float64. On a GPU ``touchstone.arrays.block_factor`` times as
many."""


def estimate_leverage_scores(
    A: Array | SparseRows,
    S: Any,
    q: int,
    rng: np.random.Generator,
    weights: Array | None = None,
    *,
    ridge: float = 0.0,
    rtol: float = 1e-10,
    workers: int = 1,
) -> Array:
    r"""Estimates :math:`\frac1q\lVert\sqrt{w_i}\,a_i^\top T\Gamma\rVert^2` of the leverage scores of
    :math:`\sqrt WA`, where T makes the columns of the sketch :math:`S\sqrt WA` orthonormal.

    ``A`` (n, d), an array or ``SparseRows``; ``S`` (m, n), a sketch of ``touchstone.sketching`` or any
    operator with ``shape`` and ``S @ A``; ``weights`` (n,) >= 0, default 1; ``ridge`` and ``rtol`` as in
    ``leverage_scores``; :math:`\Gamma` has ``q`` columns of independent N(0, 1) numbers. Returns (n,).

    When S keeps all lengths in the range of :math:`\sqrt WA` to :math:`1\pm\epsilon` (squared), an estimate
    is its score times a number in :math:`[1/(1+\epsilon),1/(1-\epsilon)]` times a :math:`\chi^2_q/q`
    variable, of standard deviation :math:`\sqrt{2/q}`; those of different rows are dependent. Beside the
    distortion, all n estimates are above half their score with probability :math:`1-\delta` for
    :math:`q\ge10.4\ln(n/\delta)`.

    Cost: that of ``S @ A``; m d^2 multiply-adds and O(d^3) for T (QR of the sketch where it is
    ill-conditioned, see ``whitening``); d^2 q and n d q multiply-adds and n q more; ``SparseRows`` with k
    entries a row n k q instead of n d q. Weights cost n d multiplications more, twice, and a weighted copy
    of ``A``. Memory beside that: the sketch and row blocks for ``workers`` threads.

    Raises ``ValueError`` for shapes that do not fit, q < 1, negative weights or ridge, and ``TypeError``
    unless ``A`` is real floating.

    Source: leverage-gradient-inversion, C4; P. Drineas and others, *Fast approximation of matrix coherence
    and statistical leverage* (2012); 10.4 is :math:`2/(\ln2-\frac12)`, from Chernoff's bound of the law of
    :math:`\chi^2_q` below half its mean.
    """
    xp = _checked(A, S, q, weights, ridge)
    d = A.shape[1]
    if weights is None:
        sketch = S @ A
    else:
        root = xp.sqrt(weights)[:, None]
        sketch = S @ (A.like(A.columns, A.values * root) if isinstance(A, SparseRows) else A * root)
    if ridge:
        eye = xp.eye(d, dtype=sketch.dtype, device=array_api_compat.device(sketch))
        sketch = xp.concat([sketch, math.sqrt(ridge) * eye])
    T = whitening(sketch, rtol=rtol, workers=workers)
    M = T @ (normal(rng, (T.shape[1], q), like=sketch) / math.sqrt(q))

    def norms(Y: Array, weights: tuple[Array, ...]) -> Array:
        scores = xp.vecdot(Y, Y)
        return scores * weights[0] if weights else scores

    more = () if weights is None else (weights,)
    if isinstance(A, SparseRows):
        block = max(1, ENTRIES_PER_BLOCK * block_factor(A.values) // A.columns.shape[1])
        return map_rows(
            lambda columns, values, *more: norms(A.like(columns, values) @ M, more),
            *(A.columns, A.values, *more),
            block=block,
            workers=workers,
        )
    block = max(1, ENTRIES_PER_BLOCK * block_factor(A) // max(d, q))
    return map_rows(lambda A, *more: norms(A @ M, more), A, *more, block=block, workers=workers)


def _checked(A: Any, S: Any, q: int, weights: Array | None, ridge: float) -> Any:
    xp = namespace(A.values if isinstance(A, SparseRows) else A, weights)
    if len(A.shape) != 2:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected a matrix")
    if not xp.isdtype(A.dtype, "real floating"):
        raise TypeError(f"A of dtype {A.dtype}: expected real floating numbers")
    n = A.shape[0]
    if len(S.shape) != 2 or S.shape[1] != n:
        raise ValueError(f"S of shape {tuple(S.shape)}: expected {n} columns, one for each row of A")
    if isinstance(q, bool) or not isinstance(q, int | np.integer) or q < 1:
        raise ValueError(f"q={q!r}: expected an integer >= 1")
    if weights is not None:
        if tuple(weights.shape) != (n,):
            raise ValueError(f"weights of shape {tuple(weights.shape)}: expected ({n},), one for each row")
        if holds_data(weights) and not extremes(weights)[0] >= 0:
            raise ValueError(f"weights down to {extremes(weights)[0]}: expected numbers >= 0")
    if not (math.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge={ridge!r}: expected a finite number >= 0")
    return xp
