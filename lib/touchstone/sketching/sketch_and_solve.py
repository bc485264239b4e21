r"""Least squares through a sketch: :math:`\min_x\lVert S(Ax-b)\rVert` for :math:`\min_x\lVert Ax-b\rVert`.

Let :math:`A=QR` with orthonormal columns Q, :math:`x^*=A^\dagger b` and :math:`r=b-Ax^*`. Where SA has full
rank, :math:`Sb=SAx^*+Sr` gives the error without cancellation,

.. math::
    x'-x^*=R^{-1}(SQ)^\dagger Sr=R^{-1}G^{-1}h,\qquad G=Q^\top S^\top SQ,\ h=Q^\top S^\top Sr,

so ``sketch_and_solve(Q, r, S)``, or ``solve_gram(G, h)`` where G is well conditioned, is the error itself.
"""

from __future__ import annotations

import math
from typing import Any

from touchstone.arrays import Array, extremes, holds_data, namespace
from touchstone.linalg.least_squares import least_squares
from touchstone.sketching.operator import Sketch


def sketch_and_solve(A: Any, b: Array, S: Sketch, *, rtol: float = 1e-12) -> Array:
    r""":math:`x'=(SA)^\dagger Sb`, the shortest minimiser of :math:`\lVert S(Ax-b)\rVert_2`.

    ``A`` (n, d), an array or, where the sketch takes it, a sparse matrix; ``b`` (n,) or (n, k) for several
    right-hand sides; ``S`` a sketch (m, n). The result is (d,) or (d, k). Singular values of SA that are at
    most ``rtol`` times the largest count as zero.

    Cost: two products with S and 2 m d^2 multiply-adds. Raises what ``S @ A`` and ``least_squares`` raise,
    ``ValueError`` where A is no matrix.

    Source: linf-guarantee-regression, setting; T. Sarlós, *Improved Approximation Algorithms for Large
    Matrices via Random Projections* (2006).
    """
    if len(A.shape) != 2:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected a matrix")
    return least_squares(S @ A, S @ b, rtol=rtol)


def solve_gram(G: Array, h: Array, *, rtol: float = 1e-12) -> Array:
    r""":math:`G^\dagger h` for positive semidefinite ``G`` (..., d, d) and ``h`` (..., d): (..., d).

    With G and h the products of SA with itself and with Sb it is the x' of ``sketch_and_solve`` at a cost
    that does not depend on m, for the square of the condition number: made for SQ with Q orthonormal, where
    that is near 1. Only the lower triangle of G is read. Eigenvalues at most ``rtol`` times the largest
    count as zero; singular G are welcome, as a sketch may lose a direction.

    Cost: an eigendecomposition, about 9 d^3, and 2 d^2 multiply-adds each. Raises ``ValueError`` for shapes
    that do not fit, numbers that are not finite or rtol outside [0, 1), ``TypeError`` unless both are real
    floating. Source: linf-guarantee-regression, setting.
    """
    xp = namespace(G, h)
    for name, x in (("G", G), ("h", h)):
        if not xp.isdtype(x.dtype, "real floating"):
            raise TypeError(f"{name} of dtype {x.dtype}: expected real floating numbers")
    if G.ndim < 2 or G.shape[-1] != G.shape[-2] or G.shape[-1] < 1:
        raise ValueError(f"G of shape {tuple(G.shape)}: expected square matrices")
    if tuple(h.shape) != tuple(G.shape[:-1]):
        raise ValueError(f"h of shape {tuple(h.shape)}: expected {tuple(G.shape[:-1])}, a row for each G")
    for name, x in (("G", G), ("h", h)):
        if holds_data(x) and 0 not in x.shape and not math.isfinite(sum(extremes(x))):
            raise ValueError(f"{name} from {extremes(x)[0]} to {extremes(x)[1]}: expected finite numbers")
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol={rtol!r}: expected a number in [0, 1)")
    values, V = xp.linalg.eigh(G)
    kept = values > rtol * values[..., -1:]
    inverse = xp.where(kept, 1 / xp.where(kept, values, xp.ones_like(values)), xp.zeros_like(values))
    coordinates = inverse[..., None] * (xp.matrix_transpose(V) @ h[..., None])
    return (V @ coordinates)[..., 0]
