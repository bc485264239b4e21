"""The noise of one answer from dyadic trees, in its exact law, without building a tree.

A query adds up the noise of the nodes that it reads, as many of them as binary digits say. A sum of k normal
draws is one of √k times the scale; a sum of k Laplace draws is the difference of two Gamma(k) draws. So an
answer's noise costs a draw a feature at any number of records. Answers drawn here are independent of one
another; those of one tree share nodes, which does not change the law of any single answer.

Source: cross-attention-dp, C4; Kotz, Kozubowski and Podgórski 2001, section 2.2 (Laplace as a difference).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from touchstone.arrays import as_array_like, to_host
from touchstone.privacy.dyadic_tree import feature_bounds, leaf_of, nodes_read, require_depth, require_law

Array = Any


def read_noise(
    y: Array, depth: int, scales: Any, law: str, draws: int, rng: np.random.Generator, *, bounds: Any = 1.0
) -> Array:
    """Noise (draws, m, c) of ``sum_f y_f (before(y_f) + after(y_f))`` for queries ``y`` (m, r).

    ``before`` and ``after`` are the two sums of ``DyadicTree.prefix`` of one array a column, whose nodes
    carry noise of ``scales`` (c, r) of the ``law`` (``"laplace"`` or ``"gaussian"``); ``bounds`` as there.
    Raises ``ValueError`` for an unknown law or scales that do not fit. Cost: draws × m × c × r draws (two for
    Laplace).
    """
    require_law(law)
    depth, limits = require_depth(depth), feature_bounds(bounds, y.shape[-1])
    scales = np.asarray(to_host(scales), dtype=float)
    if y.ndim != 2 or scales.ndim != 2 or scales.shape[1] != y.shape[1]:
        raise ValueError(
            f"y of shape {tuple(y.shape)} and scales of shape {scales.shape}: expected (m, r) and (c, r)"
        )
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
        raise ValueError(f"draws={draws!r}: expected an integer >= 1")
    leaf = to_host(leaf_of(y, depth, limits))
    nodes = nodes_read(leaf, depth) + nodes_read(2**depth - leaf, depth)
    shape = (draws, y.shape[0], scales.shape[0], y.shape[1])
    k = np.broadcast_to(nodes[:, None, :], shape)
    if law == "laplace":
        unit = rng.standard_gamma(k) - rng.standard_gamma(k)
    else:
        unit = np.sqrt(k) * rng.standard_normal(shape)
    return as_array_like(np.sum(unit * scales * to_host(y)[:, None, :], axis=-1), y)
