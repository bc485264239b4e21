"""Attention instances in which every query has one key of its own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from touchstone.arrays import as_array_like
from touchstone.instances.points import uniform_sphere

Array = Any


def planted_pairs(
    n: int, d: int, strength: float, rng: np.random.Generator, *, like: Any = np
) -> tuple[Array, Array, np.ndarray]:
    r"""Queries, keys and partners: :math:`q_i=\text{strength}\cdot k_{\pi(i)}`.

    Keys (n, d) are uniform on the unit sphere and π, ``partner`` (n,) on the host, is a uniform permutation.
    The logit of a query and its partner is ``strength``, all others have mean 0 and variance
    ``strength``²/d. With ``strength`` = γ ln n the weight of the partner is about :math:`n^{\gamma-1}` while
    the other logits are small.

    Drawn on the host and placed like ``like`` (an array or a namespace). Raises ``ValueError`` unless
    n, d >= 1 and ``strength`` is finite. Source: hyper-attention, Checks (families planted and permutation).
    """
    if not math.isfinite(strength):
        raise ValueError(f"strength={strength!r}: expected a finite number")
    keys = uniform_sphere(n, d, rng)
    partner = rng.permutation(n)
    return as_array_like(strength * keys[partner], like), as_array_like(keys, like), partner
