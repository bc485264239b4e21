r"""Power attention: queries weigh keys by :math:`|\langle q,k\rangle|^p` in place of the exponential."""

from __future__ import annotations

from typing import Any

from touchstone.arrays import block_factor, map_rows, namespace
from touchstone.functions.monomials import symmetric_power
from touchstone.linalg.lewis import check_power

Array = Any

SCORES_PER_BLOCK = 1 << 19
"""Scores that the default row block holds at a time: 4 MiB in float64, near the cache.

On a GPU ``touchstone.arrays.block_factor`` times as many."""


def power_attention(
    Q: Array, K: Array, V: Array, p: float, *, block: int | None = None, workers: int = 1
) -> Array:
    r"""Every query's average of the values, weighted by :math:`|\langle q,k\rangle|^p`.

    ``Q`` (n, d), ``K`` (m, d), ``V`` (m, c), real floating; p > 0. Returns (n, c). A query orthogonal to
    every key gets a row of zeros. Neither Q nor K has a scale: the weights do not change when either is
    multiplied by a number. Rows are processed ``block`` queries at a time by ``workers`` threads
    (``touchstone.arrays.map_rows``); each holds a few arrays of ``block`` × m.

    Cost: n m (d + c) multiply-adds, and for each pair a division, an absolute value, a maximum, a sum and a
    power. Raises ``ValueError`` for shapes that do not fit, no keys, a p that is not positive and finite, a
    block or worker count below 1; ``TypeError`` for arrays that are not real floating or of different
    libraries. Source: lev-attention, setting.
    """
    _check(Q, K, p)
    namespace(Q, V)
    if V.ndim != 2 or V.shape[0] != K.shape[0]:
        raise ValueError(
            f"V of shape {tuple(V.shape)}: expected ({K.shape[0]}, columns), one row for each key"
        )
    _check_floating("V", V)

    def rows(Q: Array) -> Array:
        weights, total = _weights(Q, K, p)
        return (weights @ V) / total

    return map_rows(rows, Q, block=default_block(Q, K.shape[0], block), workers=workers)


def power_attention_weights(Q: Array, K: Array, p: float) -> Array:
    """The (n, m) matrix of weights at once; rows sum to 1 (or are zero, for a query orthogonal to all keys).

    Arguments, errors and cost are those of ``power_attention`` without the values.
    """
    _check(Q, K, p)
    weights, total = _weights(Q, K, p)
    return weights / total


def power_normalisers(Q: Array, K: Array, p: float, *, block: int | None = None, workers: int = 1) -> Array:
    r""":math:`\sum_l|\langle q,k_l\rangle|^p` for every query, (n,).

    For even p no query looks at a key: with :math:`\phi` the symmetric power of degree p/2, of D columns, it
    is :math:`\phi(q)^\top G\phi(q)` with :math:`G=\sum_l\phi(k_l)\phi(k_l)^\top`. The error relative to the
    result is about u :math:`\lVert G\rVert\lVert\phi(q)\rVert^2` over the result: digits go where a query is
    nearly orthogonal to all keys. Other p take every pair.

    Cost in multiply-adds: (n + m) D^2 + n D for even p, n m d for others. Powers beyond the range of the
    dtype are infinite, or 0. Errors as for ``power_attention``. Source: lev-attention, setting.
    """
    xp = _check(Q, K, p)
    block = default_block(Q, K.shape[0], block)
    if p % 2 != 0:

        def over_keys(Q: Array) -> Array:
            return xp.sum(power(xp.abs(Q @ xp.matrix_transpose(K)), p), axis=1)

        return map_rows(over_keys, Q, block=block, workers=workers)
    degree = int(p) // 2

    def gram(K: Array) -> Array:
        features = K if degree == 1 else symmetric_power(K, degree)
        return xp.matrix_transpose(features) @ features

    G = map_rows(gram, K, block=block, reduce="sum", workers=workers)

    def form(Q: Array) -> Array:
        features = Q if degree == 1 else symmetric_power(Q, degree)
        return xp.vecdot(features @ G, features)

    return map_rows(form, Q, block=block, workers=workers)


def power(x: Array, p: float) -> Array:
    """``x`` to the power ``p``, by squaring while ``p`` is even: much faster than the general power."""
    while p % 2 == 0:
        x, p = x * x, p / 2
    return x if p == 1 else x**p


def default_block(Q: Array, keys: int, block: int | None) -> int:
    """``block``, or as many queries as ``SCORES_PER_BLOCK`` scores allow, 64 at least."""
    return max(64, SCORES_PER_BLOCK * block_factor(Q) // max(keys, 1)) if block is None else block


def _weights(Q: Array, K: Array, p: float) -> tuple[Array, Array]:
    """Weights relative to each query's largest, and their sums (n, 1), 1 where all weights are 0."""
    xp = namespace(Q, K)
    sizes = xp.abs(Q @ xp.matrix_transpose(K))
    largest = xp.max(sizes, axis=1, keepdims=True)
    weights = power(sizes / xp.where(largest > 0, largest, xp.ones_like(largest)), p)
    total = xp.sum(weights, axis=1, keepdims=True)
    return weights, xp.where(largest > 0, total, xp.ones_like(total))


def _check(Q: Array, K: Array, p: float) -> Any:
    check_power(p)
    xp = namespace(Q, K)
    for name, x in (("Q", Q), ("K", K)):
        if x.ndim != 2:
            raise ValueError(f"{name} of shape {tuple(x.shape)}: expected two dimensions, (rows, features)")
        _check_floating(name, x)
    if Q.shape[1] != K.shape[1] or Q.shape[1] < 1:
        raise ValueError(
            f"Q of shape {tuple(Q.shape)} and K of shape {tuple(K.shape)}: expected equal numbers of features"
        )
    if K.shape[0] == 0:
        raise ValueError(f"K of shape {tuple(K.shape)}: expected at least one key")
    return xp


def _check_floating(name: str, x: Array) -> None:
    if not namespace(x).isdtype(x.dtype, "real floating"):
        raise TypeError(f"{name} of dtype {x.dtype}: expected real floating numbers")
