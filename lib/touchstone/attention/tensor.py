r"""Attention over pairs and longer tuples of keys: exact, and as low-rank factors that never form the tuples.

Attention of order k has one query matrix and k - 1 key and value matrices. The logit of query i and keys
j, l, ... is :math:`\text{scale}\sum_cQ_{ic}K_{1,jc}K_{2,lc}\cdots`, the value of a tuple is the entrywise
product of its rows of the value matrices. Order 2 is ordinary attention.

Source: tensor-attention-forward (Alman and Song 2023), setting and algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from touchstone.arrays import block_factor, map_rows, namespace, single_threaded_blas
from touchstone.attention.exact import LOGITS_PER_BLOCK
from touchstone.attention.polynomial import checked_plan, monomial_weights
from touchstone.functions.monomials import MonomialPlan, monomials
from touchstone.functions.softmax import unnormalised_softmax
from touchstone.linalg.kronecker import khatri_rao

Array = Any

# Rows of a block are chosen so that its features stay within this many bytes: a core's cache.
_BLOCK_BYTES = 4 * 2**20
_BLOCK_ROWS = 2048


def tensor_attention(
    Q: Array,
    Ks: Sequence[Array],
    Vs: Sequence[Array],
    *,
    scale: float,
    block: int | None = None,
    workers: int = 1,
) -> Array:
    r"""Every query's average over all tuples of keys of the product of their values, (n, c).

    ``Q`` (n, d); ``Ks`` are k - 1 >= 1 matrices (m_s, d) and ``Vs`` as many (m_s, c), all floating (real or
    complex, never conjugated). The weights of query i are the softmax over all :math:`M=\prod_sm_s` tuples
    of its logits. With :math:`\oslash` the Khatri–Rao product the result is
    :math:`\mathrm{softmax}(\text{scale}\cdot Q(K_1\oslash K_2)^\top)(V_1\oslash V_2)` at order 3; neither of
    the two products is formed.

    Queries are processed ``block`` at a time (default: as many as ``LOGITS_PER_BLOCK`` logits allow, at least
    one) by ``workers`` threads (``touchstone.arrays.map_rows``); a worker holds at most three arrays of
    ``block`` × M. Each query's largest logit is subtracted first, so any finite logits are safe.

    Cost: n M (d + c) multiply-adds and, per tuple, one exponential, one subtraction, one addition and one
    comparison; besides, for order 3, n (m_1 (d + 2 c) + d + c) arithmetic. Raises ``ValueError`` for shapes
    that do not fit, no keys, a ``scale`` that is not a finite number, or a block or worker count below 1;
    ``TypeError`` for integer arrays or arrays of different libraries.
    """
    Ks, Vs = _checked(Q, Ks, Vs)
    if isinstance(scale, complex) or not math.isfinite(scale):
        raise ValueError(f"scale={scale!r}: expected a finite real number")
    scale = float(scale)  # a NumPy scalar would promote float32
    xp = namespace(Q, *Ks, *Vs)
    tuples = math.prod(K.shape[0] for K in Ks)
    if block is None:
        block = max(1, min(Q.shape[0], LOGITS_PER_BLOCK * block_factor(Q) // tuples))

    def rows(Q: Array) -> Array:
        logits = khatri_rao(scale * Q, *Ks[:-1]) @ xp.matrix_transpose(Ks[-1])
        exponentials, total = unnormalised_softmax(xp.reshape(logits, (Q.shape[0], tuples)))
        return _weighted_values(exponentials, Vs) / total

    return map_rows(rows, Q, block=block, workers=workers)


def tensor_factors(
    Q: Array, Ks: Sequence[Array], coefficients: Any, *, scale: float, plan: MonomialPlan | None = None
) -> tuple[Array, ...]:
    r"""``U1, U2, U3, ...``, whose product :math:`U_1(U_2\oslash U_3)^\top` is :math:`P` of all logits.

    That is :math:`P(\text{scale}\cdot Q(K_1\oslash K_2)^\top)`, and alike for other orders, where
    :math:`P(x)=\sum_tc_tx^t` with ``coefficients`` ``c_0 .. c_g`` on the host. ``U1`` (n, r) are the
    monomials of the queries times ``c_|a| scale^|a| |a|!/a!``, the others (m_s, r) those of the keys, in the
    order of ``plan`` (built when ``None``); :math:`r=\binom{d+g}{g}`. Shape-only arrays need a plan (one
    without table will do), and ``coefficients`` may then be ``None``.

    Cost: (n + sum m_s)(r - 1) + n r multiplications. Raises ``ValueError`` for shapes, coefficients or a plan
    that do not fit together; ``TypeError`` for integer arrays.
    """
    Ks, _ = _checked(Q, Ks, None)
    plan = checked_plan(Q, Ks[0], coefficients, scale, plan)
    weights = monomial_weights(plan, coefficients, scale, Q)
    return monomials(Q, plan) * weights, *(monomials(K, plan) for K in Ks)


def low_rank_tensor_attention(
    Q: Array,
    Ks: Sequence[Array],
    Vs: Sequence[Array],
    coefficients: Any,
    *,
    scale: float,
    plan: MonomialPlan | None = None,
    block: int | None = None,
    workers: int = 1,
) -> Array:
    r"""``tensor_attention`` with the polynomial P of ``coefficients`` in place of the exponential, (n, c).

    Nothing of the size of all tuples is formed: with the factors of ``tensor_factors``,
    :math:`U_1(U_2\oslash U_3)^\top(V_1\oslash V_2)=U_1\big((U_2^\top V_1)\circ(U_3^\top V_2)\big)`, and the
    row sums are the same with columns of ones. Arguments as for ``tensor_factors``, ``Vs`` as for
    ``tensor_attention``. Row sums that are zero divide by zero, as any polynomial of too low a degree may
    make them.

    Keys, then queries, are processed ``block`` rows at a time (default: as many as keep a block's features
    near a core's cache) by ``workers`` threads; memory beyond input and output is a few times
    (``block`` + c) r for each worker. Cost: n + sum m_s rows with r - 1 multiplications and
    r (c + 1) multiply-adds each, n c divisions, (k - 1) r (c + 1) multiplications, and as many additions for
    every block of keys after the first. Raises as ``tensor_factors`` and ``tensor_attention`` do.
    """
    Ks, Vs = _checked(Q, Ks, Vs)
    plan = checked_plan(Q, Ks[0], coefficients, scale, plan)
    xp = namespace(Q, *Ks, *Vs)
    if block is None:
        row = (plan.rank + Vs[0].shape[1] + 1) * xp.finfo(Q.dtype).bits // 8
        block = block_factor(Q) * max(16, min(_BLOCK_ROWS, _BLOCK_BYTES // row))

    def key_sums(K: Array, V: Array) -> Array:
        """The sums over these keys of monomial times value, (r, c + 1); the last value is one."""
        return monomials(K, plan).T @ xp.concat([V, xp.ones_like(K[:, :1])], axis=1)

    def rows(Q: Array) -> Array:
        sums = monomials(Q, plan) @ contracted
        return sums[:, :-1] / sums[:, -1:]

    contracted = monomial_weights(plan, coefficients, scale, Q)[:, None]
    # products this narrow are slower with several BLAS threads than with one
    with single_threaded_blas() if isinstance(Q, np.ndarray) else nullcontext():
        for K, V in zip(Ks, Vs, strict=True):
            contracted = contracted * map_rows(key_sums, K, V, block=block, reduce="sum", workers=workers)
        return map_rows(rows, Q, block=block, workers=workers)


def _weighted_values(weights: Array, Vs: Sequence[Array]) -> Array:
    """``weights @ khatri_rao(*Vs)`` for ``weights`` (n, M), one value matrix at a time from the last."""
    xp = namespace(weights)
    n, c = weights.shape[0], Vs[-1].shape[1]
    others = math.prod(V.shape[0] for V in Vs[:-1])
    sums = xp.reshape(weights, (n * others, Vs[-1].shape[0])) @ Vs[-1]
    for V in Vs[-2::-1]:
        others //= V.shape[0]
        sums = xp.sum(xp.reshape(sums, (n * others, V.shape[0], c)) * V[None, :, :], axis=1)
    return sums


def _checked(
    Q: Array, Ks: Sequence[Array], Vs: Sequence[Array] | None
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """``Ks`` and ``Vs`` as tuples, once everything fits together."""
    Ks, given = tuple(Ks), () if Vs is None else tuple(Vs)
    if not Ks:
        raise ValueError("Ks=(): expected at least one key matrix")
    if Vs is not None and len(given) != len(Ks):
        raise ValueError(f"{len(given)} value matrices: expected {len(Ks)}, one for each key matrix")
    named = [("Q", Q), *((f"Ks[{s}]", K) for s, K in enumerate(Ks))]
    named += [(f"Vs[{s}]", V) for s, V in enumerate(given)]
    xp = namespace(*(x for _, x in named))
    for name, x in named:
        if x.ndim != 2:
            raise ValueError(f"{name} of shape {tuple(x.shape)}: expected a matrix")
        if not xp.isdtype(x.dtype, ("real floating", "complex floating")):
            raise TypeError(f"{name} of dtype {x.dtype}: expected real or complex floating numbers")
    if Q.shape[1] < 1:
        raise ValueError(f"Q of shape {tuple(Q.shape)}: expected at least one feature")
    for s, K in enumerate(Ks):
        if K.shape[0] < 1 or K.shape[1] != Q.shape[1]:
            raise ValueError(
                f"Ks[{s}] of shape {tuple(K.shape)}: expected (m, {Q.shape[1]}) with m >= 1, "
                "as many columns as Q"
            )
    for s, V in enumerate(given):
        if V.shape != (Ks[s].shape[0], given[0].shape[1]):
            raise ValueError(
                f"Vs[{s}] of shape {tuple(V.shape)}: expected ({Ks[s].shape[0]}, {given[0].shape[1]}), "
                f"a row for each row of Ks[{s}] and as many columns as Vs[0]"
            )
    return Ks, given
