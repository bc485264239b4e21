r"""Kronecker products of matrices: the full one, the column-wise and the row-wise.

Pairs of rows (or columns) are numbered with the last factor running fastest, as everywhere: row
:math:`(j, l)` of a product of matrices with m and p rows is row :math:`jp+l`.
"""

from __future__ import annotations

from typing import Any

from touchstone.arrays import namespace

Array = Any


def kron(*As: Array) -> Array:
    r"""The Kronecker product :math:`A_1\otimes A_2\otimes\dots` of matrices (m_s, n_s): (prod m_s, prod n_s).

    Entry :math:`((i,j),(k,l))` of a product of two is :math:`A_{ik}B_{jl}`. One matrix is returned as it is.
    Cost: one multiplication an entry of the result, and of every partial product from the left. Raises
    ``ValueError`` for no matrices or an array that is not one, ``TypeError`` for arrays of different
    libraries. Source: tensor-attention-training, setting.
    """
    xp = _matrices(As)
    product = As[0]
    for A in As[1:]:
        shape = (product.shape[0] * A.shape[0], product.shape[1] * A.shape[1])
        product = xp.reshape(product[:, None, :, None] * A[None, :, None, :], shape)
    return product


def khatri_rao(*As: Array) -> Array:
    r"""The column-wise Kronecker product :math:`A_1\oslash A_2\oslash\dots` of (m_s, c): (prod m_s, c).

    Row :math:`(j,l)` of a product of two is the entrywise product of row j of the first and row l of the
    second. One matrix is returned as it is. Cost: one multiplication an entry of the result, and of every
    partial product from the left. Raises ``ValueError`` for no matrices, an array that is not one, or
    unequal numbers of columns, ``TypeError`` for arrays of different libraries. Source:
    tensor-attention-forward, setting.
    """
    xp = _matrices(As)
    _equal(As, 1, "columns")
    product = As[0]
    for A in As[1:]:
        shape = (product.shape[0] * A.shape[0], A.shape[1])
        product = xp.reshape(product[:, None, :] * A[None, :, :], shape)
    return product


def face_splitting(*As: Array) -> Array:
    r"""The row-wise Kronecker product of (m, c_s): (m, prod c_s).

    Row i of a product of two holds all products :math:`A_{ik}B_{il}`, with l running fastest: the transpose
    of ``khatri_rao(A.T, B.T)``. One matrix is returned as it is. Cost: one multiplication an entry of the
    result, and of every partial product from the left. Raises ``ValueError`` for no matrices, an array that
    is not one, or unequal numbers of rows, ``TypeError`` for arrays of different libraries.
    """
    xp = _matrices(As)
    _equal(As, 0, "rows")
    product = As[0]
    for A in As[1:]:
        shape = (A.shape[0], product.shape[1] * A.shape[1])
        product = xp.reshape(product[:, :, None] * A[:, None, :], shape)
    return product


def _matrices(As: tuple[Array, ...]) -> Any:
    """The namespace of ``As``, once they are at least one matrix."""
    if not As:
        raise ValueError("As=(): expected at least one matrix")
    for at, A in enumerate(As):
        if A.ndim != 2:
            raise ValueError(f"As[{at}] of shape {tuple(A.shape)}: expected a matrix")
    return namespace(*As)


def _equal(As: tuple[Array, ...], axis: int, what: str) -> None:
    for at, A in enumerate(As):
        if A.shape[axis] != As[0].shape[axis]:
            raise ValueError(
                f"As[{at}] of shape {tuple(A.shape)}: expected {As[0].shape[axis]} {what}, as the first has"
            )
