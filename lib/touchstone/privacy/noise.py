"""Noise of bounded support: truncated normal and truncated Laplace draws, by inverse distribution functions.

One uniform number makes one draw, and the draw rises with it. So one state of the generator gives coupled
noise at two scales or two bounds, which is what comparing mechanisms wants, and nothing is ever rejected, so
the number of uniforms does not depend on what was drawn. Densities and distribution functions are SciPy's
(``truncnorm``, ``laplace``); the privacy curves are in ``touchstone.evidence.privacy_curves``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import erfinv

from touchstone.arrays import as_array_like

Array = Any


def truncated_normal(
    rng: np.random.Generator, shape: Sequence[int] | int, sigma: float, bound: float, *, like: Array
) -> Array:
    """Draws of ``shape`` from N(0, ``sigma``²) conditioned on [−``bound``, ``bound``], placed like ``like``.

    ``sigma`` is the parameter of the law before the truncation; the standard deviation after it is smaller.
    The draw at the uniform u in (−1, 1) is σ √2 erf⁻¹(u erf(bound / (σ √2))), accurate for any ratio of the
    two: from nearly uniform noise to bounds that no draw reaches. Drawn on the host in float64 and moved
    once. Raises ``ValueError`` unless both are finite numbers > 0 and ``rng`` is a generator. Cost: a uniform
    and an inverse error function a draw. Source: john-ellipsoid-dp (noise of the weights), ntk-regression-dp.
    """
    _require(rng, sigma=sigma, bound=bound)
    u = _signed_uniform(rng, shape)
    edge = math.erf(bound / sigma / math.sqrt(2))
    z = sigma * (math.sqrt(2) * erfinv(u * edge))
    return as_array_like(np.clip(z, -bound, bound), like)  # the last bit may pass the bound


def truncated_laplace(
    rng: np.random.Generator, shape: Sequence[int] | int, scale: float, bound: float, *, like: Array
) -> Array:
    """Draws of ``shape`` from the density ∝ exp(−|z|/``scale``) on [−``bound``, ``bound``], placed like
    ``like``.

    The draw at the uniform u in (−1, 1) is −sign(u) scale ln(1 − |u| (1 − exp(−bound/scale))). Otherwise as
    ``truncated_normal``. Source: Geng, Ding, Guo and Kumar 2020 (the law); cross-attention-dp.
    """
    _require(rng, scale=scale, bound=bound)
    u = _signed_uniform(rng, shape)
    z = -scale * np.sign(u) * np.log1p(np.abs(u) * math.expm1(-bound / scale))
    return as_array_like(np.clip(z, -bound, bound), like)


def _signed_uniform(rng: np.random.Generator, shape: Sequence[int] | int) -> np.ndarray:
    # both inverses are infinite at −1 when the bound is so far out that double precision cuts nothing off
    return np.maximum(rng.uniform(-1.0, 1.0, shape), np.nextafter(-1.0, 0.0))


def _require(rng: Any, **numbers: Any) -> None:
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng={rng!r}: expected a numpy.random.Generator")
    for name, value in numbers.items():
        real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not real or not 0 < value < math.inf:
            raise ValueError(f"{name}={value!r}: expected a finite number > 0")
