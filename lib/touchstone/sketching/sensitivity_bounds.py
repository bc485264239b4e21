r"""Bounds on sensitivities :math:`\sup_y|\langle a_i,y\rangle|^p/\lVert Ay\rVert_p^p`, found from leverage
scores: which rows may ever make up much of a p-norm, and how many there can be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from touchstone.arrays import namespace
from touchstone.functions.monomials import symmetric_power
from touchstone.linalg.leverage import leverage_scores
from touchstone.linalg.lewis import check_power, lewis_weights, reweighted_leverage

Array = Any


def sensitivity_bounds(
    A: Array, p: float, *, iterations: int = 30, rtol: float = 1e-10, workers: int = 1
) -> Array:
    r"""Numbers (n,) that the sensitivities of the rows of ``A`` (n, d) never exceed, whatever ``A`` is.

    - p = 2: the leverage scores, and equal to the sensitivities.
    - p = 4, 6, ...: the leverage scores of the symmetric power of degree p/2, in which
      :math:`|\langle a,y\rangle|^p=\langle a^{\otimes p/2},y^{\otimes p/2}\rangle^2`.
    - any other p: from the Lewis weights w, w itself for p < 2 and :math:`w\,d^{p/2-1}` for p > 2. As w is
      known up to its last round only, what is returned is a bound for any w > 0, which is that one at the
      Lewis weights. With :math:`\tau=\tau(W^{1/2-1/p}A)` it is :math:`w_i^{1-p/2}\tau_i^{p/2}` times
      :math:`(\max_l\tau_l/w_l)^{1-p/2}` for p < 2, and times :math:`(\sum_lw_l)^{p/2-1}` for p > 2.

    They add up to at most ``total_sensitivity_bound(d, p)``, for other p than 2, 4, ... as soon as the rounds
    have converged. They do not change when ``A`` is multiplied by an invertible matrix from the right.

    Cost: one call of ``leverage_scores`` for p = 2; one with D columns, and n D multiplications, for even p,
    D = ``total_sensitivity_bound(d, p)``; ``iterations`` + 1 of them for other p. Memory n D for even p > 2.
    Raises as ``lewis_weights`` does.

    Source: lev-attention, setting; the bounds before convergence are Hölder's inequality, ours.
    """
    check_power(p)
    xp = namespace(A)
    if A.ndim != 2 or min(A.shape) < 1:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected a matrix with a row and a column or more")
    if not xp.isdtype(A.dtype, "real floating"):
        raise TypeError(f"A of dtype {A.dtype}: expected real floating numbers")
    if p == 2:
        return leverage_scores(A, rtol=rtol, workers=workers)
    if p % 2 == 0:
        # columns at most 1, so that no power leaves the range; it changes no score
        largest = xp.max(xp.abs(A), axis=0)
        scaled = A / xp.where(largest > 0, largest, xp.ones_like(largest))
        return leverage_scores(symmetric_power(scaled, int(p) // 2), rtol=rtol, workers=workers)
    w = lewis_weights(A, p, iterations, rtol=rtol, workers=workers)
    tau = reweighted_leverage(A, w, p, rtol=rtol, workers=workers)
    ratio = tau / xp.where(w > 0, w, xp.ones_like(w))
    factor = xp.max(ratio) ** (1 - p / 2) if p < 2 else xp.sum(w) ** (p / 2 - 1)
    return w * ratio ** (p / 2) * factor


def total_sensitivity_bound(d: int, p: float) -> int | float:
    r"""What the sensitivities of any matrix of ``d`` columns add up to at most: d for p <= 2,
    :math:`\binom{d+p/2-1}{p/2}` for even p, and :math:`d^{p/2}` for other p > 2.

    Raises ``ValueError`` unless d is an integer >= 1 and p a positive finite number. Source: lev-attention,
    setting.
    """
    check_power(p)
    if isinstance(d, bool) or not isinstance(d, int | np.integer) or d < 1:
        raise ValueError(f"d={d!r}: expected an integer >= 1")
    if p <= 2:
        return int(d)
    if p % 2 == 0:
        return math.comb(int(d) + int(p) // 2 - 1, int(p) // 2)
    return float(d) ** (p / 2)
