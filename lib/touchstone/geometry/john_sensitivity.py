r"""How far the leverage scores of the John iteration move when one row of A moves a little.

Two inputs are :math:`\epsilon_0`-close when they differ in one row, by at most :math:`\epsilon_0` in
Euclidean length. At the same weights w, the step :math:`\ell(w)` of the iteration moves by
:math:`\lVert\log\ell(w;A')-\log\ell(w;A)\rVert_2`, which is what multiplicative noise has to hide.

Source: john-ellipsoid-dp, the sensitivity of the weights; the bound is derived in ``score_change_bounds``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from touchstone.arrays import as_array_like, namespace, to_host
from touchstone.geometry.john_ellipsoid import squared_widths

Array = Any
Move = tuple[int, Array]


def moved_row(A: Array, row: int, step: Array) -> Array:
    """A (n, d) with ``step`` (d,) added to row ``row``; A itself is left alone."""
    if not 0 <= row < A.shape[0]:
        raise ValueError(f"row={row!r}: expected a row of A, 0 .. {A.shape[0] - 1}")
    return namespace(A).concat([A[:row, :], (A[row, :] + step)[None, :], A[row + 1 :, :]], axis=0)


def score_changes(A: Array, w: Array, moves: Sequence[Move], distance: float) -> np.ndarray:
    r""":math:`\lVert\log\ell(w;A')-\log\ell(w;A)\rVert_2` (k,), one for each of k ``moves``.

    A move is (row, direction): ``distance`` times the direction (d,) is added to that row of A. The weights
    w (n,) are the same on both sides, so the logarithms are those of the squared widths, and rows of weight
    0 count too. Infinite when a row is zero on one side only. Raises ``ValueError`` as ``squared_widths``
    does. Cost: k + 1 calls of it.
    """
    xp = namespace(A, w)
    before = squared_widths(A, w)
    changes = []
    for row, direction in moves:
        after = squared_widths(moved_row(A, row, distance * direction), w)
        nowhere = (before == 0) & (after == 0)
        ratio = xp.where(nowhere, 1.0, after) / xp.where(nowhere, 1.0, before)
        changes.append(math.sqrt(float(xp.sum(xp.log(ratio) ** 2))))
    return np.asarray(changes)


def score_change_bounds(
    A: Array, w: Array, rows: Sequence[int], distance: float, *, eigenvalue: float | None = None
) -> np.ndarray:
    r"""Upper bounds (k,) on the ``score_changes`` of every move by ``distance`` in each of k ``rows``.

    With :math:`\alpha=\lVert a_j\rVert_{M^{-1}}`, :math:`\beta` = ``distance`` over
    :math:`\sqrt{\lambda_{\min}(M)}` and :math:`\eta=w_j(2\alpha\beta+\beta^2)` the bound is
    :math:`-\sqrt n\log(1-\eta)-2\log(1-\beta/\alpha)`; infinite unless :math:`\beta<\alpha` and
    :math:`\eta<1`. For :math:`M'-M` has norm at most :math:`\eta` as seen by M, so every :math:`h_i` moves by
    at most :math:`-\log(1-\eta)`; the row that moves adds twice
    :math:`\log(\lVert a_j'\rVert/\lVert a_j\rVert)` in the norm of :math:`M^{-1}`. ``eigenvalue`` stands in
    for :math:`\lambda_{\min}(M)`: with any larger number it is a bound no more. Cost: 3 n d² multiply-adds.
    """
    if not 0 <= distance < math.inf:
        raise ValueError(f"distance={distance!r}: expected a finite number >= 0")
    xp = namespace(A, w)
    if eigenvalue is None:
        eigenvalue = float(xp.linalg.eigvalsh(A.T @ (w[:, None] * A))[0])
    at = np.asarray(rows, dtype=np.int64)
    alpha, weights = np.sqrt(to_host(squared_widths(A, w))[at]), to_host(w)[at]
    beta = distance / math.sqrt(eigenvalue)
    eta = weights * (2 * alpha * beta + beta * beta)
    valid = (beta < alpha) & (eta < 1)
    bounds = np.full(len(at), math.inf)
    bounds[valid] = -math.sqrt(A.shape[0]) * np.log1p(-eta[valid]) - 2 * np.log1p(-beta / alpha[valid])
    return bounds


def risky_moves(A: Array, w: Array, count: int, rng: np.random.Generator) -> list[Move]:
    r"""``count`` moves (row, unit direction (d,)) to search for the largest ``score_changes``.

    First the rows that a bound singles out (least norm, largest weight, least width), each along itself,
    along the eigenvector of :math:`\lambda_{\min}(M)` and in a random direction; then random rows, in
    turn along these three. Raises ``ValueError`` unless ``count`` >= 9. Cost: n d² multiply-adds.
    """
    if count < 9:
        raise ValueError(f"count={count!r}: expected an integer >= 9, three rows in three directions")
    xp = namespace(A, w)
    rows_on_host, weights = to_host(A), to_host(w)
    weakest = to_host(xp.linalg.eigh(A.T @ (w[:, None] * A))[1][:, 0])
    norms = np.linalg.norm(rows_on_host, axis=1)
    chosen = [int(np.argmin(norms)), int(np.argmax(weights)), int(np.argmin(to_host(squared_widths(A, w))))]
    chosen += [int(i) for i in rng.integers(0, len(norms), (count + 2) // 3 - 3)]
    moves = []
    for row in chosen:
        own = rows_on_host[row] if norms[row] > 0 else weakest
        for direction in (own, weakest, rng.standard_normal(len(weakest))):
            moves.append((row, as_array_like(direction / np.linalg.norm(direction), A)))
    return moves[:count]
