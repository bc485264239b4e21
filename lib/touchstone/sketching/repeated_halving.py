r"""Leverage scores of many rows from few: nested random halves, each scored by a sample of the one before."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from touchstone.arrays import Array, namespace
from touchstone.sketching.sampling import poisson_sample

ROWS_PER_COLUMN = 40
"""The recursion starts from a half of at least this many rows for each column, all of which are kept."""


@dataclass(frozen=True)
class HalvingLevel:
    """One level: ``rows`` (m,) the indices of the half; ``scores`` (m,) of its rows, in [0, 1]; ``sampled``,
    the number of rows that were taken from it, 0 at the last level, whose scores are the result."""

    rows: Array
    scores: Array
    sampled: int


def repeated_halving(
    A: Array, oversample: float, rng: np.random.Generator, *, least: int | None = None, rtol: float = 1e-12
) -> tuple[Array, list[HalvingLevel]]:
    r"""Overestimates (n,) of the leverage scores of the rows of ``A`` (n, d), and the levels that led there.

    Random nested halves :math:`I_0\subset I_1\subset\dots\subset I_L=[n]`, :math:`|I_0|` at least ``least``
    (``ROWS_PER_COLUMN`` d by default) and less than twice as much. From the sample
    :math:`B_{\ell-1}` every row of :math:`I_\ell` gets the score
    :math:`\tilde\tau_i=\min(1,a_i^\top(B_{\ell-1}^\top B_{\ell-1})^+a_i)`, or 1 when it lies outside the row
    space of :math:`B_{\ell-1}` (by more than 1e-9 of its length); row i then goes into :math:`B_\ell` with
    probability :math:`p_i=\min(1,\mathrm{oversample}\,\tilde\tau_i)`, divided by :math:`\sqrt{p_i}`.
    :math:`B_0` is the whole of :math:`I_0`. With ``oversample`` of the order of ln d the scores are at least
    a constant times the true ones, and their sum is O(d), with high probability.

    ``rtol``: singular values of a sample below ``rtol`` times the largest count as zero. Scores come from the
    singular value decomposition of the sample, not from its Gram matrix, so that a condition number of 1e6
    costs six digits and not twelve.

    With n rows at most ``least`` there is one level, with the exact scores. Cost: at each level a
    decomposition of a sample of O(d ln d) rows and 2 |I| d^2 multiply-adds; 4 n d^2 in all. Raises
    ``ValueError`` for an ``A`` that is not a matrix, an ``oversample`` that is not positive or ``least`` < 1;
    ``TypeError`` unless ``A`` is real floating.

    Source: quantum-linear-regression, setting (after Apers and Gribling); M. Cohen and others, *Uniform
    sampling for matrix approximation* (2015).
    """
    xp = namespace(A)
    if A.ndim != 2 or A.shape[0] < 1 or A.shape[1] < 1:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected a matrix with rows and columns")
    if not xp.isdtype(A.dtype, "real floating"):
        raise TypeError(f"A of dtype {A.dtype}: expected real floating numbers")
    if not (math.isfinite(oversample) and oversample > 0):
        raise ValueError(f"oversample={oversample!r}: expected a positive number")
    n, d = A.shape
    least = ROWS_PER_COLUMN * d if least is None else least
    if not least >= 1:
        raise ValueError(f"least={least!r}: expected a number of rows >= 1")
    order = xp.asarray(rng.permutation(n))
    halvings = max(0, math.floor(math.log2(n / least)))
    sizes = [n >> k for k in range(halvings, -1, -1)]
    sample = xp.take(A, order[: sizes[0]], axis=0)
    if not halvings:
        scores = _scores(A, sample, rtol)
        return scores, [HalvingLevel(xp.arange(n), scores, 0)]
    levels = []
    for size in sizes[1:-1]:
        rows = order[:size]
        half = xp.take(A, rows, axis=0)
        scores = _scores(half, sample, rtol)
        index, weights = poisson_sample(_at_most_one(oversample * scores), rng)
        sample = xp.take(half, index, axis=0) * xp.sqrt(weights)[:, None]
        levels.append(HalvingLevel(rows, scores, int(index.shape[0])))
    scores = _scores(A, sample, rtol)
    return scores, [*levels, HalvingLevel(xp.arange(n), scores, 0)]


def _scores(A: Array, sample: Array, rtol: float) -> Array:
    """Scores of the rows of ``A`` against ``sample``; 1 outside its row space."""
    xp = namespace(A)
    if sample.shape[0] == 0:  # nothing lies in the row space of no rows, but zero
        return xp.astype(xp.vecdot(A, A) > 0, A.dtype)
    _, values, basis = xp.linalg.svd(sample, full_matrices=False)
    rank = int(xp.count_nonzero(values > rtol * xp.max(values)))
    basis = basis[:rank, :]
    coordinates = A @ basis.T
    outside = A - coordinates @ basis
    scores = xp.sum((coordinates / values[:rank]) ** 2, axis=1)
    alien = xp.vecdot(outside, outside) > 1e-18 * xp.vecdot(A, A)
    return xp.where(alien, xp.ones_like(scores), _at_most_one(scores))


def _at_most_one(x: Array) -> Array:
    xp = namespace(x)
    return xp.minimum(x, xp.ones_like(x))
