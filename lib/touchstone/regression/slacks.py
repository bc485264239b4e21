r"""Rows over their slacks: the parts of the leverage scores of ``diag(Ax - b)^{-1} A`` and their derivatives.

With the slacks :math:`s=Ax-b`, the rows :math:`A_x=\mathrm{diag}(s)^{-1}A` and
:math:`G=(A_x^\top A_x)^{-1}`, the projection is :math:`P=A_xGA_x^\top`, its diagonal the scores
:math:`\sigma`, and :math:`P^{(2)}=P\circ P`. No n by n matrix is formed here: everything follows from the
products of two columns of the factors of ``P``, row by row.

The scores do not depend on the basis of the columns of :math:`A_x`. The one taken here is orthonormal at the
real part of ``x`` and comes from a Householder factorisation of the rows in falling order. A slack near zero
makes one row enormous: the Gram matrix of :math:`A_x` loses the scores at a slack of 1e-8, this way keeps all
their digits. (Derivatives multiply the little that is left of 1 - σ by 1/s an order, and lose that much.)

Every function is analytic in ``x`` (complex ``x`` continues it) and takes leading axes of ``x`` as a batch.

Source: leverage-distribution-inversion and leverage-gradient-inversion, setting; re-derived.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from touchstone.arrays import block_factor, holds_data, map_rows, namespace

Array = Any

BLOCK_ENTRIES = 2**17  # pairwise products alive at once: 1 MiB, half a cache
RANK_ULPS = 16  # a diagonal entry of R below this many roundings a column says nothing


@dataclass(frozen=True)
class ScaledRows:
    r"""``slacks`` (..., n), ``rows`` :math:`A_x` (..., n, d), ``scores`` σ (..., n), and P in factors.

    :math:`P=UV^\top=VU^\top` with ``basis`` U and ``dual`` V (..., n, d), V = U G; ``gram_inverse`` G
    (..., d, d) is the inverse of :math:`U^\top U`: the identity, up to rounding, at real ``x``.
    """

    slacks: Array
    rows: Array
    basis: Array
    dual: Array
    gram_inverse: Array
    scores: Array


def scaled_rows(A: Array, b: Array, x: Array) -> ScaledRows:
    """Slacks, scaled rows, scores and projection of ``A`` (n, d), ``b`` (n,) at ``x`` (..., d), d <= n.

    Raises ``ValueError`` for shapes that do not fit, a slack that is zero or not finite, and scaled rows
    without full rank (``A`` has dependent columns, or a slack is below 1e-14 of the others).

    Cost: a QR factorisation and 3 n d^2 multiply-adds, a sort of n rows, for each ``x``.
    """
    _check(A, b, x)
    xp = namespace(A, b, x)
    slacks = x @ xp.matrix_transpose(A) - b
    usable = xp.isfinite(slacks) & (slacks != 0)
    _require(xp.all(usable), "x: expected Ax - b finite and without a zero entry")
    rows = A / slacks[..., None]
    imaginary = None
    real = rows
    if xp.isdtype(rows.dtype, "complex floating"):
        real, imaginary = xp.real(rows), xp.imag(rows)
    # only an order: the size of a row, of its real part too where x is complex
    basis, triangle = _graded_qr(real, xp.max(xp.abs(A), axis=-1) / xp.abs(slacks))
    if imaginary is not None:
        swapped = xp.linalg.solve(xp.matrix_transpose(triangle), xp.matrix_transpose(imaginary))
        basis = basis + 1j * xp.matrix_transpose(swapped)
    gram_inverse = xp.linalg.inv(xp.matrix_transpose(basis) @ basis)
    dual = basis @ gram_inverse
    return ScaledRows(slacks, rows, basis, dual, gram_inverse, xp.sum(basis * dual, axis=-1))


def squared_projection(scaled: ScaledRows, M: Array) -> Array:
    r""":math:`P^{(2)}M` for ``M`` (..., n, c): (..., n, c).

    Cost: 2 n d^2 (c + 1) multiplications; memory of a block of rows times d^2.
    """
    return spread_moments(scaled, pair_moments(scaled, M))


def pair_moments(scaled: ScaledRows, M: Array) -> Array:
    r"""The sums :math:`\sum_iU_{ij}U_{ik}M_{ia}` for ``M`` (..., n, c): (..., d^2, c), a row for each (j, k).

    Cost: n d^2 (c + 1) multiplications.
    """
    xp = namespace(scaled.basis, M)

    def of_block(U: Array, M: Array) -> Array:
        return xp.matrix_transpose(_pairs(U)) @ M

    return _over_rows(of_block, scaled.basis, M, reduce="sum")


def spread_moments(scaled: ScaledRows, moments: Array) -> Array:
    r""":math:`P^{(2)}M` (..., n, c) from ``pair_moments`` of ``M``. Cost: n d^2 (c + 1) multiplications."""
    return _over_rows(lambda V: _pairs(V) @ moments, scaled.dual, reduce="concatenate")


def row_form(scaled: ScaledRows, weights: Array) -> Array:
    r""":math:`A_x^\top\mathrm{diag}(\text{weights})A_x` (..., d, d) for ``weights`` (..., n). Cost: n d^2."""
    xp = namespace(scaled.rows, weights)
    return xp.matrix_transpose(scaled.rows) @ (weights[..., None] * scaled.rows)


def cubic_form(scaled: ScaledRows, weights: Array, moments: Array) -> Array:
    r""":math:`A_x^\top\big(P\circ(PDP)\big)A_x` (..., d, d), D the diagonal matrix of ``weights`` (..., n).

    ``moments`` are the ``pair_moments`` of the scaled rows. As :math:`PDP=U\,[G(U^\top DU)G]\,U^\top`, all
    of it follows from them. Cost: n d^2 + 3 d^4.
    """
    xp = namespace(scaled.basis, weights, moments)
    d = scaled.rows.shape[-1]
    lead = moments.shape[:-2]
    middle = xp.matrix_transpose(scaled.dual) @ (weights[..., None] * scaled.dual)
    cube = xp.reshape(moments, (*lead, d, d, d))
    left = xp.reshape(scaled.gram_inverse @ xp.reshape(moments, (*lead, d, d * d)), (*lead, d * d, d))
    right = xp.reshape(middle[..., None, :, :] @ cube, (*lead, d * d, d))
    return xp.matrix_transpose(left) @ right


def _graded_qr(rows: Array, sizes: Array) -> tuple[Array, Array]:
    """QR of real ``rows`` (..., n, d), taken in falling order of their ``sizes`` (..., n)."""
    xp = namespace(rows)
    order = xp.argsort(sizes, axis=-1, descending=True, stable=True)
    back = xp.argsort(order, axis=-1, stable=True)
    Q, R = xp.linalg.qr(xp.take_along_axis(rows, order[..., None], axis=-2))
    diagonal = xp.abs(xp.linalg.diagonal(R))
    columns = xp.sqrt(xp.sum(R * R, axis=-2))
    tiny = RANK_ULPS * rows.shape[-1] * xp.finfo(rows.dtype).eps
    full = (
        "A, x: expected A/(Ax - b) of full rank (dependent columns, or a slack that vanishes beside others)"
    )
    _require(xp.all(diagonal > tiny * columns), full)
    return xp.take_along_axis(Q, back[..., None], axis=-2), R


def _pairs(U: Array) -> Array:
    """All products of two entries of a row: (..., m, d) to (..., m, d^2)."""
    xp = namespace(U)
    d = U.shape[-1]
    return xp.reshape(U[..., :, None] * U[..., None, :], (*U.shape[:-1], d * d))


def _over_rows(f: Callable[..., Array], *arrays: Array, reduce: str) -> Array:
    """``map_rows`` over the last axis but one, batch axes or not."""
    xp = namespace(*arrays)
    first = arrays[0]
    lanes = 1
    for side in first.shape[:-2]:
        lanes *= side
    block = BLOCK_ENTRIES * block_factor(first) // max(lanes * first.shape[-1] ** 2, 1)

    def of_block(*parts: Array) -> Array:
        result = f(*(xp.moveaxis(part, 0, -2) for part in parts))
        return xp.moveaxis(result, -2, 0) if reduce == "concatenate" else result

    result = map_rows(
        of_block, *(xp.moveaxis(array, -2, 0) for array in arrays), block=max(block, 1), reduce=reduce
    )
    return xp.moveaxis(result, 0, -2) if reduce == "concatenate" else result


def _require(holds: Array, message: str) -> None:
    if holds_data(holds) and not bool(holds):
        raise ValueError(message)


def _check(A: Array, b: Array, x: Array) -> None:
    if A.ndim != 2 or not 1 <= A.shape[1] <= A.shape[0]:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected (n, d) with 1 <= d <= n")
    n, d = A.shape
    if tuple(b.shape) != (n,):
        raise ValueError(f"b of shape {tuple(b.shape)}: expected {(n,)}, one entry a row of A")
    if x.ndim < 1 or x.shape[-1] != d:
        raise ValueError(f"x of shape {tuple(x.shape)}: expected (..., {d}), A has {d} columns")
