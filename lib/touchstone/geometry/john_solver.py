r"""A fast solver for John's ellipsoid: few rows at a time, certified on all of them.

The polytope is :math:`\{x:|a_i^\top x|\le1\}`; the notation is that of
``touchstone.geometry.john_ellipsoid``. The optimum leans on at most d (d + 1) / 2 rows, and usually on
far fewer than there are. So three ideas are put together:

- the *multiplicative update* :math:`w_i\leftarrow w_i(h_i-\beta)/(1-\beta)`, of which the last iterate is
  taken and no mean. Every step with :math:`0\le\beta\le\frac12\min_ih_i` raises det M (Dette, Pepelyshev
  and Zhigljavsky 2008). The largest :math:`\beta` nearly doubles the speed, but lets some components
  oscillate; so now and then a step has :math:`\beta=0`, which extinguishes these;
- *screening*: with :math:`\epsilon=\max_ih_i-1` over a set of rows, none of them with
  :math:`h_i<1+\frac\epsilon2-\frac12\sqrt{\epsilon(4+\epsilon-4/d)}` touches the ellipsoid of that set
  (Harman and Pronzato 2007), and is dropped;
- *working rows*: the update runs on a few rows of large :math:`h_i` only. A pass over all rows then certifies
  :math:`\max_ih_i\le1+\xi`, or brings in the rows that violate it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import lapack, qr

from touchstone.arrays import (
    as_array_like,
    block_factor,
    holds_data,
    map_rows,
    namespace,
    single_threaded_blas,
    to_host,
)
from touchstone.linalg.whitening import whitening

Array = Any

WORKING_ROWS = 10
"""Working rows at the start, and at most as many new ones a pass, for each dimension."""

INNER = 0.7
"""The share of the allowed violation that the working rows are solved to; the rest is for all others."""

SCREENED_EVERY = 8
"""Steps between two screenings of the working rows."""

UNSHIFTED_EVERY = 4
"""Every so many steps one goes without a shift."""

LEAST_WEIGHT = 1e-100
"""Weights do not fall below: denormal numbers are slow, and a weight of 0 could not grow again."""

LEAST_SPAN = 1e-3
"""The least ratio of singular values at which the first working rows are taken as they are."""

ENTRIES_PER_BLOCK = 1 << 16
"""Entries of A that a block of a pass holds at a time."""


class JohnTrace(NamedTuple):
    """How a solution was found, and how good it is."""

    violation: float
    """max h − 1 over all rows at the returned weights: at most the ``xi`` that was asked for."""
    steps: int
    """Multiplicative updates, each on the working rows of its time."""
    passes: int
    """Passes over all rows, the one that chose the first working rows included."""
    screened: int
    """Working rows that were dropped as they provably do not touch the ellipsoid of the others."""
    left: int
    """Working rows at the end; all others have weight 0."""


def john_ellipsoid(
    A: Array, xi: float = 0.01, *, steps: int = 100_000, workers: int = 1
) -> tuple[Array, JohnTrace]:
    r"""Weights (n,) of a :math:`(1+\xi)`-approximation to John's ellipsoid of A (n, d), and how it was found.

    The weights sum to d and :math:`\max_ih_i\le1+\xi`, measured on all rows. So
    :math:`(1+\xi)^{-1/2}E\subseteq P\subseteq\sqrt d\,E` for :math:`E=\{x:x^\top M(w)x\le1\}`, and no
    ellipsoid in P has a larger volume than E. Most weights are 0. The coordinates are made orthonormal
    first, so scaling or mixing the columns of A changes nothing but the last digits. The working rows are
    handled on the host in float64.

    Cost: n d² multiply-adds a pass, usually two to four passes and the first one twice that; O(m d²) a
    step for m working rows, at first ``WORKING_ROWS`` d. Steps go as 1/ξ at worst and hardly grow where
    the contact points stand out; some dozens at ξ = 0.01. ``workers`` threads take blocks of a pass.

    Raises ``ValueError`` unless A is a real (n, d) array of finite entries, with data, of rank d as far
    as its precision can tell, and :math:`10^{-9}\le\xi<1`; ``RuntimeError`` when ``steps`` steps do not
    suffice.

    Source: john-ellipsoid-dp (the last iterate in place of the mean); the head of this module for the parts.
    """
    n, d = _checked(A, xi, steps)
    T = whitening(A, workers=workers)
    if T.shape[1] < d:
        raise ValueError(f"A: expected rank {d}, the number of its columns; its rank is {T.shape[1]}")
    with single_threaded_blas():
        block = max(1, ENTRIES_PER_BLOCK * block_factor(A) // d)
        h = _widths(A, T, block, workers)
        rows = _spanning(A, T, _largest(h, np.arange(n), WORKING_ROWS * d))
        w, done, passes, screened = np.full(len(rows), d / len(rows)), 0, 1, 0
        while True:
            before = len(rows)
            Y = _working(A, T, rows)
            rows, w, root, taken = _solve(Y, rows, w, INNER * xi, steps - done)
            h = _widths(A, T @ as_array_like(root, A), block, workers)
            done, passes, screened = done + taken, passes + 1, screened + before - len(rows)
            violation = float(h.max()) - 1
            if violation <= xi:
                weights = np.zeros(n)
                weights[rows] = w
                trace = JohnTrace(violation, done, passes, screened, len(rows))
                return as_array_like(weights, A), trace
            if done >= steps:
                raise RuntimeError(
                    f"xi={xi!r} was not reached in steps={steps!r}: the violation is {violation:.3g}"
                )
            new = np.setdiff1d(np.flatnonzero(h > 1 + INNER * xi), rows, assume_unique=True)
            new = _largest(h, new, WORKING_ROWS * d)
            share = 0.5 * len(new) / (before + len(new))
            rows = np.concatenate([rows, new])
            w = np.concatenate([w * (1 - share), np.full(len(new), share * d / len(new))])


def _solve(
    Y: np.ndarray, rows: np.ndarray, w: np.ndarray, xi: float, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The ellipsoid of the rows ``Y`` (m, d), numbered ``rows``, to ``xi`` from the weights ``w``.

    Returns the rows that are left, their weights, an upper triangle R with R Rᵀ = M(w)⁻¹, and the number of
    steps, at most ``steps``.
    """
    d = Y.shape[1]
    for step in range(steps + 1):
        # a factor of M and its inverse by LAPACK itself: NumPy's checks would cost more than the work
        factor, _ = lapack.dpotrf(Y.T @ (w[:, None] * Y))
        root, _ = lapack.dtrtri(factor)
        images = Y @ root
        h = np.vecdot(images, images)
        most = float(h.max()) - 1
        if most <= xi or step == steps:
            break
        if step % SCREENED_EVERY == SCREENED_EVERY - 1:
            kept = h >= _contact_threshold(most, d)
            if not kept.all():
                rows, Y, w = rows[kept], Y[kept], w[kept]
                w = w * (d / w.sum())
                continue
        shift = 0.5 * float(h.min()) if step % UNSHIFTED_EVERY else 0.0
        w = np.maximum(w * ((h - shift) / (1 - shift)), LEAST_WEIGHT)
    return rows, w, root, step


