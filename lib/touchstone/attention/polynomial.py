"""Attention whose exponential is replaced by a polynomial: low rank, linear in the number of tokens.

With ``P(x) = sum_t c_t x^t`` in place of ``e^x`` the matrix of weights is ``U1 @ U2.T`` with one column per
monomial of degree at most ``g``, hence of rank ``C(d + g, g)``. Two ways to apply it:

- ``polynomial_factors`` and ``low_rank_attention``: the method as it is written down, factors in memory;
- ``polynomial_attention``: the same function without factors, in row blocks.

The second splits the variables into two halves. A monomial is a product ``a b`` with ``a`` of degree
``t`` in the first half and ``b`` of degree at most ``g - t`` in the second, so a row needs ``C(d/2 + g,
g)`` values for each half instead of ``C(d + g, g)``, and the skinny products with ``d_v + 1`` columns
become, for each ``t``, one product between all ``(a, column of [V, 1])`` and all ``b``.

Source: bounded-entries-attention (Alman and Song 2023), "Features" and the polynomial method; the split
is ours.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from touchstone.arrays import (
    as_array_like,
    block_factor,
    holds_data,
    map_rows,
    namespace,
    single_threaded_blas,
)
from touchstone.attention.split_product import (
    BufferedSplitSteps,
    SplitSteps,
    no_data,
    sizes_only,
    split_weights,
    weighted_sums,
)
from touchstone.functions.monomials import MonomialPlan, monomial_plan, monomials

Array = Any

# Rows of a block are chosen so that the working set of one block stays within this many bytes.
_BLOCK_BYTES = 4 * 2**20
_BLOCK_ROWS = 2048  # longer blocks gain nothing: the products are already at full speed


def polynomial_factors(
    Q: Array, K: Array, coefficients: Any, *, scale: float, plan: MonomialPlan | None = None
) -> tuple[Array, Array]:
    """Factors ``U1`` (n, r), ``U2`` (m, r) of ``P(scale Q K^T) = U1 U2^T``, where ``P(x) = sum_t c_t x^t``.

    ``Q`` (n, d), ``K`` (m, d); ``coefficients`` ``c_0 .. c_g`` on the host; ``r = C(d + g, g)``. The
    weights ``c_|a| scale^|a| |a|!/a!``, signs included, are all in ``U1``. ``plan`` saves rebuilding the
    index tables. Shape-only ``Q`` and ``K`` need a plan (one without table will do); ``coefficients`` may
    then be ``None``.

    Raises ``ValueError`` for shapes, coefficients or a plan that do not fit together. Cost:
    ``(n + m)(r - 1) + n r`` multiplications.
    """
    plan = checked_plan(Q, K, coefficients, scale, plan)
    return monomials(Q, plan) * monomial_weights(plan, coefficients, scale, Q), monomials(K, plan)


def low_rank_attention(U1: Array, U2: Array, V: Array) -> Array:
    """``diag(U1 U2^T 1)^{-1} U1 U2^T V`` (n, d_v) from ``U1`` (n, r), ``U2`` (m, r), ``V`` (m, d_v).

    No (n, m) matrix is formed. Row sums that are zero divide by zero, as any polynomial of too low a
    degree may make them. Raises ``ValueError`` for shapes that do not fit. Cost: ``(n + m) r (d_v + 1)``
    multiply-adds.
    """
    for name, x in (("U1", U1), ("U2", U2), ("V", V)):
        if x.ndim != 2:
            raise ValueError(f"{name} of shape {tuple(x.shape)}: expected a matrix")
    if U1.shape[1] != U2.shape[1]:
        raise ValueError(f"U2 of shape {tuple(U2.shape)}: expected {U1.shape[1]} columns, as U1 has")
    if V.shape[0] != U2.shape[0]:
        raise ValueError(f"V of shape {tuple(V.shape)}: expected {U2.shape[0]} rows, as U2 has")
    xp = namespace(U1, U2, V)
    W = xp.concat([V, xp.ones_like(U2[:, :1])], axis=1)
    sums = U1 @ (U2.T @ W)
    return sums[:, :-1] / sums[:, -1:]


def polynomial_attention(
    Q: Array,
    K: Array,
    V: Array,
    coefficients: Any,
    *,
    scale: float,
    block: int | None = None,
    workers: int = 1,
    plan: MonomialPlan | None = None,
) -> Array:
    """``low_rank_attention(*polynomial_factors(Q, K, coefficients, scale=scale), V)`` in row blocks.

    Same arguments, same value up to rounding, same errors; ``n`` queries, ``m`` keys, ``d_v`` columns of
    ``V``. ``block`` is the number of rows handled at once, chosen to fit a core's cache when ``None``;
    with ``workers`` > 1 NumPy blocks run on that many threads (BLAS held to one thread each), and the
    result does not depend on their number.

    Memory beyond input and output does not grow with ``n`` or ``m``. Of every token in the ``workers`` + 1
    blocks it holds ``N1 + N2`` features and ``C(d/2 + g - 1, g)(d_v + 1)`` products, where ``N1`` and ``N2``
    count the monomials of the two halves, ``C(d/2 + g, g)`` each for even ``d``; and a few times the
    ``r (d_v + 1)`` sums over the keys. Cost: ``(n + m) r (d_v + 1)`` multiply-adds in matrix products, and
    ``O((n + m)(N1 d_v + N2))`` arithmetic.
    """
    if V.ndim != 2 or V.shape[0] != K.shape[0]:
        raise ValueError(f"V of shape {tuple(V.shape)}: expected ({K.shape[0]}, d_v), a row for each key")
    plan = checked_plan(Q, K, coefficients, scale, plan)
    xp = namespace(Q, K, V)
    columns = V.shape[1] + 1
    if block is None:
        first, second = plan.halves
        floats = first.rank + second.rank + max(first.sizes) * columns
        rows = _BLOCK_BYTES // (floats * xp.finfo(Q.dtype).bits // 8)
        block = block_factor(Q) * max(16, min(_BLOCK_ROWS, rows))
    local = threading.local()  # buffers are reused from block to block, by one thread each

    def workspace() -> SplitSteps:
        if not hasattr(local, "work"):
            buffered = isinstance(Q, np.ndarray) and Q.dtype == K.dtype == V.dtype
            local.work = (
                BufferedSplitSteps(plan, columns, block, Q.dtype) if buffered else SplitSteps(plan, columns)
            )
        return local.work

    weights = split_weights(plan, coefficients, scale, Q)
    # products this narrow are slower with several BLAS threads than with one
    with single_threaded_blas() if isinstance(Q, np.ndarray) else nullcontext():
        sums = map_rows(
            lambda k, v: _key_sums(k, v, workspace()), K, V, block=block, reduce="sum", workers=workers
        )
        sums = sums if isinstance(sums, tuple) else (sums,)
        weighted = [weighted_sums(M, w, columns) for M, w in zip(sums, weights, strict=True)]
        return map_rows(lambda q: _query_rows(q, weighted, workspace()), Q, block=block, workers=workers)


# -- checks and weights ----------------------------------------------------------------------------------


def checked_plan(
    Q: Array, K: Array, coefficients: Any, scale: float, plan: MonomialPlan | None
) -> MonomialPlan:
    """The plan to use, once everything fits together; what ``polynomial_factors`` raises if it does not."""
    for name, x in (("Q", Q), ("K", K)):
        if not namespace(Q, K).isdtype(x.dtype, ("real floating", "complex floating")):
            raise TypeError(f"{name} of dtype {x.dtype}: expected real or complex floating numbers")
    if Q.ndim != 2 or Q.shape[1] < 1:
        raise ValueError(f"Q of shape {tuple(Q.shape)}: expected (n, d) with d >= 1")
    if K.ndim != 2 or K.shape[1] != Q.shape[1]:
        raise ValueError(f"K of shape {tuple(K.shape)}: expected (m, {Q.shape[1]}), as many columns as Q")
    if K.shape[0] < 1:
        raise ValueError(f"K of shape {tuple(K.shape)}: expected at least one key")
    if not math.isfinite(scale):
        raise ValueError(f"scale={scale!r}: expected a finite number")
    if coefficients is None:
        if plan is None or holds_data(Q):
            raise ValueError(
                "coefficients=None: expected c_0 .. c_g (only shape-only arrays with a plan go without)"
            )
    else:
        c = np.asarray(coefficients)
        if c.ndim != 1 or c.size < 1 or not np.all(np.isfinite(c)):
            raise ValueError(f"coefficients={coefficients!r}: expected finite numbers c_0 .. c_g")
        if plan is None:
            plan = monomial_plan(Q.shape[1], c.size - 1)
        elif plan.degree != c.size - 1:
            raise ValueError(
                f"plan of degree {plan.degree}: expected {c.size - 1}, one less than the coefficients"
            )
    if plan.d != Q.shape[1]:
        raise ValueError(f"plan with d={plan.d}: expected {Q.shape[1]}, the columns of Q")
    return plan


def monomial_weights(plan: MonomialPlan, coefficients: Any, scale: float, like: Array) -> Array:
    """``c_|a| scale^|a| |a|!/a!`` for every monomial ``a`` of ``plan``, (r,), beside ``like``.

    With them ``sum_a w_a x^a = P(scale (x_1 + .. + x_d))`` for ``P(x) = sum_t c_t x^t``. The arguments are
    taken as ``checked_plan`` leaves them; beside a shape-only ``like`` the weights have a size and no values.
    """
    if sizes_only(coefficients, plan, like):
        return no_data((plan.rank,), like)
    weights = np.asarray(coefficients, dtype=float) * float(scale) ** np.arange(plan.degree + 1)
    return as_array_like(weights[plan.degrees] * plan.multinomials, like)


# -- the steps of a block --------------------------------------------------------------------------------


def _key_sums(K: Array, V: Array, work: SplitSteps) -> tuple[Array, ...]:
    """For each ``t``: sums over the keys of (a, column of [V, 1]) times b, (N1_t * (d_v + 1), N2_{<=g-t})."""
    first, second = work.features(K)
    W = work.values(V, first[0])
    return tuple(
        work.sums(work.row_products(A, W), second[:width, :])
        for A, width in zip(first, work.widths, strict=False)  # without a first half there is degree 0 only
    )


def _query_rows(Q: Array, sums: Sequence[Array], work: SplitSteps) -> Array:
    """The attention of a block of queries, from the weighted sums over the keys."""
    first, second = work.features(Q)
    total = None
    for M, A, width in zip(sums, first, work.widths, strict=False):
        part = work.contract(M, second[:width, :], A)
        total = part if total is None else total + part
    return (total[:-1, :] / total[-1:, :]).T
