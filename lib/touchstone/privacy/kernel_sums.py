"""Kernel-weighted sums of values as linear statistics of features, and the answer to a query from them.

With ``<phi(q), phi(k)>`` in place of the exponential kernel, attention needs of keys and values only
``N_c = sum_j V_jc phi(k_j)`` and ``Z = sum_j phi(k_j)``. Whoever releases these sums with noise, as they are
or node by node through dyadic trees, answers any number of queries from the release.

Source: cross-attention-dp, "Sums needed".
"""

from __future__ import annotations

from typing import Any

from touchstone.arrays import namespace

Array = Any


def kernel_sums(features: Array, V: Array) -> tuple[Array, Array]:
    """``N`` (c, r), the sum of value times feature, and ``Z`` (r,), that of the features.

    ``features`` (n, r), ``V`` (n, c). Sums of row blocks add up (``touchstone.arrays.map_rows`` with
    ``reduce="sum"``), so that the features of all records need never be held at once. Cost: ``n r c``
    multiply-adds and ``n r`` additions. Raises ``ValueError`` for shapes that do not fit.
    """
    if features.ndim != 2 or V.ndim != 2 or features.shape[0] != V.shape[0]:
        raise ValueError(
            f"features of shape {tuple(features.shape)} and V of shape {tuple(V.shape)}: expected (n, r) and "
            "(n, c)"
        )
    xp = namespace(features, V)
    return xp.matrix_transpose(V) @ features, xp.sum(features, axis=0)


def answer(feature: Array, numerator: Array, denominator: Array) -> Array:
    """``<feature, numerator_c> / <feature, denominator>`` (m, c) for the queries' features (m, r).

    ``numerator`` (c, r) and ``denominator`` (r,) are the same for all queries (a flat release); or (c, m, r)
    and (m, r) where each query reads its own (a release by trees). The denominator may be near 0 or negative
    where noise outweighs it: nothing is clipped, zero divides to an infinity or NaN with the namespace's
    usual warning. Cost: ``m r (c + 1)`` multiply-adds. Raises ``ValueError`` for shapes that do not fit.
    """
    fits = (
        feature.ndim == 2
        and denominator.ndim in (1, 2)
        and numerator.ndim == denominator.ndim + 1
        and numerator.shape[1:] == denominator.shape
        and denominator.shape in (feature.shape, feature.shape[1:])
    )
    if not fits:
        raise ValueError(
            f"feature {tuple(feature.shape)}, numerator {tuple(numerator.shape)}, denominator "
            f"{tuple(denominator.shape)}: expected (m, r), (c, r), (r,) or (m, r), (c, m, r), (m, r)"
        )
    xp = namespace(feature, numerator, denominator)
    if denominator.ndim == 1:
        return (feature @ xp.matrix_transpose(numerator)) / (feature @ denominator)[:, None]
    top = xp.matrix_transpose(xp.sum(feature * numerator, axis=-1))
    return top / xp.sum(feature * denominator, axis=-1)[:, None]
