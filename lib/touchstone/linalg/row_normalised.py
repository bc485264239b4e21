"""Rows that sum to one, over any operator: softmax weights from unnormalised ones."""

from __future__ import annotations

from typing import Any

import array_api_compat

from touchstone.arrays import namespace

Array = Any


class RowNormalised:
    r"""``F = D^{-1} A`` with ``D = diag(A 1)``: an operator with ``@`` and ``.T``, never formed.

    ``A`` is an (n, m) array or any operator with ``shape``, ``@`` and ``.T``; ``like`` is an array whose
    library, dtype and device the vector of ones takes. No row of ``A`` may sum to zero. Cost: one product of
    ``A`` with a vector when built; each product with F costs one with A, and a division an entry.

    Source: conv-basis-attention, D and f; it serves every factored attention matrix.
    """

    def __init__(self, A: Any, *, like: Array) -> None:
        self.A = A
        ones = namespace(like).ones(A.shape[1], dtype=like.dtype, device=array_api_compat.device(like))
        self.row_sums = A @ ones

    @property
    def shape(self) -> tuple[int, int]:
        return tuple(self.A.shape)

    def __matmul__(self, V: Array) -> Array:
        return (self.A @ V) / (self.row_sums if V.ndim == 1 else self.row_sums[:, None])

    @property
    def T(self) -> _Transposed:
        return _Transposed(self)


class _Transposed:
    """``A^T D^{-1}``."""

    def __init__(self, F: RowNormalised) -> None:
        self.T = F

    @property
    def shape(self) -> tuple[int, int]:
        return self.T.shape[::-1]

    def __matmul__(self, V: Array) -> Array:
        sums = self.T.row_sums
        return self.T.A.T @ (V / (sums if V.ndim == 1 else sums[:, None]))
