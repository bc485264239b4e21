r"""Gradients of one attention head in its low-rank adapters, from products with its weights in any form.

The loss is :math:`\frac12\lVert F X_VW_V-Y\rVert_F^2` with F the softmax, row by row, of
:math:`\text{scale}\cdot X_QW_Q(X_KW_K)^\top` and :math:`W_\mu=W_\mu^\star+\frac\alpha rB_\mu A_\mu`. With
:math:`G=FX_VW_V-Y` and p the gradient in the logits (``touchstone.attention.derivatives``),

.. math:: \mathcal G_Q=\text{scale}\cdot X_Q^\top pX_KW_K,\qquad
          \mathcal G_K=\text{scale}\cdot X_K^\top p^\top X_QW_Q,\qquad \mathcal G_V=X_V^\top F^\top G,

and :math:`\frac\alpha r\mathcal G_\mu A_\mu^\top`, :math:`\frac\alpha rB_\mu^\top\mathcal G_\mu` are the
gradients in :math:`B_\mu` and :math:`A_\mu`.

Source: lora-hardness-threshold, setting; re-derived (one of the published expressions does not type-check).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from touchstone.arrays import namespace
from touchstone.attention.derivatives import score_gradient_apply
from touchstone.attention.exact import attention_weights

Array = Any

HEADS = ("Q", "K", "V")


def lora_gradients(
    XQ: Array,
    XK: Array,
    XV: Array,
    W: Mapping[str, Array],
    adapters: Mapping[str, tuple[Array, Array]],
    Y: Array,
    *,
    alpha: float,
    scale: float,
    F: Any | Callable[[Array, Array], Any] = None,
) -> dict[str, tuple[Array, Array]]:
    r"""``{"Q": (dB, dA), ...}``: the gradients in every adapter, six arrays where all three are adapted.

    ``XQ`` (n, d_Q), ``XK`` (m, d_K), ``XV`` (m, d_V); ``W`` are the frozen matrices of ``"Q"`` (d_Q, k),
    ``"K"`` (d_K, k) and ``"V"`` (d_V, c); ``Y`` (n, c). ``adapters`` maps some of the three to ``(B, A)``,
    (rows of W, r) and (r, columns of W); what it leaves out is frozen and costs nothing. The factor is
    ``alpha`` / r, of each adapter's own r. ``F`` is as in ``weight_gradients``.

    Cost: that of ``weight_gradients``, and d k r multiply-adds three times for each adapter of a (d, k)
    matrix. Raises ``ValueError`` for shapes that do not fit, an unknown or missing name, an ``alpha`` or
    ``scale`` that is not finite; ``TypeError`` for arrays of different libraries.

    Source: lora-hardness-threshold, C1.
    """
    _check_names(W, HEADS, "W")
    for name in adapters:
        if name not in HEADS:
            raise ValueError(f"adapters of {name!r}: expected some of {', '.join(HEADS)}")
    adapted = {
        name: adapted_weight(W[name], *adapters[name], alpha=alpha) if name in adapters else W[name]
        for name in HEADS
    }
    gradients = weight_gradients(XQ, XK, XV, adapted, Y, scale=scale, F=F, of=adapters)
    return {name: adapter_gradients(gradients[name], *adapters[name], alpha=alpha) for name in adapters}


def weight_gradients(
    XQ: Array,
    XK: Array,
    XV: Array,
    W: Mapping[str, Array],
    Y: Array,
    *,
    scale: float,
    F: Any | Callable[[Array, Array], Any] = None,
    of: Iterable[str] = HEADS,
) -> dict[str, Array]:
    r"""``{"Q": dW_Q, ...}``: the gradients in the weights ``of`` which they are wanted, ``W`` as adapted.

    Arrays as in ``lora_gradients``. ``F`` (n, m) are the softmax weights: an array, an operator with
    ``shape``, ``@`` and ``.T``, or a function that makes one of them from ``XQ W_Q`` and ``XK W_K``; by
    default they are computed densely.

    Cost: products of ``F`` or its transpose with c columns for the residual, c k + c + k columns each for Q
    and K, c for V, and O((n + m) d (k + c)) more. Errors as for ``lora_gradients``.
    """
    wanted = tuple(of)
    _check_names(W, HEADS, "W")
    xp = namespace(XQ, XK, XV, Y, *(W[name] for name in HEADS))
    for name, X in (("Q", XQ), ("K", XK), ("V", XV)):
        _check_matrix(f"X{name}", X, None)
        _check_matrix(f"W of {name!r}", W[name], (X.shape[1], None))
    if XV.shape[0] != XK.shape[0]:
        raise ValueError(f"XV of shape {tuple(XV.shape)}: expected {XK.shape[0]} rows, as XK has")
    _check_matrix("W of 'K'", W["K"], (None, W["Q"].shape[1]))
    _check_matrix("Y", Y, (XQ.shape[0], W["V"].shape[1]))
    scale = _finite("scale", scale)
    Q, K, V = XQ @ W["Q"], XK @ W["K"], XV @ W["V"]
    if F is None:
        F = attention_weights(Q, K, scale=scale)
    elif callable(F):
        F = F(Q, K)
    G = F @ V - Y
    gradients = {}
    for name in wanted:
        if name == "Q":
            inputs, inner = XQ, score_gradient_apply(F, V, G, K) * scale
        elif name == "K":
            inputs, inner = XK, score_gradient_apply(F, V, G, Q, transpose=True) * scale
        elif name == "V":
            inputs, inner = XV, F.T @ G
        else:
            raise ValueError(f"of={wanted!r}: expected some of {', '.join(HEADS)}")
        gradients[name] = xp.matrix_transpose(inputs) @ inner
    return gradients


def adapted_weight(W: Array, B: Array, A: Array, *, alpha: float) -> Array:
    r""":math:`W+\frac\alpha rBA` from ``W`` (d, k), ``B`` (d, r) and ``A`` (r, k), r >= 1.

    Cost: d k r multiply-adds. Raises ``ValueError`` for shapes that do not fit or an ``alpha`` that is not
    finite.
    """
    namespace(W, B, A)
    _check_matrix("W", W, None)
    _check_adapter(B, A, tuple(W.shape))
    return W + (_finite("alpha", alpha) / A.shape[0]) * (B @ A)


def adapter_gradients(G: Array, B: Array, A: Array, *, alpha: float) -> tuple[Array, Array]:
    r"""``dB, dA`` = :math:`\frac\alpha rGA^\top`, :math:`\frac\alpha rB^\top G` from the gradient ``G`` in W.

    ``G`` (d, k), ``B`` (d, r), ``A`` (r, k). Cost: 2 d k r multiply-adds. Errors as for ``adapted_weight``.
    """
    xp = namespace(G, B, A)
    _check_matrix("G", G, None)
    _check_adapter(B, A, tuple(G.shape))
    factor = _finite("alpha", alpha) / A.shape[0]
    return factor * (G @ xp.matrix_transpose(A)), factor * (xp.matrix_transpose(B) @ G)


def _check_names(given: Mapping[str, Any], expected: tuple[str, ...], what: str) -> None:
    if set(given) != set(expected):
        raise ValueError(
            f"{what} with {', '.join(map(repr, given))}: expected {', '.join(map(repr, expected))}"
        )


def _check_adapter(B: Array, A: Array, shape: tuple[int, int]) -> None:
    _check_matrix("B", B, (shape[0], None))
    if B.shape[1] < 1:
        raise ValueError(f"B of shape {tuple(B.shape)}: expected at least one column")
    _check_matrix("A", A, (B.shape[1], shape[1]))


def _check_matrix(name: str, x: Array, shape: tuple[int | None, int | None] | None) -> None:
    fits = x.ndim == 2 and all(
        size is None or size == given for size, given in zip(shape or (), x.shape, strict=False)
    )
    if not fits:
        expected = "a matrix" if shape is None else tuple("any" if size is None else size for size in shape)
        raise ValueError(f"{name} of shape {tuple(x.shape)}: expected {expected}")


def _finite(name: str, value: float) -> float:
    if isinstance(value, complex) or not math.isfinite(value):
        raise ValueError(f"{name}={value!r}: expected a finite real number")
    return float(value)
