r"""Neural tangent kernels: inner products of the gradients of a network in its parameters.

The quadratic network is :math:`f(x)=\frac1{\sqrt m}\sum_r a_r\,\tfrac12\langle w_r,x\rangle^2` with signs
:math:`a_r`; its gradient in :math:`w_r` is :math:`a_r\langle w_r,x\rangle x/\sqrt m`. With
:math:`w_r\sim N(0,\sigma^2I)` its kernel at width infinity is :math:`\sigma^2\langle x,x'\rangle^2`.

Source: ntk-regression-dp, Setting.
"""

from __future__ import annotations

import math
from typing import Any

from touchstone.arrays import map_rows, namespace

Array = Any


def quadratic_ntk(X: Array, sigma: float = 1.0, points: Array | None = None) -> Array:
    r"""The quadratic network's kernel at width infinity, :math:`\sigma^2\langle x_i,x_j\rangle^2`: (n, n).

    ``X`` (n, d). With ``points`` (q, d) the kernel between them and the rows of ``X``, (q, n): the rows that
    ``kernel_ridge`` takes. The matrix has rank at most d (d + 1) / 2. Raises ``ValueError`` for arrays that
    are no matrices of the same width and for a ``sigma`` that is not positive and finite. Cost: q n d
    multiply-adds, 2 q n other operations.
    """
    _check_rows("X", X)
    _check_sigma(sigma)
    if points is None:
        points = X
    else:
        _check_rows("points", points, X.shape[1])
    products = points @ X.T
    return sigma**2 * (products * products)


def quadratic_network_ntk(X: Array, W: Array, *, block: int = 2**14) -> Array:
    r"""The kernel of the quadratic network with the neurons ``W`` (m, d):
    :math:`\frac1m\sum_r\langle w_r,x_i\rangle\langle w_r,x_j\rangle\langle x_i,x_j\rangle`, (n, n).

    ``X`` (n, d). Its expectation over :math:`w_r\sim N(0,\sigma^2I)` is ``quadratic_ntk(X, sigma)``. Takes
    ``block`` neurons at a time. Cost: m n (n + d) + n² d multiply-adds, where ``empirical_ntk`` of the
    Jacobian takes m n² d; memory n ``block``. Raises ``ValueError`` for arrays that are no matrices of the
    same width, or no neurons.
    """
    _check_rows("X", X)
    _check_rows("W", W, X.shape[1])
    if W.shape[0] < 1:
        raise ValueError(f"W of shape {tuple(W.shape)}: expected at least one neuron")

    def gram(W: Array) -> Array:
        activations = X @ W.T
        return activations @ activations.T

    return map_rows(gram, W, block=block, reduce="sum") / W.shape[0] * (X @ X.T)


def quadratic_ntk_changes(X: Array, rows: Array, moved: Array, sigma: float = 1.0) -> Array:
    r"""How ``quadratic_ntk(X, sigma)`` changes when one point moves: v (m, n), the kernel after it being
    :math:`H+e_jv^\top+ve_j^\top`.

    ``rows`` (m,) holds the integers j and ``moved`` (m, d) the points in the place of :math:`x_j`: m
    neighbours of ``X``. Products of differences, so that a small move keeps its digits. Raises ``ValueError``
    for shapes that do not fit and a bad ``sigma``. Cost: 2 m n d multiply-adds.
    """
    _check_rows("X", X)
    _check_rows("moved", moved, X.shape[1])
    _check_sigma(sigma)
    if rows.ndim != 1 or rows.shape[0] != moved.shape[0]:
        raise ValueError(
            f"rows of shape {tuple(rows.shape)}: expected ({moved.shape[0]},), one a moved point"
        )
    xp = namespace(X, moved)
    before = xp.take(X, rows, axis=0)
    step, total = moved - before, moved + before
    changes = (step @ X.T) * (total @ X.T)
    # <x', x'>^2 - <x, x>^2, half of it
    lengths = xp.sum(before * before, axis=1) + xp.sum(moved * moved, axis=1)
    diagonal = xp.sum(step * total, axis=1) * lengths / 2
    at_row = rows[:, None] == xp.arange(X.shape[0], dtype=rows.dtype)[None, :]
    return sigma**2 * xp.where(at_row, diagonal[:, None], changes)


def quadratic_ntk_derivative(X: Array, j: int, sigma: float = 1.0) -> Array:
    r"""How ``quadratic_ntk(X, sigma)`` moves with the point :math:`x_j`: J (n, d), :math:`2\sigma^2\langle
    x_i,x_j\rangle x_i` in row i.

    To first order in u the kernel of the moved point :math:`x_j+u` is
    :math:`H+e_j(Ju)^\top+(Ju)e_j^\top`: the diagonal entry moves by twice :math:`(Ju)_j`. Raises
    ``ValueError`` as ``quadratic_ntk`` does, and ``IndexError`` for a ``j`` out of range. Cost: n d
    multiply-adds, n (d + 1) other operations.
    """
    _check_rows("X", X)
    _check_sigma(sigma)
    if not 0 <= j < X.shape[0]:
        raise IndexError(f"j={j!r}: expected 0 <= j < {X.shape[0]}")
    return (2 * sigma**2 * (X @ X[j, :]))[:, None] * X


def empirical_ntk(jacobian: Array) -> Array:
    """The tangent kernel of any network: J J^T of its Jacobian, (n, n).

    ``jacobian`` (n, ...) holds for each input the derivatives of one output in all parameters, in any number
    of axes. Raises ``ValueError`` for fewer than two axes. Cost: n² p multiply-adds for p parameters.
    """
    if jacobian.ndim < 2:
        raise ValueError(f"jacobian of shape {tuple(jacobian.shape)}: expected inputs first, then parameters")
    xp = namespace(jacobian)
    rows = xp.reshape(jacobian, (jacobian.shape[0], math.prod(jacobian.shape[1:])))
    return rows @ rows.T


def _check_rows(name: str, X: Array, width: int | None = None) -> None:
    namespace(X)
    if X.ndim != 2 or (width is not None and X.shape[1] != width):
        wanted = "a matrix" if width is None else f"rows of {width} entries, as X has"
        raise ValueError(f"{name} of shape {tuple(X.shape)}: expected {wanted}")


def _check_sigma(sigma: float) -> None:
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma={sigma!r}: expected a finite number > 0")
