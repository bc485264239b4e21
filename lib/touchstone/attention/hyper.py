r"""HyperAttention: large weights by sorted hashing, row sums and products with the values by sampling.

:math:`A=\exp(QK^\top)` entry by entry (multiply Q by another scale beforehand), :math:`D` its row sums,
:math:`P=D^{-1}A`. Row sums are handled by their logarithms, so that any finite logits are safe.

Source: hyper-attention.
"""

from __future__ import annotations

import math
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import namespace
from touchstone.attention.parts import Part, checked_shapes
from touchstone.attention.sorted_mask import Hash, SortedMask, sorted_lsh_mask
from touchstone.functions.softmax import logsumexp
from touchstone.sketching.sampling import importance_sample

Array = Any


def approximate_log_row_sums(
    Q: Array,
    K: Array,
    mask: SortedMask | None,
    m: int,
    kappa: float,
    rng: np.random.Generator,
    *,
    cap: float | None = None,
) -> Array:
    r""":math:`\ln\tilde d_i` for each row of A: pairs under ``mask`` exactly, the others by ``m`` columns.

    With :math:`u_i` the part of row sum i outside the mask, :math:`\tau=\max_{i\in T}u_i` over min(m, n)
    random rows T, and the same ``m`` uniform columns :math:`\ell_s` for all rows, with replacement,

    .. math:: \tilde d_i=\langle M_i,A_i\rangle+\max\Big(\frac{n_k}m\sum_s(1-M_{i\ell_s})
        \min(A_{i\ell_s},C_i),\ \frac\tau\kappa\Big),\qquad
        C_i=\mathrm{cap}\,\frac m{n_k\ln n_k}\Big(\langle M_i,A_i\rangle+\frac\tau\kappa\Big).

    ``kappa`` bounds :math:`\max_iu_i/\min_iu_i`: then the floor :math:`\tau/\kappa` is below every
    :math:`u_i`. ``cap`` is the constant of the cap times ε²; ``None`` leaves the cap out. ``mask=None`` is
    the empty mask. ``Q`` (n, d), ``K`` (n_k, d); returns (n,).

    T and the columns are drawn first, T before the columns, so that generators in the same state draw the
    same ones for every mask. Cost: (min(m, n) n_k + n m + n b) d multiply-adds, an exponential for each of
    those pairs, and a few operations beside; memory as many numbers. Raises ``ValueError`` for shapes that
    do not fit, ``m`` below 1, ``kappa`` below 1 or a ``cap`` that is not positive, ``TypeError`` unless the
    arrays are real floating.
    """
    checked_shapes(Q, K, K)
    n, keys = Q.shape[0], K.shape[0]
    _check_samples(m)
    if not (math.isfinite(kappa) and kappa >= 1):
        raise ValueError(f"kappa={kappa!r}: expected a finite number >= 1")
    if cap is not None and not cap > 0:
        raise ValueError(f"cap={cap!r}: expected a number > 0, or None")
    if mask is not None and mask.shape != (n, keys):
        raise ValueError(f"mask of shape {mask.shape}: expected ({n}, {keys})")
    xp = namespace(Q, K)
    rows = xp.asarray(rng.choice(n, min(m, n), replace=False))
    columns = xp.asarray(rng.integers(0, keys, m))

    def outside(logits: Array, queries: Array | None, keys: Array | None) -> Array:
        return logits if mask is None else xp.where(mask.pairs(queries, keys), -math.inf, logits)

    if mask is None:
        under_mask = xp.full((n,), -math.inf, dtype=Q.dtype, device=array_api_compat.device(Q))
    else:
        under_mask = mask.log_sums(Q, K)
    tau = xp.max(logsumexp(outside(xp.take(Q, rows, axis=0) @ K.T, rows, None)))
    floor = tau - math.log(kappa)
    sampled = outside(Q @ xp.take(K, columns, axis=0).T, None, columns)
    if cap is not None and keys > 1:  # n ln n = 0 for a single key: no cap
        caps = xp.logaddexp(under_mask, floor) + math.log(cap * m / (keys * math.log(keys)))
        sampled = xp.minimum(sampled, caps[:, None])
    estimate = logsumexp(sampled) + math.log(keys / m)
    return xp.logaddexp(under_mask, xp.maximum(estimate, floor))


def row_norm_sample(V: Array, m: int, rng: np.random.Generator) -> tuple[Array, Array]:
    r"""``m`` rows of ``V`` (n, c), with replacement, with probability :math:`p_j=\lVert V_j\rVert^2/\lVert
    V\rVert_F^2`: ``index`` (m,) and ``weights`` (m,) :math:`=1/(mp_j)`.

    For any B, the sum of ``weights[s] * B[:, index[s]] V[index[s], :]`` is :math:`BS^\top SV`, which is BV on
    average. Rows of a zero matrix are all alike. Cost: 2 n c operations, and a sample. Raises what
    ``importance_sample`` raises.

    Source: hyper-attention, setting (product).
    """
    xp = namespace(V)
    if V.ndim != 2 or V.shape[0] < 1:
        raise ValueError(f"V of shape {tuple(V.shape)}: expected a matrix with at least one row")
    largest = xp.max(xp.abs(V))  # squares of huge or tiny values would leave the range
    scaled = V / xp.where(largest > 0, largest, xp.ones_like(largest))
    squares = xp.sum(scaled * scaled, axis=1)
    return importance_sample(xp.where(largest > 0, squares, xp.ones_like(squares)), m, rng)


def hyper_part(
    Q: Array,
    K: Array,
    V: Array,
    mask: SortedMask | None,
    m: int,
    kappa: float,
    rng: np.random.Generator,
    *,
    cap: float | None = None,
) -> Part:
    r"""What the keys contribute, by sampling: the numerator :math:`\tilde D^{-1}AS^\top SV` at the level
    :math:`\ln\tilde d_i`, where the row sums are 1.

    The arguments are those of ``approximate_log_row_sums``, and ``V`` (n_k, c); as many columns are sampled
    for the product, by ``row_norm_sample``, from all keys: the mask serves the row sums alone. Cost: that of
    the row sums, n m (d + c) multiply-adds and n m exponentials.
    """
    checked_shapes(Q, K, V)
    xp = namespace(Q, K, V)
    levels = approximate_log_row_sums(Q, K, mask, m, kappa, rng, cap=cap)
    index, weights = row_norm_sample(V, m, rng)
    exponentials = xp.exp(Q @ xp.take(K, index, axis=0).T - levels[:, None])
    return Part(exponentials @ (weights[:, None] * xp.take(V, index, axis=0)), xp.ones_like(levels), levels)


def hyper_attention(
    Q: Array, K: Array, V: Array, hash: Hash, block: int, m: int, kappa: float, rng: np.random.Generator
) -> Array:
    r"""Attention (n, c) in near-linear time: :math:`\tilde D^{-1}AS^\top SV` with a mask of ``block`` keys a
    query from ``sorted_lsh_mask``.

    ``Q`` (n, d), ``K`` (n_k, d), ``V`` (n_k, c). See ``hyper_part`` for the rest, and
    ``touchstone.attention.sorted_blocks`` for the variant that is fast in practice.
    """
    checked_shapes(Q, K, V)
    return hyper_part(Q, K, V, sorted_lsh_mask(Q, K, hash, block), m, kappa, rng).attention()


def _check_samples(m: int) -> None:
    if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 1:
        raise ValueError(f"m={m!r}: expected an integer >= 1")
