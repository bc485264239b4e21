r"""One step of the John iteration in nearly the time it takes to read A: sampled Gram matrix, sketched norms.

The exact step costs :math:`nd^2`. Here leverage scores are first estimated well enough to sample rows by, the
sampled rows give a Gram matrix :math:`\widetilde M`, and the norms
:math:`\lVert\widetilde M^{-1/2}\sqrt{w_i}a_i\rVert^2` are read off s Gaussian directions.

Source: john-ellipsoid-dp, fast version; Z. Song, X. Yang, Y. Yang and T. Zhou, *Faster algorithm for
structured John ellipsoid computation* (2022).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from touchstone.arrays import namespace, normal
from touchstone.linalg.sparse_rows import SparseRows
from touchstone.sketching.leverage_estimates import estimate_leverage_scores
from touchstone.sketching.sampling import sampled_gram
from touchstone.sketching.sparse_embedding import osnap

Array = Any

NONZEROS = 4
"""Entries in each column of the sparse embedding."""


class SketchSizes(NamedTuple):
    """How large the four random objects of a step are."""

    embedded: int
    """Rows of the sparse embedding."""
    columns: int
    """Gaussian columns for the sampling probabilities."""
    sampled: int
    """Rows of A in the sampled Gram matrix."""
    directions: int
    """Gaussian directions that the norms are read off."""


def sketch_sizes(n: int, d: int, xi: float, delta: float) -> SketchSizes:
    r"""Sizes for a (:math:`1+\xi`)-approximation but for a probability :math:`\delta`, A being (n, d).

    :math:`\max(\lceil4d\ln d\rceil,4d)`, :math:`\lceil8\ln(n/\delta)\rceil`,
    :math:`\lceil8d\ln(nd/\delta)\rceil`, :math:`\lceil4/\xi\rceil`. The orders are those of the source,
    where the sample also carries a factor :math:`\xi^{-2}`; the constants are ours. Raises ``ValueError``
    unless n >= d >= 1 and both numbers lie in (0, 1).
    """
    if not n >= d >= 1:
        raise ValueError(f"n={n!r}, d={d!r}: expected n >= d >= 1")
    for name, value in (("xi", xi), ("delta", delta)):
        if not 0 < value < 1:
            raise ValueError(f"{name}={value!r}: expected a number in (0, 1)")
    return SketchSizes(
        max(math.ceil(4 * d * math.log(d)), 4 * d),
        math.ceil(8 * math.log(n / delta)),
        math.ceil(8 * d * math.log(n * d / delta)),
        math.ceil(4 / xi),
    )


def sketched_scores(A: Array | SparseRows, w: Array, sizes: SketchSizes, rng: np.random.Generator) -> Array:
    r"""Estimates (n,) of the leverage scores :math:`w_ia_i^\top M(w)^{-1}a_i` of A (n, d), from fresh
    randomness.

    :math:`\frac{w_i}s\lVert\Gamma C^{-1}a_i\rVert^2` with :math:`\widetilde M=CC^\top` from
    ``sizes.sampled`` rows, drawn with probability proportional to estimated scores, and :math:`\Gamma`
    (s, d) Gaussian: given the sample, the law is the same for every root of :math:`\widetilde M^{-1}`. An
    estimate is off by a factor :math:`\chi^2_s/s` and by what the sample is off. ``A`` may be
    ``SparseRows``.

    Cost with k entries a row (k = d if dense): n k (4 + q + s) multiply-adds for the three passes over A,
    q and s the Gaussian columns and directions, and factorisations of matrices with d columns. Raises
    what ``estimate_leverage_scores`` and ``sampled_gram`` raise, and ``LinAlgError`` when the sample does
    not span.

    Source: john-ellipsoid-dp, fast version and C5.
    """
    n, d = A.shape
    embedding = osnap(sizes.embedded, n, min(NONZEROS, sizes.embedded), rng, like=w)
    p = estimate_leverage_scores(A, embedding, sizes.columns, rng, weights=w)
    M = sampled_gram(A, w, p, sizes.sampled, rng)
    xp = namespace(w)
    C = xp.linalg.cholesky(M)
    directions = normal(rng, (d, sizes.directions), like=w)
    images = A @ xp.linalg.solve(C.T, directions)
    return w * xp.sum(images * images, axis=1) / sizes.directions
