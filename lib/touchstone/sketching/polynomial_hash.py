r"""Hash functions with limited independence: random polynomials over a prime field.

Streaming algorithms cannot store a random function, and need none: they need that few values at a time are
independent, which a polynomial of small degree with random coefficients gives in a handful of words.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from touchstone.arrays import as_array_like, block_factor, extremes, holds_data, map_rows, namespace
from touchstone.sketching.operator import checked_sizes

Array = Any

HASHES_PER_BLOCK = 1 << 15
"""Items times functions evaluated at a time: passes over 256 KiB, within the cache of a core."""

BITS = 31

PRIME = (1 << BITS) - 1
"""The field: the largest prime whose residues have products below 2^63."""


def polynomial_hash(
    independence: int, buckets: int, rng: np.random.Generator, functions: int = 1
) -> PolynomialHash:
    r"""Random functions from the integers in [0, 2^31 - 1) to ``buckets`` numbers, k-wise independent each.

    :math:`h(x)=\lfloor B\,(c_0+c_1x+\dots+c_{k-1}x^{k-1}\bmod p)/2^{31}\rfloor` with p = 2^31 - 1, k =
    ``independence`` and B = ``buckets`` <= 2^31: the residues of any k different items are independent and
    uniform, so a bucket has probability 1/B up to a relative B / 2^31. The ``functions`` are independent.

    Cost: k ``functions`` numbers to hold. Raises ``ValueError`` for sizes out of range, ``TypeError`` for an
    ``rng`` that is no generator. Source: M. Wegman, L. Carter, *New hash functions and their use in
    authentication and set equality* (1981); residual-error-sketch, shared routines.
    """
    independence, buckets, functions = checked_sizes(
        rng, independence=independence, buckets=buckets, functions=functions
    )
    if buckets > 1 << BITS:
        raise ValueError(f"buckets={buckets!r}: expected at most {1 << BITS}")
    return PolynomialHash(rng.integers(0, PRIME, (independence, functions)), buckets)


class PolynomialHash:
    """What ``polynomial_hash`` returns.

    ``coefficients`` (k, functions) are residues on the host, int64, the constant ones first.
    """

    def __init__(self, coefficients: np.ndarray, buckets: int) -> None:
        self.coefficients, self.buckets = coefficients, buckets

    def keys(self, items: Array) -> Array:
        """The buckets of ``items`` (m,), integers in [0, 2^31 - 1): int64 (functions, m) below ``buckets``.

        Cost: for each item and function 5 (k - 1) + 2 operations. Raises ``TypeError`` unless ``items`` holds
        integers, ``ValueError`` for one out of range or another number of axes.
        """
        return self.keys_of(checked_items(items))

    def keys_of(self, items: Array) -> Array:
        """``keys`` of ``checked_items``, which several calls then share."""
        coefficients = as_array_like(np.ascontiguousarray(self.coefficients.T), items)
        block = max(1, HASHES_PER_BLOCK * block_factor(items) // max(1, items.shape[0]))
        return map_rows(lambda c: self._keys(c, items), coefficients, block=block)

    def _keys(self, c: Array, items: Array) -> Array:
        """Those of the functions whose coefficients are the rows of ``c``."""
        value = c[:, -1:]
        for i in range(c.shape[1] - 2, -1, -1):
            value = value * items + c[:, i : i + 1]  # below 2^62
            value = value - (value // PRIME) * PRIME  # what % gives, in half the time
        keys = (value * self.buckets) >> BITS
        return namespace(items).broadcast_to(keys, (c.shape[0], items.shape[0]))  # a constant, so far


def checked_items(items: Array) -> Array:
    """``items`` (m,) as int64. Raises as ``PolynomialHash.keys`` does."""
    xp = namespace(items)
    if items.ndim != 1:
        raise ValueError(f"items of shape {tuple(items.shape)}: expected one axis")
    if not xp.isdtype(items.dtype, "integral"):
        raise TypeError(f"items of dtype {items.dtype}: expected integers")
    if holds_data(items) and 0 not in items.shape:
        least, most = extremes(items)
        if not 0 <= least <= most < PRIME:
            raise ValueError(f"items from {least:.0f} to {most:.0f}: expected integers in [0, {PRIME})")
    return xp.astype(items, xp.int64, copy=False)
