r"""Attention over a set of keys in parts: each part is reduced by itself, then any two are joined.

Logits are :math:`\langle q_i,k_j\rangle`: multiply Q by another scale beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from touchstone.arrays import map_rows, namespace

Array = Any


class Part(NamedTuple):
    r"""What some of the keys contribute: for each query i, relative to a level :math:`\mu_i` of its own,
    ``numerator`` (n, c) :math:`=\sum_je^{z_{ij}-\mu_i}V_j`, ``sums`` (n,) :math:`=\sum_je^{z_{ij}-\mu_i}` and
    ``levels`` (n,) :math:`=\mu_i`, usually the largest logit."""

    numerator: Array
    sums: Array
    levels: Array

    def attention(self) -> Array:
        """The weighted mean of the values, (n, c), as if there were no other keys."""
        return self.numerator / self.sums[:, None]


def exact_part(Q: Array, K: Array, V: Array, *, causal: bool = False) -> Part:
    """All of ``K`` (m, d) and ``V`` (m, c), seen by ``Q`` (n, d); with ``causal`` query i sees keys 0 .. i.

    Holds all n m logits at once. Cost: n m (d + c) multiply-adds and, for each pair, one exponential, one
    subtraction, one addition and one comparison; causal order adds two comparisons a pair.
    """
    checked_shapes(Q, K, V)
    xp = namespace(Q, K, V)
    logits = Q @ xp.matrix_transpose(K)
    if causal:
        rows, columns = (xp.arange(len_, device=array_api_compat.device(Q)) for len_ in logits.shape)
        logits = xp.where(columns[None, :] <= rows[:, None], logits, -xp.inf)
    levels = xp.max(logits, axis=1, keepdims=True)
    exponentials = xp.exp(logits - levels)
    return Part(exponentials @ V, xp.sum(exponentials, axis=1), levels[:, 0])


def join_parts(a: Part, b: Part) -> Part:
    """The part of the keys of ``a`` and those of ``b`` together, for the same queries.

    Cost: for each query two exponentials, and 3 (c + 1) operations beside.
    """
    xp = namespace(a.numerator, b.numerator)
    levels = xp.maximum(a.levels, b.levels)
    of_a, of_b = xp.exp(a.levels - levels), xp.exp(b.levels - levels)
    return Part(
        of_a[:, None] * a.numerator + of_b[:, None] * b.numerator, of_a * a.sums + of_b * b.sums, levels
    )


def causal_by_halves(
    Q: Array,
    K: Array,
    V: Array,
    leaf: int,
    inner: Callable[[Array, Array, Array], Part],
    *,
    join: Callable[[Part, Part], Part] = join_parts,
) -> Array:
    r"""Causal attention from attention without a mask: query i sees keys 0 .. i.

    The causal triangle of n rows is two triangles of n/2 and a full square of n/2: the later half of the
    queries before the earlier half of the keys. ``inner(Q, K, V)`` gives the ``Part`` of such a square,
    exactly or not; triangles of at most ``leaf`` rows are exact. The halving is run from the leaves upwards,
    so that every square but the last in its level has ``leaf`` 2^k rows and columns, whatever n is.

    ``Q``, ``K`` (n, d), ``V`` (n, c); returns (n, c). Cost: n/leaf exact triangles, one call of ``inner`` for
    each pair of neighbours on each of ceil(log2(n / leaf)) levels, and as many joins of rows. Raises
    ``ValueError`` for shapes that do not fit or a leaf that is no integer >= 1, ``TypeError`` unless the
    arrays are real floating.

    Source: hyper-attention, setting (causal masking).
    """
    checked_shapes(Q, K, V)
    if Q.shape[0] != K.shape[0]:
        raise ValueError(f"K of shape {tuple(K.shape)}: expected {Q.shape[0]} rows, as Q has")
    if isinstance(leaf, bool) or not isinstance(leaf, int | np.integer) or leaf < 1:
        raise ValueError(f"leaf={leaf!r}: expected an integer >= 1")

    def triangle(Q: Array, K: Array, V: Array) -> Part:
        return exact_part(Q, K, V, causal=True)

    part = Part(*map_rows(triangle, Q, K, V, block=leaf))
    half = int(leaf)
    while half < Q.shape[0]:

        def pair(Q: Array, K: Array, V: Array, *done: Array, half: int = half) -> tuple[Array, ...]:
            if Q.shape[0] <= half:  # an earlier half without a later one
                return done
            earlier, later = (Part(*(x[at, ...] for x in done)) for at in _halves(half))
            square = inner(Q[half:, :], K[:half, :], V[:half, :])
            xp = namespace(Q)
            return tuple(xp.concat([x, y], axis=0) for x, y in zip(earlier, join(later, square), strict=True))

        part = Part(*map_rows(pair, Q, K, V, *part, block=2 * half))
        half *= 2
    return part.attention()


def checked_shapes(Q: Array, K: Array, V: Array) -> None:
    """Raise unless ``Q`` (n, d), ``K`` (m, d) and ``V`` (m, c) are real floating, with a query and a key."""
    xp = namespace(Q, K, V)
    for name, x in (("Q", Q), ("K", K), ("V", V)):
        if x.ndim != 2 or x.shape[0] < 1:
            raise ValueError(f"{name} of shape {tuple(x.shape)}: expected a matrix with at least one row")
        if not xp.isdtype(x.dtype, "real floating"):
            raise TypeError(f"{name} of dtype {x.dtype}: expected real floating numbers")
    if Q.shape[1] != K.shape[1]:
        raise ValueError(f"K of shape {tuple(K.shape)}: expected {Q.shape[1]} features, as Q has")
    if V.shape[0] != K.shape[0]:
        raise ValueError(f"V of shape {tuple(V.shape)}: expected {K.shape[0]} rows, one for each key")


def _halves(half: int) -> tuple[slice, slice]:
    return slice(0, half), slice(half, None)
