r"""Recovering ``x`` from the leverage scores of ``A(x) = diag(Ax - b)^{-1} A``.

In the notation of ``slacks``, with the residual :math:`r=\sigma(x)-\sigma_\star` and
:math:`R=\mathrm{diag}(r)`, the Jacobian of the scores, the loss and its Hessian are

.. math::
    J&=\partial\sigma/\partial x=-2(\mathrm{diag}(\sigma)-P^{(2)})A_x,\\
    L&=\tfrac12\lVert\sigma(x)-\sigma_\star\rVert_2^2+\tfrac12\lVert\mathrm{diag}(w)Ax\rVert_2^2,\\
    \nabla^2L&=J^\top J+A_x^\top\big[6\,\mathrm{diag}(r\circ\sigma-P^{(2)}r)-4(RP^{(2)}+P^{(2)}R)
    +8\,P\circ(PRP)\big]A_x+A^\top\mathrm{diag}(w)^2A .

``diag(σ) - P^(2)`` is the Laplacian of a graph on the rows, so J loses rank exactly where ``Au ∝ Ax - b`` for
some ``u``: everywhere if ``b`` lies in the range of ``A``, nowhere otherwise.

Source: leverage-distribution-inversion, setting; re-derived.
"""

from __future__ import annotations

from typing import Any

import array_api_compat

from touchstone.arrays import namespace
from touchstone.regression.slacks import (
    ScaledRows,
    cubic_form,
    pair_moments,
    row_form,
    scaled_rows,
    spread_moments,
)

Array = Any


def leverage_map(A: Array, b: Array, x: Array) -> tuple[Array, Array]:
    """Scores (..., n) and Jacobian (..., n, d) at ``x`` (..., d), for ``A`` (n, d) of rank d and ``b`` (n,).

    Errors as for ``slacks.scaled_rows``. Cost: that of ``scaled_rows`` and 2 n d^3.
    """
    scaled = scaled_rows(A, b, x)
    spread = spread_moments(scaled, pair_moments(scaled, scaled.rows))
    return scaled.scores, _jacobian(scaled, spread)


def leverage_loss_value(A: Array, b: Array, x: Array, target: Array, w: Array | None = None) -> Array:
    """The loss alone (...), at O(n d^2), for line searches. Arguments and errors as for ``leverage_loss``."""
    _check(A, target, w)
    return _loss(A, scaled_rows(A, b, x).scores - target, x, w)


def leverage_loss(
    A: Array, b: Array, x: Array, target: Array, w: Array | None = None
) -> tuple[Array, Array, Array]:
    """Loss (...), gradient (..., d) and Hessian (..., d, d) at ``x`` (..., d); formulas in the module's head.

    ``A`` (n, d) of rank d, ``b`` (n,), ``target`` the given scores (n,), ``w`` (n,) the regulariser's
    weights (none by default). Leading axes of ``x`` are a batch.

    Errors as for ``slacks.scaled_rows``, and ``ValueError`` for a ``target`` or ``w`` of another length.
    Cost: that of ``scaled_rows`` and 2 n d^3 + O(n d^2 + d^4); memory n d for each ``x``, and one block of
    rows times d^2.
    """
    _check(A, target, w)
    xp = namespace(A, b, x)
    scaled = scaled_rows(A, b, x)
    residual = scaled.scores - target
    # P^(2) of the rows and of the residual, in one pass
    both = xp.concat([scaled.rows, residual[..., None]], axis=-1)
    moments = pair_moments(scaled, both)
    both = spread_moments(scaled, moments)
    spread, smoothed = both[..., :-1], both[..., -1]
    jacobian = _jacobian(scaled, spread)
    mixed = xp.matrix_transpose(scaled.rows) @ (residual[..., None] * spread)
    hessian = (
        xp.matrix_transpose(jacobian) @ jacobian
        + 6 * row_form(scaled, residual * scaled.scores - smoothed)
        - 4 * (mixed + xp.matrix_transpose(mixed))
        + 8 * cubic_form(scaled, residual, moments[..., :-1])
    )
    gradient = xp.matrix_transpose(jacobian) @ residual[..., None]
    gradient = gradient[..., 0]
    if w is not None:
        regulariser = xp.matrix_transpose(A) @ (w[:, None] ** 2 * A)
        gradient = gradient + x @ regulariser
        hessian = hessian + regulariser
    return _loss(A, residual, x, w), gradient, hessian


def leverage_curvature(A: Array, b: Array, x: Array, target: Array) -> Array:
    r"""B (..., n, n), with :math:`A^\top BA` the Hessian of the data term: :math:`\nabla^2L=A^\top(B+W^2)A`.

    Everything formed, in n^2 numbers and 3 n^2 d + 2 n^3 multiply-adds: for moderate n, to see how large a
    regulariser is beside it. Arguments and errors as for ``leverage_loss``.
    """
    _check(A, target, None)
    xp = namespace(A, b, x)
    scaled = scaled_rows(A, b, x)
    residual = scaled.scores - target
    projection = scaled.basis @ xp.matrix_transpose(scaled.dual)
    squared = projection * projection
    diagonal = xp.eye(A.shape[0], dtype=A.dtype, device=array_api_compat.device(A))
    laplacian = scaled.scores[..., None] * diagonal - squared
    smoothed = xp.sum(squared * residual[..., None, :], axis=-1)
    bracket = (
        4 * laplacian @ laplacian
        + 6 * (residual * scaled.scores - smoothed)[..., None] * diagonal
        - 4 * (residual[..., None] + residual[..., None, :]) * squared
        + 8 * projection * ((projection * residual[..., None, :]) @ projection)
    )
    return bracket / (scaled.slacks[..., None] * scaled.slacks[..., None, :])


def _jacobian(scaled: ScaledRows, spread: Array) -> Array:
    return -2 * (scaled.scores[..., None] * scaled.rows - spread)


def _loss(A: Array, residual: Array, x: Array, w: Array | None) -> Array:
    xp = namespace(A, residual, x)
    loss = xp.sum(residual * residual, axis=-1) / 2
    if w is not None:
        weighted = w * (x @ xp.matrix_transpose(A))
        loss = loss + xp.sum(weighted * weighted, axis=-1) / 2
    return loss


def _check(A: Array, target: Array, w: Array | None) -> None:
    for name, value in (("target", target), ("w", w)):
        if value is not None and tuple(value.shape) != tuple(A.shape[:1]):
            raise ValueError(
                f"{name} of shape {tuple(value.shape)}: expected {(A.shape[0],)}, one entry a row"
            )
