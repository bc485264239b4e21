"""Matrices of low rank, whole or lower-triangular, and products with one that another is multiplied by."""

from __future__ import annotations

from typing import Any

import array_api_compat

from touchstone.arrays import map_rows, namespace

Array = Any


class LowRank:
    r"""``U V^T``: an operator with ``shape``, ``@`` and ``.T``, never formed.

    ``U`` (n, r) and ``V`` (m, r). Cost of a product with c columns: (n + m) r c multiply-adds, memory r c
    beside the result. Raises ``ValueError`` for arrays that are no matrices or different numbers of columns,
    ``TypeError`` for arrays of different libraries.

    Source: multilayer-gradient, fast application.
    """

    def __init__(self, U: Array, V: Array) -> None:
        _check_factors(U, V)
        self.U, self.V = U, V

    @property
    def shape(self) -> tuple[int, int]:
        return (self.U.shape[0], self.V.shape[0])

    @property
    def T(self) -> LowRank:
        return LowRank(self.V, self.U)

    def __matmul__(self, M: Array) -> Array:
        _check_rows(M, self.shape)
        return self.U @ (self.V.T @ M)


class CausalLowRank:
    r"""``tril(U V^T)``, the diagonal included: an operator with ``shape``, ``@`` and ``.T``, never formed.

    Row i of a product with M is :math:`\langle U_i,\sum_{j\le i}V_jM_j\rangle`. The prefix sums of whole
    blocks of ``block`` rows are carried along; inside a block the triangle is formed. The transpose takes
    suffix sums, by the same way through the rows in reverse. ``U`` and ``V`` are both (n, r).

    Cost of a product with c columns: n (2 r c + b (r + c)) multiply-adds, b = min(block, n), and n b moves;
    memory r c + b^2 beside the result, whatever n is. Raises ``ValueError`` for shapes that do not fit or a
    ``block`` below 1, ``TypeError`` for arrays of different libraries.

    Source: multilayer-gradient, causal mask.
    """

    def __init__(self, U: Array, V: Array, block: int = 64) -> None:
        self._set(U, V, block, transposed=False)

    def _set(self, U: Array, V: Array, block: int, *, transposed: bool) -> None:
        _check_factors(U, V)
        if U.shape[0] != V.shape[0]:
            raise ValueError(f"V of shape {tuple(V.shape)}: expected {U.shape[0]} rows, as U has")
        if isinstance(block, bool) or not isinstance(block, int) or block < 1:
            raise ValueError(f"block={block!r}: expected an integer >= 1")
        self.U, self.V, self.block, self._transposed = U, V, block, transposed

    @property
    def shape(self) -> tuple[int, int]:
        return (self.U.shape[0], self.U.shape[0])

    @property
    def T(self) -> CausalLowRank:
        other = object.__new__(CausalLowRank)
        other._set(self.U, self.V, self.block, transposed=not self._transposed)
        return other

    def __matmul__(self, M: Array) -> Array:
        _check_rows(M, self.shape)
        if M.ndim == 1:
            return (self @ M[:, None])[:, 0]
        xp = namespace(self.U, M)
        if not self._transposed:
            return _lower_product(self.U, self.V, M, self.block)
        # in reversed order the upper triangle V U^T is a lower one
        V, U, M = (xp.flip(x, axis=0) for x in (self.V, self.U, M))
        return xp.flip(_lower_product(V, U, M, self.block), axis=0)


def _lower_product(U: Array, V: Array, M: Array, block: int) -> Array:
    """``tril(U V^T) @ M``; blocks come in order, as one thread takes them."""
    xp = namespace(U, V, M)
    before = xp.zeros((V.shape[1], M.shape[1]), dtype=xp.result_type(V, M), device=array_api_compat.device(M))

    def rows(U: Array, V: Array, M: Array) -> Array:
        nonlocal before
        inside = xp.tril(U @ V.T) @ M
        result = U @ before + inside
        before = before + V.T @ M
        return result

    return map_rows(rows, U, V, M, block=block)


def hadamard_product_apply(F: Any, G: Array, H: Array, M: Array) -> Array:
    r"""``(F ∘ G Hᵀ) @ M`` by products with ``F``: :math:`\sum_a\mathrm{diag}(G_a)F\,\mathrm{diag}(H_a)M`.

    ``F`` is (n, m), an array or any operator with ``shape`` and ``@``; ``G`` (n, r), ``H`` (m, r), ``M``
    (m, c); returns (n, c). Neither the product nor ``G Hᵀ`` is formed.

    Cost: one product of ``F`` with r c columns, n r c multiplications and as many additions, m r c
    multiplications; memory (n + m) r c. Raises ``ValueError`` for shapes that do not fit.

    Source: conv-basis-attention, the gradient; Alman and Song use the same identity for F of low rank.
    """
    xp = namespace(G, H, M)
    n, m = F.shape
    for name, x, rows in (("G", G, n), ("H", H, m), ("M", M, m)):
        if x.ndim != 2 or x.shape[0] != rows:
            raise ValueError(f"{name} of shape {tuple(x.shape)}: expected {rows} rows, F is {(n, m)}")
    if G.shape[1] != H.shape[1]:
        raise ValueError(f"G of shape {tuple(G.shape)}: expected {H.shape[1]} columns, as many as H")
    r, c = H.shape[1], M.shape[1]
    columns = xp.reshape(H[:, :, None] * M[:, None, :], (m, r * c))
    return xp.sum(G[:, :, None] * xp.reshape(F @ columns, (n, r, c)), axis=1)


def _check_factors(U: Array, V: Array) -> None:
    namespace(U, V)
    for name, x in (("U", U), ("V", V)):
        if x.ndim != 2:
            raise ValueError(f"{name} of shape {tuple(x.shape)}: expected a matrix")
    if U.shape[1] != V.shape[1]:
        raise ValueError(f"V of shape {tuple(V.shape)}: expected {U.shape[1]} columns, as many as U")


def _check_rows(M: Array, shape: tuple[int, int]) -> None:
    if M.ndim not in (1, 2) or M.shape[0] != shape[1]:
        raise ValueError(f"M of shape {tuple(M.shape)}: expected {shape[1]} rows, the operator is {shape}")
