r"""The volumetric potential, and the recovery of a point from its gradient.

In the notation of ``slacks`` the potential is :math:`F(x)=\frac12\log\det(A_x^\top A_x)` and its gradient
:math:`g(x)=-A_x^\top\sigma`. Who knows g(x) = c may look for x by minimising

.. math:: L(x)=\tfrac12\lVert g(x)-c\rVert_2^2+\tfrac12\lVert\mathrm{diag}(w)Ax\rVert_2^2 .

With :math:`r=g-c`, :math:`\rho=A_xr`, :math:`D=\mathrm{diag}(\rho)` and
:math:`M=3\,\mathrm{diag}(\sigma)-2P^{(2)}`,

.. math::
    \nabla g&=A_x^\top MA_x,\qquad\nabla L=A_x^\top M\rho+A^\top\mathrm{diag}(w)^2Ax,\\
    \nabla^2L&=(A_x^\top MA_x)^2+A_x^\top\big[-12\,\mathrm{diag}(\sigma\circ\rho)
    +6\,\mathrm{diag}(P^{(2)}\rho)+6(DP^{(2)}+P^{(2)}D)-8\,P\circ(PDP)\big]A_x+A^\top\mathrm{diag}(w)^2A .

As :math:`\mathrm{diag}(\sigma)-P^{(2)}` and :math:`P^{(2)}` are positive semidefinite, :math:`\nabla g` lies
between :math:`Q=A_x^\top\mathrm{diag}(\sigma)A_x` and 3Q: F is convex wherever no slack changes its sign.

Arguments throughout: ``A`` (n, d) of rank d, ``b`` (n,), ``x`` (..., d) with a batch in its leading axes,
``target`` c (d,) or a batch (..., d), ``w`` (n,) or one number for all rows; float64, since a small slack
leaves few digits to the derivatives, or complex128, as every function is analytic in ``x``. Errors: those of
``slacks.scaled_rows``, and ``ValueError`` for a shape or a dtype that does not fit.

Source: leverage-gradient-inversion (arXiv 2408.11267), setting; derivatives re-derived.
"""

from __future__ import annotations

import array_api_compat

from touchstone.arrays import Array, namespace
from touchstone.regression.slacks import (
    ScaledRows,
    cubic_form,
    pair_moments,
    row_form,
    scaled_rows,
    spread_moments,
)


def volumetric_potential(A: Array, b: Array, x: Array) -> Array:
    """F(x), of the shape of the batch. Cost: that of ``slacks.scaled_rows``, n d^2 and O(d^3)."""
    scaled = _scaled(A, b, x)
    xp = namespace(scaled.rows)
    # rows = basis R with a real R: F is log |det R| and half of log det(basis^T basis), which is nearly zero
    triangle = _transposed(scaled.dual) @ scaled.rows
    rest = xp.linalg.slogdet(scaled.gram_inverse)
    volume = -rest.logabsdet
    if xp.isdtype(triangle.dtype, "complex floating"):
        triangle, volume = xp.real(triangle), volume - xp.log(rest.sign)
    return xp.linalg.slogdet(triangle).logabsdet + volume / 2


def volumetric_gradient(A: Array, b: Array, x: Array) -> tuple[Array, Array]:
    """The gradient g of F, (..., d), and its Hessian, (..., d, d).

    Cost: that of ``slacks.scaled_rows`` and 2 n d^3; memory n d a point, and a block of rows times d^2.
    """
    scaled = _scaled(A, b, x)
    spread = spread_moments(scaled, pair_moments(scaled, scaled.rows))
    return _gradient(scaled), _hessian(scaled, spread)


