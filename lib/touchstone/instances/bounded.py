"""Attention instances with bounded entries that attain the extreme logits."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from touchstone.arrays import as_array_like

Array = Any


def bounded_entries(
    n: int, d: int, B: float, rng: np.random.Generator, *, planted: bool = True, like: Any = np
) -> tuple[Array, Array, Array]:
    r"""``Q, K, V``, each (n, d), with entries uniform in [-B, B].

    A uniform instance stays far from the extreme inner products :math:`\pm dB^2`, so a bound on the
    worst logit would not be tested by it. ``planted`` overwrites the first rows of ``Q`` and of ``K``
    (never of ``V``): with all :math:`2^d` sign patterns times B when there are at most 16 of them and they
    fit into n rows, and with the all-plus and the all-minus row otherwise. From two rows on both extremes
    then occur; a single row holds the upper one alone.

    The numbers are drawn on the host in float64 and placed like ``like`` (an array or a namespace), where
    a narrower dtype rounds them: an entry may then exceed B by half a unit in the last place.
    Raises ``ValueError`` unless n, d >= 1 and B is finite and >= 0. Source: bounded-entries-attention, C1.
    """
    for name, size in (("n", n), ("d", d)):
        if not size >= 1:
            raise ValueError(f"{name}={size!r}: expected an integer >= 1")
    if not (math.isfinite(B) and B >= 0):
        raise ValueError(f"B={B!r}: expected a finite number >= 0")
    Q, K, V = (rng.uniform(-B, B, (n, d)) for _ in range(3))
    if planted:
        rows = B * _extreme_signs(n, d)
        Q[: len(rows)] = rows
        K[: len(rows)] = rows
    return as_array_like(Q, like), as_array_like(K, like), as_array_like(V, like)


def _extreme_signs(n: int, d: int) -> np.ndarray:
    """At most n and at most 16 rows of signs, all-plus first."""
    if d <= 4 and 2**d <= n:
        return np.array(list(itertools.product((1.0, -1.0), repeat=d)))
    return np.array([[1.0], [-1.0]])[:n] * np.ones(d)
