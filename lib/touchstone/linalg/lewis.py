r"""Lewis weights: the leverage scores that suit the p-norm, as the fixed point of a reweighting."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import namespace
from touchstone.linalg.leverage import leverage_scores

Array = Any


def lewis_weights(
    A: Array, p: float, iterations: int = 30, *, rtol: float = 1e-10, workers: int = 1
) -> Array:
    r"""The :math:`\ell_p` Lewis weights of the rows of ``A`` (n, d): the w with
    :math:`w_i=\tau_i(W^{1/2-1/p}A)`, after ``iterations`` rounds from w = d/n. Returns (n,).

    They add up to the rank of ``A``; at p = 2 they are the leverage scores. A row of zeros weighs 0. The
    textbook round is :math:`w_i\leftarrow(a_i^\top(A^\top W^{1-2/p}A)^+a_i)^{p/2}`, which is
    :math:`w_i(\tau_i/w_i)^{p/2}` with the leverage scores :math:`\tau` at the present weights. For p <= 2 it
    is taken as it is, and multiplies the largest distance of the logarithms from those of the fixed point by
    at most 1 - p/2.

    For p > 2 the textbook round alternates, and from p = 4 on need not converge. Its exponent p/2 is replaced
    by 2p/(p + 2), by which near the fixed point distances are multiplied by at most (p - 2)/(p + 2): in the
    norm :math:`\sum_iw_ix_i^2` the textbook round has a symmetric Jacobian with eigenvalues between 1 - p/2
    and 0. Up to p = 4 every round contracts from anywhere, as the textbook one does; beyond, there is no
    proof from afar (ours).

    Cost: each round is one call of ``leverage_scores`` (2 n d^2 multiply-adds, and O(d^3)) and two powers a
    row. Raises ``ValueError`` for a p that is not a positive finite number, a negative number of iterations,
    and as ``leverage_scores`` does; ``TypeError`` unless ``A`` is real floating.

    Source: lev-attention, setting; M. B. Cohen, R. Peng, *lp row sampling by Lewis weights* (2015).
    """
    check_power(p)
    if isinstance(iterations, bool) or not isinstance(iterations, int | np.integer) or iterations < 0:
        raise ValueError(f"iterations={iterations!r}: expected an integer >= 0")
    xp = namespace(A)
    if A.ndim != 2 or min(A.shape) < 1:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected a matrix with a row and a column or more")
    if not xp.isdtype(A.dtype, "real floating"):
        raise TypeError(f"A of dtype {A.dtype}: expected real floating numbers")
    n, d = A.shape
    exponent = p / 2 if p <= 2 else 2 * p / (p + 2)
    w = xp.full((n,), d / n, dtype=A.dtype, device=array_api_compat.device(A))
    for _ in range(iterations):
        tau = reweighted_leverage(A, w, p, rtol=rtol, workers=workers)
        safe = xp.where(w > 0, w, xp.ones_like(w))
        w = xp.where(w > 0, safe * (tau / safe) ** exponent, xp.zeros_like(w))
    return w


def reweighted_leverage(A: Array, w: Array, p: float, *, rtol: float = 1e-10, workers: int = 1) -> Array:
    r"""The leverage scores (n,) of the rows of :math:`W^{1/2-1/p}A`; rows of weight 0 are left out and score
    0.

    At the Lewis weights they are ``w`` itself. Arguments, errors and cost are those of ``leverage_scores``.
    """
    xp = namespace(A, w)
    safe = xp.where(w > 0, w, xp.ones_like(w))
    weights = xp.where(w > 0, safe ** (1 - 2 / p), xp.zeros_like(w))
    return leverage_scores(A, weights, rtol=rtol, workers=workers)


def check_power(p: Any) -> None:
    """Raise ``ValueError`` unless ``p`` is a positive finite real number."""
    real = isinstance(p, int | float | np.integer | np.floating) and not isinstance(p, bool)
    if not (real and math.isfinite(p) and p > 0):
        raise ValueError(f"p={p!r}: expected a positive finite number")
