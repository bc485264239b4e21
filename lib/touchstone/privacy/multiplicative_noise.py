r"""What multiplicative noise of bounded support gives away, in closed form.

A vector of positive numbers :math:`\ell` is released as :math:`y_i=\ell_i(1+z_i)`, with independent
:math:`z_i\sim N(0,\sigma^2)` conditioned on :math:`[-b,b]`, b < 1. On a neighbouring input the numbers are
:math:`\ell'_i`. Two things can be computed exactly: the privacy loss of a release,
:math:`\ln(p(y)/p'(y))`, and the probability that y lies where the neighbour's release never does: no
:math:`\epsilon` pays for that, so :math:`\delta` is at least as large.

Source: john-ellipsoid-dp, the noise of the weights; the closed forms are one line each from the density.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import log_ndtr

from touchstone.arrays import namespace, to_host

Array = Any


def multiplicative_loss(values: Array, neighbour: Array, noise: Array, sigma: float, bound: float) -> Array:
    r"""The privacy loss (...) of the release ``values`` (1 + ``noise``), summed over the last axis (..., n).

    :math:`\sum_i[(z_i'^2-z_i^2)/(2\sigma^2)+\ln(\ell'_i/\ell_i)]` with
    :math:`z_i'=\ell_i(1+z_i)/\ell'_i-1`; infinite when some :math:`|z'_i|>b`. ``values``, ``neighbour`` > 0
    and ``noise`` broadcast. The sign is that of runs on ``values``: for runs on the neighbour swap the two
    and negate. Absolute rounding error about 1e-16 n / σ². Raises ``ValueError`` for a bad ``sigma`` or
    ``bound``. Cost: O(n) a release.
    """
    _require_law(sigma, bound)
    xp = namespace(values, neighbour, noise)
    ratio = values / neighbour
    other = ratio * (1 + noise) - 1
    squares = xp.vecdot(other, other) - xp.vecdot(noise, noise)
    loss = squares / (2 * sigma * sigma) - xp.sum(xp.log(ratio), axis=-1)
    # what one side can release, the last bit of a product may put just outside
    edge = bound * (1 + 4 * xp.finfo(loss.dtype).eps)
    outside = (xp.max(other, axis=-1) > edge) | (xp.min(other, axis=-1) < -edge)
    return xp.where(outside, xp.asarray(math.inf, dtype=loss.dtype), loss)


def truncation_leak(values: Any, neighbour: Any, sigma: float, bound: float) -> np.ndarray:
    r"""The probability (...) that a release of ``values`` (..., n) lies outside the neighbour's support.

    :math:`1-\prod_i(1-p_i)`, :math:`p_i=\Pr[z>(1+b)\ell'_i/\ell_i-1]+\Pr[z<(1-b)\ell'_i/\ell_i-1]`, accurate
    in relative terms down to the smallest number there is. Computed on the host. Raises ``ValueError`` for
    a bad ``sigma`` or ``bound`` and for values that are not positive. Cost: four special functions an entry.
    """
    _require_law(sigma, bound)
    values, neighbour = to_host(values), to_host(neighbour)
    for name, entries in (("values", values), ("neighbour", neighbour)):
        if not np.all((entries > 0) & np.isfinite(entries)):
            raise ValueError(f"{name}: expected finite numbers > 0")
    shift = (neighbour - values) / values
    above = _tail(bound + (1 + bound) * shift, sigma, bound)
    below = _tail(bound - (1 - bound) * shift, sigma, bound)
    with np.errstate(divide="ignore"):  # a certain leak: log 0
        return 0.0 - np.expm1(np.sum(np.log1p(-np.minimum(above + below, 1.0)), axis=-1))


def _tail(edge: np.ndarray, sigma: float, bound: float) -> np.ndarray:
    """P[z > edge] for the truncated normal law."""
    edge = np.clip(edge, -bound, bound)
    far, last = log_ndtr(-edge / sigma), log_ndtr(-bound / sigma)
    return -np.exp(far) * np.expm1(last - far) / math.erf(bound / sigma / math.sqrt(2))


def _require_law(sigma: float, bound: float) -> None:
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma={sigma!r}: expected a finite number > 0")
    if not 0 < bound < 1:
        raise ValueError(f"bound={bound!r}: expected a number in (0, 1), so that a release keeps its sign")
