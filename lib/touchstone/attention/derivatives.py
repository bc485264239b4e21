r"""First derivatives of softmax attention from products with its weights, whatever form these have.

With ``F`` the (n, m) matrix of weights and ``G`` the gradient of a loss in the output ``F h``, the gradient
in the logits is

.. math:: p = F\circ Gh^\top - \mathrm{diag}\big((G\circ Fh)\mathbf 1\big)F .

``F`` enters through ``F @`` and ``F.T @`` only: an array, a sum of convolutions, factors of low rank.
"""

from __future__ import annotations

import math
from typing import Any

from touchstone.arrays import namespace
from touchstone.attention.exact import attention_weights
from touchstone.linalg.low_rank import hadamard_product_apply

Array = Any


def score_gradient_apply(F: Any, h: Array, G: Array, M: Array, *, transpose: bool = False) -> Array:
    r"""``p @ M``, or ``p.T @ M`` with ``transpose``, for the gradient ``p`` in the logits (module's head).

    ``F`` (n, m) is an array or an operator with ``shape``, ``@`` and ``.T`` (the latter for ``transpose``
    only), its rows the softmax weights; ``h`` (m, d) the values, ``G`` (n, d) the gradient in the output;
    ``M`` is (m, c), or (n, c) for ``transpose``. Returns (n, c) or (m, c). A mask needs no mention: its
    entries are zero in ``F``.

    Cost: products of ``F`` with d c + d + c columns and O((n + m) d c) more; memory O((n + m) d c). Raises
    ``ValueError`` for shapes that do not fit.

    Source: conv-basis-attention, the gradient; reconstructed.
    """
    xp = namespace(h, G, M)
    n, m = F.shape
    for name, x, rows in (("h", h, m), ("G", G, n), ("M", M, n if transpose else m)):
        if x.ndim != 2 or x.shape[0] != rows:
            raise ValueError(f"{name} of shape {tuple(x.shape)}: expected {rows} rows, F is {(n, m)}")
    if h.shape[1] != G.shape[1]:
        raise ValueError(f"G of shape {tuple(G.shape)}: expected {h.shape[1]} columns, as many as h")
    if transpose:
        means = xp.sum(G * (F @ h), axis=1)
        return hadamard_product_apply(F.T, h, G, M) - F.T @ (means[:, None] * M)
    d = h.shape[1]
    both = F @ xp.concat([h, M], axis=1)
    means = xp.sum(G * both[:, :d], axis=1)
    return hadamard_product_apply(F, G, h, M) - means[:, None] * both[:, d:]


def attention_vjp(
    Q: Array,
    K: Array,
    V: Array,
    G: Array,
    *,
    scale: float,
    F: Any = None,
    mask: Array | str | None = None,
) -> tuple[Array, Array, Array]:
    r"""``dQ, dK, dV``: the gradient of :math:`\langle G, \mathrm{attention}(Q, K, V)\rangle`, ``G`` fixed.

    ``Q`` (n, d), ``K`` (m, d), ``V`` (m, c), ``G`` (n, c). ``F`` (n, m) are the weights, an array or an
    operator with ``shape``, ``@`` and ``.T``; by default they are computed densely, with ``mask`` as in
    ``attention_weights``. Returns three arrays of the shapes of ``Q``, ``K`` and ``V``.

    Cost: products of ``F`` and of its transpose with c d + 2 c + d columns each, at most. Raises
    ``ValueError`` for shapes that do not fit, a ``scale`` that is not finite, or both ``F`` and ``mask``.

    Source: conv-basis-attention, the gradient, for all three arguments.
    """
    if not math.isfinite(scale):
        raise ValueError(f"scale={scale!r}: expected a finite number")
    if F is None:
        F = attention_weights(Q, K, scale=scale, mask=mask)
    elif mask is not None:
        raise ValueError("mask: expected None beside F, whose zeros are the mask")
    scale = float(scale)
    dQ = score_gradient_apply(F, V, G, K) * scale
    dK = score_gradient_apply(F, V, G, Q, transpose=True) * scale
    return dQ, dK, F.T @ G
