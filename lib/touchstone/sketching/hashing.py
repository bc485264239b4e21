"""Locality-sensitive hash functions: near points share a key more often than far ones.

A family has ``keys(X)``, the key of every row, and ``collision(x, y)``, the probability over the draw that
two points share one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from touchstone.arrays import extremes, holds_data, namespace, normal

Array = Any

MOST_BITS = 52
"""Bits of a key: as many as a sum of powers of two in float64 holds exactly."""


class HyperplaneHash:
    r"""Random hyperplanes through the origin: bit i of a key tells on which side of plane i a point lies.

    ``normals`` (d, tables · bits) are the Gaussian normals, those of one table after those of another. Points
    at the angle θ share the key of a table with probability :math:`(1-\theta/\pi)^{bits}`.
    """

    def __init__(self, normals: Array, bits: int, tables: int | None) -> None:
        self.normals, self.bits, self.tables = normals, bits, tables

    def __repr__(self) -> str:
        tables = "" if self.tables is None else f", {self.tables} tables"
        return f"HyperplaneHash({self.normals.shape[0]} features, {self.bits} bits{tables})"

    def keys(self, X: Array) -> Array:
        """The key of each row of ``X`` (n, d): (n,) int64, or (n, tables) where there are several.

        Bit i, of weight 2^i, is set where the product of the row with normal i is positive. A zero row has
        the key 0, and keys do not depend on the length of a row.

        Cost: n d tables · bits multiply-adds, as many comparisons and moves as there are bits, and n tables ·
        bits multiply-adds to put them together. Raises ``ValueError`` for another number of features,
        ``TypeError`` unless ``X`` is real floating.
        """
        xp = _checked("X", X, self.normals.shape[0])
        if X.ndim != 2:
            raise ValueError(f"X of shape {tuple(X.shape)}: expected (n, {self.normals.shape[0]})")
        bits = xp.astype(X @ self.normals > 0, xp.float64)
        if self.tables is not None:
            bits = xp.reshape(bits, (X.shape[0], self.tables, self.bits))
        weights = xp.asarray(np.exp2(np.arange(self.bits)))
        return xp.astype(bits @ weights, xp.int64)

    def collision(self, x: Array, y: Array) -> Array:
        r""":math:`(1-\theta/\pi)^{bits}`, θ the angle between ``x`` and ``y``, (..., d) each: (...).

        θ from the half-angle formula, which is accurate at small and at large angles alike. Raises
        ``ValueError`` for another number of features or a point of length 0.
        """
        xp = namespace(x, y)
        unit = []
        for name, z in (("x", x), ("y", y)):
            _checked(name, z, self.normals.shape[0])
            length = xp.linalg.vector_norm(z, axis=-1, keepdims=True)
            if holds_data(length) and not extremes(length)[0] > 0:
                raise ValueError(f"{name} with a point of length 0: expected points that have a direction")
            unit.append(z / length)
        x, y = unit
        apart, along = (xp.linalg.vector_norm(z, axis=-1) for z in (x - y, x + y))
        return (1 - 2 * xp.atan2(apart, along) / math.pi) ** self.bits


def hyperplane_hash(
    d: int, bits: int, rng: np.random.Generator, *, tables: int | None = None, like: Any = np
) -> HyperplaneHash:
    """``bits`` random hyperplanes in ``d`` dimensions: one key a point, or ``tables`` independent ones.

    Normals are standard Gaussian, drawn on the host, and placed like ``like`` (an array or a namespace).
    Hashes from generators in the same state agree in their first bits. Cost: d tables · bits numbers to hold.
    Raises ``ValueError`` for sizes that are not integers >= 1 or more than ``MOST_BITS`` bits.

    Source: hyper-attention, setting; M. Charikar, *Similarity estimation techniques from rounding
    algorithms* (2002).
    """
    for name, size in (("d", d), ("bits", bits), ("tables", 1 if tables is None else tables)):
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"{name}={size!r}: expected an integer >= 1")
    if bits > MOST_BITS:
        raise ValueError(f"bits={bits!r}: expected at most {MOST_BITS}")
    # drawn plane by plane, so that more bits or more tables leave the first ones as they are
    rows = normal(rng, (bits if tables is None else tables * bits, d), like=like)
    return HyperplaneHash(rows.T, int(bits), None if tables is None else int(tables))


def _checked(name: str, X: Array, d: int) -> Any:
    xp = namespace(X)
    if not xp.isdtype(X.dtype, "real floating"):
        raise TypeError(f"{name} of dtype {X.dtype}: expected real floating numbers")
    if X.ndim < 1 or X.shape[-1] != d:
        raise ValueError(f"{name} of shape {tuple(X.shape)}: expected {d} features, those of the hyperplanes")
    return xp
