r"""How degree and rank of a polynomial for the exponential grow, to leading order.

For a relative error of 1/n on [-R, R] with R = ratio · ln n, the Chebyshev degree is gamma · ln n, where
:math:`\gamma\,\mathrm{asinh}(\gamma/\mathrm{ratio})-\sqrt{\gamma^2+\mathrm{ratio}^2}=1+\mathrm{ratio}`:
the largest term of the tail, the Bessel function :math:`I_g(R)` in its uniform expansion, then is
:math:`e^{-R}/n`. Whole degrees and the terms that follow change gamma by O(ln ln n / ln n).

Source: bounded-entries-attention, the degree; derived from DLMF 10.41.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq


def leading_order_degree(ratio: float) -> float:
    """gamma, the limit of ``exp_degree(ratio * ln n, -ln n) / ln n``, for ``ratio`` > 0.

    Raises ``ValueError`` for a ratio that is not positive and finite. Cost: a root by Brent's method.
    """
    _check("ratio", ratio)
    return brentq(
        lambda g: g * math.asinh(g / ratio) - math.hypot(g, ratio) - 1 - ratio, 1e-9, 60 + 20 * ratio
    )


def leading_order_radius(gamma: float) -> float:
    """The ratio at which the degree is ``gamma`` ln n: the inverse of ``leading_order_degree``, at most 1e3.

    Raises ``ValueError`` for a gamma that is not positive and finite, or so large that the ratio is beyond
    1e3. Cost: a root by Brent's method.
    """
    _check("gamma", gamma)
    return brentq(lambda r: gamma * math.asinh(gamma / r) - math.hypot(gamma, r) - 1 - r, 1e-9, 1e3)


def leading_order_exponent(ratio: float, c: float) -> float:
    """The limit of log_n(n · rank) for d = ``c`` ln n features, rank C(d + g, g) and g of the ``ratio``.

    By Stirling's formula 1 + (c + gamma) H(gamma / (c + gamma)) with the natural entropy H. Raises
    ``ValueError`` for numbers that are not positive and finite.
    """
    _check("c", c)
    gamma = leading_order_degree(ratio)
    share = gamma / (c + gamma)
    return 1 - (c + gamma) * (share * math.log(share) + (1 - share) * math.log(1 - share))


def _check(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value!r}: expected a positive finite number")