def volumetric_loss(
    A: Array, b: Array, x: Array, target: Array, w: Array | float = 0.0
) -> tuple[Array, Array, Array]:
    """The loss L (of the shape of the batch), its gradient (..., d) and its Hessian (..., d, d).

    Cost: that of ``slacks.scaled_rows``, 2 n d^3 + 7 n d^2 + 3 d^4; memory as for ``volumetric_gradient``.
    """
    scaled, squared = _scaled(A, b, x, target, w=w), _squared(A, w)
    xp = namespace(scaled.rows)
    residual = _gradient(scaled) - target
    rho = _times(scaled.rows, residual)
    moments = pair_moments(scaled, scaled.rows)
    spread = spread_moments(scaled, moments)
    first = _hessian(scaled, spread)
    mixed = _transposed(scaled.rows) @ (rho[..., None] * spread)
    third = (
        row_form(scaled, 6 * _smoothed(scaled, rho) - 12 * scaled.scores * rho)
        + 6 * (mixed + _transposed(mixed))
        - 8 * cubic_form(scaled, rho, moments)
    )
    image = x @ _transposed(A)
    weighted = squared * image
    loss = xp.sum(residual * residual, axis=-1) / 2 + xp.sum(weighted * image, axis=-1) / 2
    regulariser = _transposed(A) @ (squared[:, None] * A)
    return loss, _times(first, residual) + weighted @ A, first @ first + third + regulariser


def volumetric_loss_gradient(
    A: Array, b: Array, x: Array, target: Array, w: Array | float = 0.0, *, scores: Array | None = None
) -> Array:
    """The gradient of L alone, (..., d), without the n d^3 of the Hessian.

    ``scores`` (..., n), if given, take the place of σ in the residual ``-A_x^T σ - target`` and nowhere else:
    the gradient of a method that estimates them.

    Cost: that of ``slacks.scaled_rows`` and 2 n d^2.
    """
    given = {} if scores is None else {"scores": scores}
    scaled, squared = _scaled(A, b, x, target, w=w, **given), _squared(A, w)
    scores = scaled.scores if scores is None else scores
    residual = -_times(_transposed(scaled.rows), scores) - target
    middle = _middle(scaled, _times(scaled.rows, residual))
    return _times(_transposed(scaled.rows), middle) + (squared * (x @ _transposed(A))) @ A


def volumetric_curvature(A: Array, b: Array, x: Array, target: Array) -> Array:
    r"""B(x), the symmetric (..., n, n) matrix with :math:`\nabla^2L=A^\top(B+\mathrm{diag}(w)^2)A`.

    :math:`B=S^{-1}(MA_xA_x^\top M+[\dots])S^{-1}`, the bracket as in the Hessian, S the diagonal of the
    slacks. The one routine here that holds n^2 numbers: for few rows.
    Cost: that of ``slacks.scaled_rows`` and 4 n^2 d + 4 n d^2.
    """
    scaled = _scaled(A, b, x, target)
    xp = namespace(scaled.rows)
    rho = _times(scaled.rows, _gradient(scaled) - target)
    eye = xp.eye(A.shape[0], dtype=A.dtype, device=array_api_compat.device(A))
    P = scaled.dual @ _transposed(scaled.basis)
    image = (3 * scaled.scores[..., None] * eye - 2 * P * P) @ scaled.rows
    doubled = scaled.dual @ _weighted_gram(scaled.basis, rho) @ _transposed(scaled.dual)
    diagonal = 6 * _smoothed(scaled, rho) - 12 * scaled.scores * rho
    inner = (
        image @ _transposed(image)
        + diagonal[..., None] * eye
        + 6 * (rho[..., :, None] + rho[..., None, :]) * P * P
        - 8 * P * doubled
    )
    return inner / (scaled.slacks[..., :, None] * scaled.slacks[..., None, :])