def _contact_threshold(excess: float, d: int) -> float:
    """No row with h below this touches the ellipsoid, when the largest h is 1 + ``excess``."""
    excess = max(excess, 0.0)
    return 1 + excess / 2 - math.sqrt(excess * max(4 + excess - 4 / d, 0.0)) / 2


def _widths(A: Array, root: Array, block: int, workers: int) -> np.ndarray:
    """h of all rows, on the host: the squared norms of A @ root."""

    def widths(rows: Array) -> Array:
        images = rows @ root
        return namespace(rows).vecdot(images, images)

    return to_host(map_rows(widths, A, block=block, workers=workers))


def _spanning(A: Array, T: Array, rows: np.ndarray) -> np.ndarray:
    """``rows``, and where they do not span well, d more that do: the pivots of a QR factorisation."""
    singular = np.linalg.svd(_working(A, T, rows), compute_uv=False)
    if singular[-1] > LEAST_SPAN * singular[0]:
        return rows
    pivots = qr(to_host(A @ T).T, mode="r", pivoting=True)[1][: T.shape[1]]
    return np.union1d(rows, pivots)


def _largest(h: np.ndarray, among: np.ndarray, count: int) -> np.ndarray:
    if len(among) <= count:
        return among
    return among[np.argpartition(h[among], len(among) - count)[len(among) - count :]]


def _working(A: Array, T: Array, rows: np.ndarray) -> np.ndarray:
    """The rows of A @ T with these numbers, on the host."""
    xp = namespace(A)
    return np.asarray(to_host(xp.take(A, xp.asarray(rows), axis=0) @ T), dtype=np.float64)


def _checked(A: Array, xi: float, steps: int) -> tuple[int, int]:
    shape = tuple(getattr(A, "shape", ()))
    if len(shape) != 2 or not shape[0] >= shape[1] >= 1:
        raise ValueError(f"A of shape {shape}: expected (n, d) with n >= d >= 1")
    xp = namespace(A)
    if not holds_data(A) or not xp.isdtype(A.dtype, "real floating"):
        raise ValueError(f"A of dtype {A.dtype}: expected data, real floating-point numbers")
    if not bool(xp.all(xp.isfinite(A))):
        raise ValueError("A: expected finite entries, got NaN or infinity")
    if not 1e-9 <= xi < 1:
        raise ValueError(f"xi={xi!r}: expected a number in [1e-9, 1)")
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"steps={steps!r}: expected an integer >= 1")
    return shape
