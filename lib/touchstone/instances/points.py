"""Point sets: rows spread over the unit sphere."""

from __future__ import annotations

from typing import Any

import numpy as np

from touchstone.arrays import as_array_like

Array = Any


def uniform_sphere(n: int, d: int, rng: np.random.Generator, *, like: Any = np) -> Array:
    """``n`` independent rows, uniform on the unit sphere of ``d`` dimensions: (n, d).

    A Gaussian vector over its length. Drawn on the host in float64 and placed like ``like`` (an array or a
    namespace). Raises ``ValueError`` unless n, d >= 1. Cost: n d normal draws.

    Source: ntk-regression-dp, Checks (default instance).
    """
    for name, size in (("n", n), ("d", d)):
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"{name}={size!r}: expected an integer >= 1")
    X = rng.standard_normal((n, d))
    return as_array_like(X / np.linalg.norm(X, axis=1, keepdims=True), like)