def volumetric_curvature_apply(A: Array, b: Array, x: Array, target: Array, u: Array) -> Array:
    """B(x) u for ``u`` (n,) or a batch (..., n), without B.

    Cost: that of ``slacks.scaled_rows`` and 14 n d^2. Errors: ``ValueError`` for a ``u`` of another length.
    """
    scaled = _scaled(A, b, x, target, u=u)
    xp = namespace(scaled.rows)
    rho = _times(scaled.rows, _gradient(scaled) - target)
    v = u / scaled.slacks
    squares = _middle(scaled, _times(scaled.rows, _times(_transposed(scaled.rows), _middle(scaled, v))))
    diagonal = 6 * _smoothed(scaled, rho) - 12 * scaled.scores * rho
    mixed = rho * _smoothed(scaled, v) + _smoothed(scaled, rho * v)
    # row i of P o (PDP) v: the i-th rows of the two factors against the sums over all rows
    left = scaled.dual @ _weighted_gram(scaled.basis, v)
    right = scaled.dual @ (_weighted_gram(scaled.basis, rho) @ scaled.gram_inverse)
    doubled = xp.sum(left * right, axis=-1)
    return (squares + diagonal * v + 6 * mixed - 8 * doubled) / scaled.slacks


# -- inside ----------------------------------------------------------------------------------------------


def _gradient(scaled: ScaledRows) -> Array:
    return -_times(_transposed(scaled.rows), scaled.scores)


def _hessian(scaled: ScaledRows, spread: Array) -> Array:
    """A_x^T M A_x from ``spread``, P^(2) A_x."""
    return _transposed(scaled.rows) @ (3 * scaled.scores[..., None] * scaled.rows - 2 * spread)


def _middle(scaled: ScaledRows, u: Array) -> Array:
    """M u for ``u`` (..., n)."""
    return 3 * scaled.scores * u - 2 * _smoothed(scaled, u)


def _smoothed(scaled: ScaledRows, u: Array) -> Array:
    """P^(2) u for ``u`` (..., n): for one vector, two products with all rows beat pairs of columns."""
    xp = namespace(scaled.rows)
    return xp.sum((scaled.dual @ _weighted_gram(scaled.basis, u)) * scaled.dual, axis=-1)


def _weighted_gram(basis: Array, u: Array) -> Array:
    """basis^T diag(u) basis."""
    return _transposed(basis) @ (u[..., None] * basis)


def _times(A: Array, u: Array) -> Array:
    """A u for a batch of matrices (..., m, k) and one of vectors (..., k)."""
    return (A @ u[..., None])[..., 0]


def _transposed(A: Array) -> Array:
    return namespace(A).matrix_transpose(A)


def _scaled(A: Array, b: Array, x: Array, target: Array | None = None, **rows: Array | float) -> ScaledRows:
    """The scaled rows, once the arguments that they do not need were looked at: ``rows`` have n entries."""
    xp = namespace(A, b, x)
    for name, array in (("A", A), ("b", b), ("x", x), ("target", target)):
        if array is not None and array.dtype not in (xp.float64, xp.complex128):
            raise ValueError(f"{name} of dtype {array.dtype}: expected float64 (or complex128)")
    if A.ndim == 2 and A.shape[0] >= A.shape[1]:  # else let ``scaled_rows`` complain
        n, d = A.shape
        if target is not None and tuple(target.shape[-1:]) != (d,):
            raise ValueError(
                f"target of shape {tuple(target.shape)}: expected (..., {d}), one entry a column of A"
            )
        for name, array in rows.items():
            if isinstance(array, int | float):
                continue
            batch = "" if name == "w" else "..., "
            if tuple(array.shape[-1:] if batch else array.shape) != (n,):
                raise ValueError(
                    f"{name} of shape {tuple(array.shape)}: expected ({batch}{n}), one entry a row of A"
                )
    return scaled_rows(A, b, x)


def _squared(A: Array, w: Array | float) -> Array:
    """w^2 for every row."""
    if isinstance(w, int | float):
        return namespace(A).full(
            (A.shape[0],), float(w) ** 2, dtype=A.dtype, device=array_api_compat.device(A)
        )
    return w * w
