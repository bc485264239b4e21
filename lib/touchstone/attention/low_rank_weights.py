"""Attention weights of low rank, as an operator: a polynomial in place of the exponential."""

from __future__ import annotations

from typing import Any

from touchstone.attention.polynomial import polynomial_factors
from touchstone.functions.monomials import MonomialPlan
from touchstone.linalg.low_rank import CausalLowRank, LowRank
from touchstone.linalg.row_normalised import RowNormalised

Array = Any


def low_rank_weights(
    Q: Array,
    K: Array,
    coefficients: Any,
    *,
    scale: float,
    mask: str | None = None,
    plan: MonomialPlan | None = None,
    block: int = 64,
) -> RowNormalised:
    r"""``attention_weights`` with :math:`P(x)=\sum_tc_tx^t` for :math:`e^x`: an operator with ``@``, ``.T``.

    ``Q`` (n, d), ``K`` (m, d), ``coefficients`` and ``plan`` as in ``polynomial_factors``, r columns;
    ``mask`` is ``None`` or ``"causal"`` (n = m), whose triangle is applied by prefix sums over ``block``
    rows at a time (``CausalLowRank``). Rows sum to one; a degree so low that a sum is zero divides by zero.

    Cost: that of the factors, which stay in memory, and of a product with one column; each later product
    costs that of ``LowRank`` or ``CausalLowRank``. Raises ``ValueError`` for another mask, and what
    ``polynomial_factors`` and those raise.

    Source: multilayer-gradient, fast application and causal mask.
    """
    if mask is not None and not (isinstance(mask, str) and mask == "causal"):
        raise ValueError(f"mask={mask!r}: expected 'causal' or None")
    U1, U2 = polynomial_factors(Q, K, coefficients, scale=scale, plan=plan)
    A = LowRank(U1, U2) if mask is None else CausalLowRank(U1, U2, block)
    return RowNormalised(A, like=U1)
