"""Products with a matrix that is multiplied, entry by entry, by one of low rank."""

from __future__ import annotations

from typing import Any

from touchstone.arrays import namespace

Array = Any


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
