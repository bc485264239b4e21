r"""The gradient of a loss on tensor attention in its weights: dense, and through low-rank factors.

The loss is :math:`L(X)=\frac12\lVert fh-E\rVert_F^2` with f the softmax, row by row, of
:math:`\text{scale}\cdot A_1X(A_2\otimes A_3)^\top` and :math:`h=(A_4\otimes A_5)Y`. With :math:`c=fh-E`,

.. math:: \frac{dL}{dX}=\text{scale}\cdot A_1^\top p\,(A_2\otimes A_3),\qquad
          p=f\circ ch^\top-\mathrm{diag}\big((c\circ fh)\mathbf 1\big)f .

Source: tensor-attention-training, closed form and fast gradient (re-derived; the published closed form leaves
the scale out).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from touchstone.arrays import block_factor, map_rows, namespace, single_threaded_blas
from touchstone.attention.polynomial import checked_plan, monomial_weights
from touchstone.functions.monomials import MonomialPlan, monomials
from touchstone.functions.softmax import softmax
from touchstone.linalg.kronecker import face_splitting, khatri_rao, kron

Array = Any

# Rows of a block are chosen so that its features and weighted inputs stay within this many bytes.
_BLOCK_BYTES = 4 * 2**20
_BLOCK_ROWS = 2048


def tensor_attention_gradient(As: Sequence[Array], X: Array, Y: Array, E: Array, *, scale: float) -> Array:
    r"""``dL/dX`` by the closed form, forming all weights: for small n.

    ``As`` are five matrices: ``A1`` (n, d), ``A2`` and ``A4`` (m, d), ``A3`` and ``A5`` (q, d). ``X`` is
    (d, d^2) and ``Y`` (d^2, c), with pairs of features numbered as in ``kron``; ``E`` (n, c). Returns
    (d, d^2). All are floating, real or complex and never conjugated.

    Cost: n m q (d^2 + 2 c + d) multiply-adds and n m q exponentials; memory n m q. Raises ``ValueError`` for
    shapes that do not fit or a ``scale`` that is not finite; ``TypeError`` for arrays of different libraries.
    """
    As = tuple(As)
    if len(As) != 5:
        raise ValueError(f"{len(As)} matrices As: expected five")
    xp = namespace(*As, X, Y, E)
    A1, A2, A3, A4, A5 = As
    d = A1.shape[1]
    c = Y.shape[1] if Y.ndim == 2 else 1
    (n, m, q) = (A.shape[0] for A in As[:3])
    for name, x, shape in (
        ("A2", A2, (m, d)),
        ("A3", A3, (q, d)),
        ("A4", A4, (m, d)),
        ("A5", A5, (q, d)),
        ("X", X, (d, d * d)),
        ("Y", Y, (d * d, c)),
        ("E", E, (n, c)),
    ):
        if tuple(x.shape) != shape:
            raise ValueError(f"{name} of shape {tuple(x.shape)}: expected {shape}")
    _check_scale(scale)
    pairs, h = kron(A2, A3), kron(A4, A5) @ Y
    f = softmax(float(scale) * ((A1 @ X) @ xp.matrix_transpose(pairs)))
    S = f @ h
    residual = S - E
    p = f * (residual @ xp.matrix_transpose(h)) - xp.sum(residual * S, axis=1, keepdims=True) * f
    return float(scale) * ((xp.matrix_transpose(A1) @ p) @ pairs)


def low_rank_tensor_attention_gradient(
    Q: Array,
    Ks: Sequence[Array],
    Hs: Sequence[Array],
    As: Sequence[Array],
    E: Array,
    coefficients: Any,
    *,
    scale: float,
    plan: MonomialPlan | None = None,
    block: int | None = None,
    workers: int = 1,
) -> Array:
    r"""``dL/dX`` with the polynomial of ``coefficients`` in place of the exponential; no pair is formed.

    For weights of the form :math:`X=X_1(X_2\oslash X_3\oslash\cdots)^\top` and values
    :math:`h=H_1\oslash H_2\oslash\cdots` the logits are those of tensor attention with ``Q`` =
    :math:`A_1X_1` (n, d) and ``Ks`` = :math:`A_2X_2,\dots` (m_s, d), k - 1 of them. ``Hs`` are (m_s, c),
    ``As`` = :math:`A_1,A_2,\dots` (k matrices with D columns and the rows of ``Q`` and ``Ks``), ``E`` (n, c).
    Returns (D, D^{k-1}), pairs numbered as in ``kron``. ``coefficients`` and ``plan`` are those of
    ``tensor_factors``, with r columns. With the factors U, V_s of the weights, rows of U divided by their
    sums, and :math:`h_0=\mathbf 1`, :math:`c_0=-(c\circ fh)\mathbf 1`,

    .. math:: \frac{dL}{dX}=\text{scale}\sum_{a=0}^{c}\big(A_1^\top\mathrm{diag}(c_a)U\big)
              \Big(\bigoslash_sA_s^\top\mathrm{diag}(H_{s,a})V_s\Big)^\top .

    Keys, then queries, are processed ``block`` rows at a time by ``workers`` threads; memory beyond input and
    output is a few times (``block`` + D (c + 1)) r for each worker and D^{k-1} (c + 1) r once. Cost: n + sum
    m_s rows with r - 1 multiplications and r (D + 1)(c + 1) multiply-adds each, and D^k (c + 1) r once.
    Raises ``ValueError`` for shapes, coefficients or a plan that do not fit; ``TypeError`` for integer arrays
    or arrays of different libraries.
    """
    Ks, Hs, As = tuple(Ks), tuple(Hs), tuple(As)
    xp = namespace(Q, *Ks, *Hs, *As, E)
    if not Ks or len(Hs) != len(Ks) or len(As) != len(Ks) + 1:
        raise ValueError(
            f"{len(Ks)} Ks, {len(Hs)} Hs and {len(As)} As: expected at least one of the first, as many of "
            "the second and one more of the third"
        )
    for K in Ks:
        plan = checked_plan(Q, K, coefficients, scale, plan)
    columns, width = E.shape[-1], As[0].shape[-1]
    for name, x, shape in (
        ("E", E, (Q.shape[0], columns)),
        ("As[0]", As[0], (Q.shape[0], width)),
        *((f"Hs[{s}]", H, (Ks[s].shape[0], columns)) for s, H in enumerate(Hs)),
        *((f"As[{s + 1}]", A, (Ks[s].shape[0], width)) for s, A in enumerate(As[1:])),
    ):
        if tuple(x.shape) != shape:
            raise ValueError(f"{name} of shape {tuple(x.shape)}: expected {shape}")
    if block is None:
        row = (2 * plan.rank + (columns + 1) * (width + 1)) * xp.finfo(Q.dtype).bits // 8
        block = block_factor(Q) * max(16, min(_BLOCK_ROWS, _BLOCK_BYTES // row))

    def key_sums(K: Array, H: Array, A: Array) -> tuple[Array, Array]:
        """Over these keys: of monomial times value, (r, c + 1), and times value and input, (D (c + 1), r)."""
        V, values = monomials(K, plan), xp.concat([H, xp.ones_like(H[:, :1])], axis=1)
        return V.T @ values, face_splitting(values, A).T @ V

    def query_sums(Q: Array, E: Array, A: Array) -> Array:
        """Over these queries: of monomial times residual and input, (D (c + 1), r)."""
        U = monomials(Q, plan)
        sums = U @ contracted
        outputs = sums[:, :-1] / sums[:, -1:]
        residual = outputs - E
        means = xp.sum(residual * outputs, axis=1, keepdims=True)
        weighted = xp.concat([residual, -means], axis=1) / sums[:, -1:]
        return face_splitting(weighted, A).T @ U

    def side_by_side(sums: Array) -> Array:
        """(D (c + 1), r), values first, as (D, (c + 1) r)."""
        apart = xp.reshape(sums, (columns + 1, width, plan.rank))
        return xp.reshape(xp.permute_dims(apart, (1, 0, 2)), (width, (columns + 1) * plan.rank))

    weights = monomial_weights(plan, coefficients, scale, Q)
    contracted, inputs = weights[:, None], []
    # products this narrow are slower with several BLAS threads than with one
    with single_threaded_blas() if isinstance(Q, np.ndarray) else nullcontext():
        for K, H, A in zip(Ks, Hs, As[1:], strict=True):
            values, products = map_rows(key_sums, K, H, A, block=block, reduce="sum", workers=workers)
            contracted = contracted * values
            inputs.append(side_by_side(products))
        left = map_rows(query_sums, Q, E, As[0], block=block, reduce="sum", workers=workers)
        gradient = side_by_side(left * weights[None, :]) @ khatri_rao(*inputs).T
    return float(scale) * gradient


def _check_scale(scale: float) -> None:
    if isinstance(scale, complex) or not math.isfinite(scale):
        raise ValueError(f"scale={scale!r}: expected a finite real number")
