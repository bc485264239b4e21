r"""John's ellipsoid of a symmetric polytope by fixed-point iteration on leverage scores.

The polytope is :math:`P=\{x\in\mathbb R^d:|a_i^\top x|\le1,\ i\le n\}`, the rows of A being the
:math:`a_i`. For weights :math:`w\ge0` let :math:`M(w)=A^\top\mathrm{diag}(w)A` and
:math:`E(w)=\{x:x^\top M(w)x\le1\}`. The squared half-width of E(w) along a row is
:math:`h_i(w)=a_i^\top M(w)^{-1}a_i`, and :math:`w_ih_i(w)` is a leverage score: they sum to d. The ellipsoid
of largest volume in P is E(w*) with :math:`h_i\le1` for every row, and equality where :math:`w_i^*>0`.
Weights that sum to d are a :math:`(1+\xi)`-approximation when :math:`\max_ih_i\le1+\xi`; then
:math:`(1+\xi)^{-1/2}E\subseteq P\subseteq\sqrt d\,E`.

``john_weights`` is the iteration of the literature, made to be measured and perturbed, one run or a batch;
``touchstone.geometry.john_solver`` is the fast one.

Source: M. B. Cohen, B. Cousins, Y. T. Lee and X. Yang, *A near-optimal algorithm for approximating the John
ellipsoid* (2019), the iteration and its averaging; john-ellipsoid-dp, the perturbed iteration.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from touchstone.arrays import holds_data, namespace
from touchstone.linalg.leverage import leverage_scores

Array = Any

PRODUCTS_HELD = 1 << 22
"""Products of two entries of a row, over all rows, up to which a batch shares one table."""


class JohnWeights(NamedTuple):
    """What the iteration leaves: the answer, its last iterate, and what was recorded on the way."""

    average: Array
    """v (..., n): the mean of the iterates, scaled to sum to d."""
    last: Array
    """The last iterate w_T (..., n)."""
    trace: list[Any]
    """What ``record`` returned, one entry an iterate."""


def john_weights(
    A: Array,
    rounds: int,
    *,
    scores: Callable[[Array, Array], Array] = leverage_scores,
    perturb: Callable[[Array, int], Array] | None = None,
    start: Array | None = None,
    record: Callable[[int, Array, Array], Any] | None = None,
) -> JohnWeights:
    r"""The fixed-point iteration for the John ellipsoid of A (n, d), n >= d: weights of ``rounds`` iterates.

    :math:`w_1=\frac dn\mathbf 1`, or ``start`` (..., n), whose leading axes are a batch of runs;
    :math:`w_{k+1}` = ``perturb(scores(A, w_k), k)`` for k = 1 .. rounds − 1. ``scores`` takes weights
    (..., n) to the leverage scores of :math:`\mathrm{diag}(\sqrt w)A`, exactly by default; a sketched
    estimate may stand in. ``perturb`` adds noise, or nothing. ``record(k, w_k, u_k)`` is called on each
    iterate with the mean :math:`u_k` of the first k, so one run gives every shorter one.

    Without noise :math:`\log\max_ih_i(v)\le\frac1T\log\frac nd` after T rounds. Weights below the square
    root of the smallest normal number are set to 0: they change no sum, and denormals are slow.

    Cost: rounds − 1 calls of ``scores``, O(n d²) each when exact. Raises ``ValueError`` unless A is an
    (n, d) array of finite entries with n >= d >= 1, ``rounds`` an integer >= 1 and ``start`` holds finite
    numbers >= 0; what ``scores`` raises for a rank-deficient A is passed on.

    Source: john-ellipsoid-dp, algorithm (its non-private, fast and private versions are three choices of
    ``scores`` and ``perturb``).
    """
    n, d = _require_matrix(A)
    if isinstance(rounds, bool) or not isinstance(rounds, int | np.integer) or rounds < 1:
        raise ValueError(f"rounds={rounds!r}: expected an integer >= 1")
    xp = namespace(A)
    if start is None:
        w = xp.ones_like(A[:, 0]) * (d / n)
    else:
        w = _require_weights("start", start, n)
    total, trace = w, []
    for k in range(1, rounds + 1):
        if k > 1:
            w = scores(A, w)
            w = _flushed(w if perturb is None else perturb(w, k - 1))
            total = total + w
        if record is not None:
            trace.append(record(k, w, total / k))
    return JohnWeights(total * (d / xp.sum(total, axis=-1, keepdims=True)), w, trace)


def squared_widths(A: Array, w: Array) -> Array:
    r""":math:`h_i(w)=a_i^\top M(w)^{-1}a_i` (..., n), the squared half-widths of E(w) along the rows of A.

    Defined for rows of weight 0 too. ``w`` (..., n) may hold a batch of weights. By a Gram matrix and its
    Cholesky factor, columns scaled to unit length first: relative accuracy about :math:`10^{-16}` times the
    squared condition number of the scaled :math:`\sqrt WA`. Raises ``ValueError`` for bad shapes, negative or
    non-finite entries, and when the rows of positive weight do not span :math:`\mathbb R^d` as far as double
    precision can tell. Cost: 2 n d² multiply-adds and O(d³); in a batch 2 n d² for each.
    """
    n, d = _require_matrix(A)
    w = _require_weights("w", w, n)
    xp = namespace(A, w)
    if w.ndim == 1:
        return _widths(A, w)
    if n * d * d > PRODUCTS_HELD:
        members = xp.reshape(w, (-1, n))
        each = [_widths(A, members[i, :]) for i in range(members.shape[0])]
        return xp.reshape(xp.stack(each), w.shape)
    # a batch: the Gram matrices are one product with the (n, d²) products of entries, and so are the widths
    pairs = xp.reshape(A[:, :, None] * A[:, None, :], (n, d * d))
    root = _inverse_root(xp.reshape(w @ pairs, (*w.shape[:-1], d, d)))
    inverse = xp.matmul(xp.matrix_transpose(root), root)
    return xp.reshape(inverse, (*w.shape[:-1], d * d)) @ pairs.T


def john_violation(A: Array, w: Array) -> Array:
    r""":math:`\xi=\max_ih_i(w)-1` (...): how far the weights ``w`` (..., n) are from John's condition.

    For weights that sum to d it is never negative but for rounding, and 0 at the optimum only. Errors and
    cost as for ``squared_widths``.
    """
    return namespace(A, w).max(squared_widths(A, w), axis=-1) - 1


def ellipsoid_gauge(A: Array, w: Array, X: Array) -> Array:
    r""":math:`\sqrt{x^\top M(w)x}` (m,) for the rows x of ``X`` (m, d): at most 1 exactly on E(w).

    Raises ``ValueError`` for bad shapes and negative or non-finite weights. Cost: n d² + m d² multiply-adds.
    """
    n, d = _require_matrix(A)
    w = _require_weights("w", w, n)
    if w.ndim != 1 or X.ndim != 2 or X.shape[1] != d:
        raise ValueError(f"w of shape {w.shape} and X of shape {X.shape}: expected ({n},) and (m, {d})")
    xp = namespace(A, w, X)
    # M is positive semi-definite; rounding may say otherwise in the last bit
    squares = xp.sum((X @ (A.T @ (w[:, None] * A))) * X, axis=1)
    return xp.sqrt(xp.where(squares > 0, squares, xp.zeros_like(squares)))


def ellipsoid_contains(A: Array, w: Array, X: Array, *, scale: float = 1.0, rtol: float = 0.0) -> Array:
    """Whether each row of ``X`` (m, d) lies in ``scale`` times the ellipsoid E(w), boundary included: (m,)
    booleans. ``rtol`` forgives a relative excess of the gauge. Errors and cost: ``ellipsoid_gauge``, and
    ``ValueError`` unless ``scale`` > 0 and ``rtol`` >= 0 are finite."""
    for name, value, least in (("scale", scale, "> 0"), ("rtol", rtol, ">= 0")):
        if not math.isfinite(value) or value < 0 or (least == "> 0" and value == 0):
            raise ValueError(f"{name}={value!r}: expected a finite number {least}")
    return ellipsoid_gauge(A, w, X) <= scale * (1 + rtol)


# -- pieces ----------------------------------------------------------------------------------------------


def _widths(A: Array, w: Array) -> Array:
    images = A @ namespace(A).matrix_transpose(_inverse_root(A.T @ (w[:, None] * A)))
    return namespace(A).sum(images * images, axis=1)


def _inverse_root(M: Array) -> Array:
    """R (..., d, d) with R M Rᵀ = I, lower triangular times a diagonal. ``ValueError`` when M is singular."""
    xp = namespace(M)
    d = M.shape[-1]
    eye = xp.eye(d, dtype=M.dtype)
    lengths = xp.sqrt(xp.sum(M * eye, axis=-1))
    if not _holds(xp.all(lengths > 0)):
        raise _not_spanning(d)
    scaled = M / (lengths[..., :, None] * lengths[..., None, :])
    try:
        C = xp.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        raise _not_spanning(d) from None
    # what is left of a unit column beside those before it; d roundings of M cannot be told from nothing
    left = xp.sum(C * eye, axis=-1) ** 2
    if not _holds(xp.all(left > 8 * d * xp.finfo(M.dtype).eps)):
        raise _not_spanning(d)
    return xp.linalg.inv(C) / lengths[..., None, :]


def _holds(condition: Array) -> bool:
    """The truth of a condition on data; a shape has none, and passes at the same cost."""
    return not holds_data(condition) or bool(condition)


def _not_spanning(d: int) -> ValueError:
    return ValueError(f"A, w: expected rows of positive weight that span all {d} dimensions; they do not")


def _flushed(w: Array) -> Array:
    """``w`` without the numbers whose products are denormal."""
    xp = namespace(w)
    return xp.where(w < math.sqrt(xp.finfo(w.dtype).smallest_normal), xp.zeros_like(w), w)


def _require_matrix(A: Array) -> tuple[int, int]:
    shape = tuple(getattr(A, "shape", ()))
    if len(shape) != 2 or not shape[0] >= shape[1] >= 1:
        raise ValueError(f"A of shape {shape}: expected (n, d) with n >= d >= 1")
    xp = namespace(A)
    if not xp.isdtype(A.dtype, "real floating"):
        raise ValueError(f"A of dtype {A.dtype}: expected real floating-point numbers")
    if not _holds(xp.all(xp.isfinite(A))):
        raise ValueError("A: expected finite entries, got NaN or infinity")
    return shape


def _require_weights(name: str, w: Array, n: int) -> Array:
    shape = tuple(getattr(w, "shape", ()))
    if not shape or shape[-1] != n:
        raise ValueError(f"{name} of shape {shape}: expected (..., {n}), a weight for each row of A")
    xp = namespace(w)
    if not _holds(xp.all(xp.isfinite(w) & (w >= 0))):
        raise ValueError(f"{name}: expected finite numbers >= 0")
    return w
