"""Random samples of rows with given probabilities, and Gram matrices from them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from touchstone.arrays import extremes, holds_data, namespace
from touchstone.linalg.sparse_rows import SparseRows

Array = Any


def importance_sample(p: Array, m: int, rng: np.random.Generator) -> tuple[Array, Array]:
    r"""``m`` independent draws, with replacement, of i with probability proportional to ``p`` (n,).

    Returns ``index`` (m,) and ``weights`` (m,), which are :math:`1/(mq_i)` at the drawn i with
    :math:`q=p/\sum p`: then :math:`\mathbb E\sum_jw_jf(i_j)=\sum_{i:p_i>0}f(i)` for every f.

    Draw j inverts the cumulative sum, kept in float64, at the j-th of m uniforms. So generators in the same
    state take the same uniforms to two vectors ``p``, and a longer sample begins with a shorter one.

    Cost: n additions, m + 1 binary searches, and a few operations for each draw. Raises ``ValueError``
    unless ``p`` is one row of finite numbers >= 0, not all 0, and m >= 1, ``TypeError`` unless ``p`` is
    real floating.

    Source: leverage-gradient-inversion, C3; john-ellipsoid-dp, C3, control (ii).
    """
    xp = _checked(p)
    _check_size(m)
    cumulative = xp.cumulative_sum(p, dtype=xp.float64)
    total = cumulative[-1:]
    if holds_data(total) and not 0 < float(total[0]) < math.inf:
        raise ValueError(f"p with sum {float(total[0])}: expected a finite sum > 0")
    uniforms = xp.asarray(rng.uniform(size=m))
    index = xp.searchsorted(cumulative, uniforms * total, side="right")
    # rounding may carry the product up to the sum itself, where no entry lies: the last with p > 0 takes it
    index = xp.minimum(index, xp.searchsorted(cumulative, total, side="left"))
    weights = total / (m * xp.astype(xp.take(p, index), xp.float64))
    return index, xp.astype(weights, p.dtype)


def poisson_sample(p: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    r"""Every i independently with probability ``p[i]``: the ``index`` of those taken, and :math:`1/p_i`
    there.

    ``p`` (n,) holds probabilities. Both results have as many entries as were taken, maybe none, in rising
    order; :math:`\mathbb E\sum_jw_jf(i_j)=\sum_{i:p_i>0}f(i)`. The i-th of n uniforms decides over i, so
    with the same state of ``rng`` larger probabilities take a larger set. Needs data.

    Cost: n comparisons. Raises ``ValueError`` unless ``p`` is one row of numbers in [0, 1], ``TypeError``
    unless it is real floating. Source: quantum-linear-regression, setting.
    """
    xp = _checked(p)
    if extremes(p)[1] > 1:
        raise ValueError(f"p up to {extremes(p)[1]}: expected probabilities in [0, 1]")
    taken = xp.asarray(rng.uniform(size=p.shape[0])) < xp.astype(p, xp.float64)
    (index,) = xp.nonzero(taken)
    return index, 1 / xp.take(p, index)


def sampled_gram(A: Array | SparseRows, D: Array | None, p: Array, m: int, rng: np.random.Generator) -> Array:
    r"""An estimate of :math:`A^\top\mathrm{diag}(D)A` from ``m`` rows drawn by ``importance_sample(p, m,
    rng)``.

    ``A`` (n, d), an array or ``SparseRows``; ``D`` (n,) of any sign, or ``None`` for all 1. Returns (d, d),
    symmetric, with the right mean when p > 0 wherever D is not 0.

    Cost: m d^2 multiply-adds beside the sample and the 2 m d moves and products of the rows drawn; for
    ``SparseRows`` see ``SparseRows.gram``. Raises what ``importance_sample`` raises, and ``ValueError`` for
    shapes that do not fit.

    Source: leverage-gradient-inversion, C3; john-ellipsoid-dp, fast version.
    """
    if len(A.shape) != 2:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected a matrix")
    for name, x in (("D", D), ("p", p)):
        if x is not None and tuple(x.shape) != (A.shape[0],):
            raise ValueError(f"{name} of shape {tuple(x.shape)}: expected ({A.shape[0]},), one for each row")
    xp = namespace(p, D, A.values if isinstance(A, SparseRows) else A)
    index, weights = importance_sample(p, m, rng)
    if D is not None:
        weights = weights * xp.take(D, index)
    if isinstance(A, SparseRows):
        return A.take(index).gram(weights)
    rows = xp.take(A, index, axis=0)
    return rows.T @ (weights[:, None] * rows)


def _checked(p: Array) -> Any:
    xp = namespace(p)
    if p.ndim != 1 or p.shape[0] < 1:
        raise ValueError(f"p of shape {tuple(p.shape)}: expected one row of at least one number")
    if not xp.isdtype(p.dtype, "real floating"):
        raise TypeError(f"p of dtype {p.dtype}: expected real floating numbers")
    if holds_data(p) and not extremes(p)[0] >= 0:
        raise ValueError(f"p down to {extremes(p)[0]}: expected numbers >= 0")
    return xp


def _check_size(m: int) -> None:
    if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 1:
        raise ValueError(f"m={m!r}: expected an integer >= 1")
