r"""Attention layers with their own weights, stacked, and the gradient of a loss through the stack.

A layer attends to its own input: with heads :math:`h\le H`,

.. math:: \mathrm{Attn}(T)=\sum_hf_hTW_V^{(h)},\qquad
          f_h=\mathrm{softmax}_{\mathrm{rows}}\big(\text{scale}\cdot TW^{(h)}T^\top\big),

where :math:`W=W_QW_K^\top`. In a stack :math:`T_i=b\tanh(\mathrm{Attn}_i(T_{i-1})W_g)`, plus
:math:`T_{i-1}` with a residual connection.

Source: multilayer-gradient, setting and closed forms (re-derived).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from touchstone.arrays import namespace
from touchstone.attention.derivatives import attention_vjp
from touchstone.attention.exact import attention

Array = Any


class LayerWeights(NamedTuple):
    """``W`` and ``WV`` (d, d), or (H, d, d) for H heads; ``Wg`` (d, d)."""

    W: Array
    WV: Array
    Wg: Array


class StackGradient(NamedTuple):
    """The gradient in the input ``X``, and those in ``W`` and ``WV`` of every layer, first to last."""

    X: Array
    W: list[Array]
    WV: list[Array]


def layer(T: Array, W: Array, WV: Array, *, scale: float, mask: Array | str | None = None) -> Array:
    """The attention of one layer, ``Attn(T)`` of the module's head: (n, d) for ``T`` (n, d).

    ``W`` and ``WV`` are (d, d), or (H, d, d) for H heads; ``scale`` and ``mask`` as in ``attention``. Real or
    complex and never conjugated. Cost: that of ``attention`` for each head, and 2 n d^2 multiply-adds. Raises
    ``ValueError`` for weights that do not fit, and what ``attention`` raises.
    """
    total = None
    for W1, WV1 in _heads(T, W, WV):
        part = attention(T @ W1, T, T @ WV1, scale=scale, mask=mask)
        total = part if total is None else total + part
    return total


def layer_vjp(
    T: Array,
    W: Array,
    WV: Array,
    G: Array,
    *,
    scale: float,
    mask: Array | str | None = None,
    weights: Callable[[Array, Array], Any] | None = None,
) -> tuple[Array, Array, Array]:
    r"""``dT, dW, dWV``: the gradient of :math:`\langle G,\mathrm{Attn}(T)\rangle`, ``G`` (n, d) fixed.

    With :math:`p` the gradient in the logits (``touchstone.attention.derivatives``) and s the scale, for each
    head

    .. math:: \frac{dL}{dW}=sT^\top pT,\quad\frac{dL}{dW_V}=T^\top f^\top G,\quad
              \frac{dL}{dT}=s\big(pTW^\top+p^\top TW\big)+f^\top GW_V^\top,

    the last summed over heads. ``weights(Q, K)`` makes the attention weights of queries and keys, an array or
    an operator with ``shape``, ``@`` and ``.T`` (``low_rank_weights``); by default they are dense and obey
    ``mask``, which is otherwise for ``weights`` to obey. The other arguments are those of ``layer``.

    Cost, for each head: products of the weights or their transpose with 2 d^2 + 5 d columns, and O(n d^2).
    Raises ``ValueError`` for shapes that do not fit, or both ``weights`` and ``mask``.
    """
    if weights is not None and mask is not None:
        raise ValueError("mask: expected None beside weights, whose zeros are the mask")
    xp = namespace(T, W, WV, G)
    dT, dWs, dWVs = None, [], []
    for W1, WV1 in _heads(T, W, WV):
        Q, V = T @ W1, T @ WV1
        F = None if weights is None else weights(Q, T)
        dQ, dK, dV = attention_vjp(Q, T, V, G, scale=scale, F=F, mask=mask)
        part = dQ @ W1.T + dK + dV @ WV1.T
        dT = part if dT is None else dT + part
        dWs.append(T.T @ dQ)
        dWVs.append(T.T @ dV)
    if W.ndim == 2:
        return dT, dWs[0], dWVs[0]
    return dT, xp.stack(dWs), xp.stack(dWVs)


def stack(
    X: Array,
    layers: Sequence[LayerWeights],
    *,
    scale: float,
    bound: float,
    mask: Array | str | None = None,
    residual: bool = False,
) -> tuple[list[Array], list[Array]]:
    """The tokens ``T_0 = X, T_1, ..., T_m`` and what each layer attended to, ``Attn_1, ..., Attn_m``.

    ``bound`` is b of the module's head: without residual no entry of a later layer is larger. The others are
    as in ``layer``. Cost: that of the layers, n d^2 multiply-adds and n d hyperbolic tangents each.
    """
    xp = namespace(X)
    tokens, attended = [X], []
    for W, WV, Wg in layers:
        attended.append(layer(tokens[-1], W, WV, scale=scale, mask=mask))
        new = bound * xp.tanh(attended[-1] @ Wg)
        tokens.append(tokens[-1] + new if residual else new)
    return tokens, attended


def stack_vjp(
    tokens: Sequence[Array],
    attended: Sequence[Array],
    layers: Sequence[LayerWeights],
    G: Array,
    *,
    scale: float,
    bound: float,
    mask: Array | str | None = None,
    residual: bool = False,
    weights: Callable[[Array, Array], Any] | None = None,
) -> StackGradient:
    r"""The gradient of a loss through a stack, from its gradient ``G`` (n, d) in the last tokens.

    ``tokens`` and ``attended`` are what ``stack`` returned, m + 1 and m of them, for the same m ``layers``
    and options; ``weights`` as in ``layer_vjp``. Layers are taken last to first. Cost: that of ``layer_vjp``
    and O(n d^2) a layer. Raises ``ValueError`` for numbers of arrays that do not fit, and what ``layer_vjp``
    raises.
    """
    if not len(tokens) - 1 == len(attended) == len(layers):
        raise ValueError(
            f"{len(tokens)} tokens and {len(attended)} attended: expected {len(layers) + 1} and "
            f"{len(layers)}, as there are {len(layers)} layers"
        )
    xp = namespace(G, *tokens)
    dWs, dWVs = [], []
    for T, A, (W, WV, Wg) in reversed(list(zip(tokens[:-1], attended, layers, strict=True))):
        tanh = xp.tanh(A @ Wg)
        upstream = (G * (bound * (1 - tanh * tanh))) @ Wg.T
        dT, dW, dWV = layer_vjp(T, W, WV, upstream, scale=scale, mask=mask, weights=weights)
        G = dT + G if residual else dT
        dWs.append(dW)
        dWVs.append(dWV)
    return StackGradient(G, dWs[::-1], dWVs[::-1])


def _heads(T: Array, W: Array, WV: Array) -> list[tuple[Array, Array]]:
    """The weights of every head, once they fit."""
    namespace(T, W, WV)
    if T.ndim != 2:
        raise ValueError(f"T of shape {tuple(T.shape)}: expected a matrix, one row a token")
    d = T.shape[1]
    for name, x in (("W", W), ("WV", WV)):
        if x.ndim not in (2, 3) or tuple(x.shape[-2:]) != (d, d):
            raise ValueError(f"{name} of shape {tuple(x.shape)}: expected ({d}, {d}) or (heads, {d}, {d})")
    if tuple(W.shape) != tuple(WV.shape):
        raise ValueError(f"WV of shape {tuple(WV.shape)}: expected {tuple(W.shape)}, as W has")
    if W.ndim == 2:
        return [(W, WV)]
    if W.shape[0] == 0:
        raise ValueError(f"W of shape {tuple(W.shape)}: expected at least one head")
    return [(W[h, :, :], WV[h, :, :]) for h in range(W.shape[0])]
