r"""The gradient of polynomial attention, in row blocks: linear in the number of tokens, in bounded memory.

``polynomial_attention`` is a quotient of sums :math:`\sum_w w_{ab}\,q^aq^b\,M_{ab}` over monomials a of the
first half of the variables and b of the second, with :math:`M_{ab}=\sum_jk_j^ak_j^b[v_j,1]`. Walked through
backwards, each of its matrix products is paid once more for either factor, and a derivative of a monomial
is a monomial. That makes six products where the forward pass has two, with d + 1 columns each, whatever the
number d of features. The gradient in the logits as a sum over columns (``score_gradient_apply``) takes four
with :math:`(d+1)^2` columns.

Source: multilayer-gradient, fast application; the reverse sweep and the split are ours.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from touchstone.arrays import block_factor, map_rows, namespace, single_threaded_blas
from touchstone.attention.polynomial import checked_plan
from touchstone.attention.split_product import (
    BufferedSplitSteps,
    SplitSteps,
    by_columns,
    split_weights,
    token_product,
    token_rows,
    weighted_sums,
)
from touchstone.functions.monomials import MonomialPlan

Array = Any

# Rows of a block are chosen so that the working set of one block stays within this many bytes.
_BLOCK_BYTES = 8 * 2**20
_BLOCK_ROWS = 2048


def integrated_coefficients(coefficients: Any, radius: float) -> np.ndarray:
    r"""Coefficients of :math:`e^{-R}+\int_{-R}^xP`, for ``P`` of ``coefficients`` c_0 .. c_g: g + 2 of them.

    If P is within a relative eps of :math:`e^x` on [-R, R], so are this polynomial, whose error is at most
    :math:`\int_{-R}^x\epsilon e^t\,dt\le\epsilon e^x`, and its derivative, which is P. A gradient asks it of
    both. Raises ``ValueError`` for coefficients that are no numbers in a row or a negative ``radius``.
    """
    c = np.asarray(coefficients, dtype=float)
    if c.ndim != 1 or c.size < 1 or not np.all(np.isfinite(c)):
        raise ValueError(f"coefficients={coefficients!r}: expected finite numbers c_0 .. c_g")
    if not 0 <= radius < np.inf:
        raise ValueError(f"radius={radius!r}: expected a finite number >= 0")
    integral = np.concatenate([[0.0], c / np.arange(1, c.size + 1)])
    integral[0] = np.exp(-radius) - np.polynomial.polynomial.polyval(-radius, integral)
    return integral


def polynomial_attention_vjp(
    Q: Array,
    K: Array,
    V: Array,
    G: Array,
    coefficients: Any,
    *,
    scale: float,
    block: int | None = None,
    workers: int = 1,
    plan: MonomialPlan | None = None,
) -> tuple[Array, Array, Array]:
    r"""``dQ, dK, dV``: the gradient of :math:`\langle G,\mathrm{polynomial\_attention}(Q, K, V)\rangle`.

    ``G`` (n, d_v) is fixed; the other arguments are those of ``polynomial_attention``. It is the exact
    derivative of that function. As an approximation of exact attention's gradient it needs a polynomial
    whose derivative, too, is close to the exponential: ``integrated_coefficients``.

    Memory beyond input and output is (n + m)(d_v + 1) numbers, and for each worker a block with N1 + N2
    features, as many derivatives and up to 3 N1 (d_v + 1) products a row, N1 and N2 as in
    ``polynomial_attention``, and a few times r (d_v + 1) sums. Cost: 3 (n + m) r (d_v + 1) multiply-adds in
    matrix products, and O((n + m)(N1 d_v + N2)) arithmetic. Raises what ``polynomial_attention`` raises, and
    ``ValueError`` for a ``G`` that does not fit.
    """
    if V.ndim != 2 or V.shape[0] != K.shape[0]:
        raise ValueError(f"V of shape {tuple(V.shape)}: expected ({K.shape[0]}, d_v), a row for each key")
    if tuple(G.shape) != (Q.shape[0], V.shape[1]):
        raise ValueError(f"G of shape {tuple(G.shape)}: expected {(Q.shape[0], V.shape[1])}")
    plan = checked_plan(Q, K, coefficients, scale, plan)
    xp = namespace(Q, K, V, G)
    columns = V.shape[1] + 1
    if block is None:
        first, second = plan.halves
        floats = 2 * (first.rank + second.rank) + (first.rank + max(first.sizes)) * columns
        rows = _BLOCK_BYTES // (floats * xp.finfo(Q.dtype).bits // 8)
        block = block_factor(Q) * max(16, min(_BLOCK_ROWS, rows))
    buffered = isinstance(Q, np.ndarray) and Q.dtype == K.dtype == V.dtype == G.dtype
    local = threading.local()  # buffers are reused from block to block, by one thread each

    def sweep() -> _Sweep:
        if not hasattr(local, "sweep"):
            local.sweep = _BufferedSweep(plan, columns, block, Q.dtype) if buffered else _Sweep(plan, columns)
        return local.sweep

    weights = split_weights(plan, coefficients, scale, Q)

    def weighted(sums: Sequence[Array]) -> list[Array]:
        """The sums over the rows, with the weights of the polynomial."""
        return [weighted_sums(M, w, columns) for M, w in zip(sums, weights, strict=True)]

    # products this narrow are slower with several BLAS threads than with one
    with single_threaded_blas() if isinstance(Q, np.ndarray) else nullcontext():
        values = xp.concat([V, xp.ones_like(K[:, :1])], axis=1)
        sums = map_rows(
            lambda k, w: sweep().sums(k, w), K, values, block=block, reduce="sum", workers=workers
        )
        keys = weighted(sums if isinstance(sums, tuple) else (sums,))
        reduce = ("concatenate", *["sum"] * len(keys))
        dQ, *sums = map_rows(
            lambda q, g: sweep().queries(q, g, keys), Q, G, block=block, reduce=reduce, workers=workers
        )
        queries = weighted(sums)
        dK, dV = map_rows(lambda k, v: sweep().keys(k, v, queries), K, values, block=block, workers=workers)
    return dQ, dK, dV


class _Sweep:
    """The steps of one block on any array; tokens lie along the second axis."""

    def __init__(self, plan: MonomialPlan, columns: int) -> None:
        self.steps = SplitSteps(plan, columns)
        self.first, self.second, self.columns = self.steps.first, self.steps.second, columns

    def sums(self, X: Array, W: Array) -> tuple[Array, ...]:
        """For each t: sums over the rows of (a, column of W) times b, (N1_t columns, N2_{<=g-t})."""
        first, second = self.steps.features(X)
        W = self.columns_as_rows(W)
        return tuple(
            self.steps.sums(self.steps.row_products(A, W), second[:width, :])
            for A, width in zip(first, self.steps.widths, strict=False)
        )

    def queries(self, Q: Array, G: Array, sums: Sequence[Array]) -> tuple[Array, ...]:
        """``dQ``, and the ``sums`` of the queries with the gradient in numerators and denominators."""
        xp = namespace(Q, G)
        first, second = self.steps.features(Q)
        products = self.products(sums, second)
        total = self.totals(products, first)
        outputs, G = total[:-1, :] / total[-1:, :], self.columns_as_rows(G)
        means = xp.sum(G * outputs, axis=0)[None, :]
        upstream = xp.concat([G, -means], axis=0) / total[-1:, :]
        in_first = self.contracted(products, upstream)
        in_second, of_queries = self.transposed_products(sums, first, upstream, second)
        return self.in_variables(Q, first, second, in_first, in_second), *of_queries

    def keys(self, K: Array, W: Array, sums: Sequence[Array]) -> tuple[Array, Array]:
        """``dK`` and ``dV``; ``W`` is [V, 1]."""
        first, second = self.steps.features(K)
        W = self.columns_as_rows(W)
        products = self.products(sums, second)
        dV = self.totals(products, first)[:-1, :].T
        in_first = self.contracted(products, W)
        in_second, _ = self.transposed_products(sums, first, W, None)
        return self.in_variables(K, first, second, in_first, in_second), dV

    def in_variables(
        self, X: Array, first: Sequence[Array], second: Array, in_first: list[Array], in_second: Array
    ) -> Array:
        """The gradient in the rows of ``X``, from that in the monomials of both halves."""
        xp, X, s, d = namespace(X), X.T, self.second.starts, self.first.d
        by_degree = [in_second[s[t] : s[t + 1], :] for t in range(self.second.degree + 1)]
        table = [second[s[t] : s[t + 1], :] for t in range(self.second.degree + 1)]
        parts = [self.pull_back(X[d:, :], table, by_degree, self.second)]
        if d:
            parts.insert(0, self.pull_back(X[:d, :], first, in_first, self.first))
        return xp.concat(parts, axis=0).T

    # what the buffered sweep does in place

    def columns_as_rows(self, W: Array) -> Array:
        return W.T

    def products(self, sums: Sequence[Array], second: Array) -> list[Array]:
        """For each t: ``sums`` times the monomials of the second half, (N1_t, columns, tokens)."""
        xp = namespace(second)
        return [
            xp.reshape(M @ second[:width, :], (-1, self.columns, second.shape[1]))
            for M, width in zip(sums, self.steps.widths, strict=False)
        ]

    def totals(self, products: Sequence[Array], first: Sequence[Array]) -> Array:
        """Those times the monomials of the first half, summed over these: (columns, tokens)."""
        xp, total = namespace(first[0]), None
        for H, A in zip(products, first, strict=True):
            part = xp.sum(H * A[:, None, :], axis=0)
            total = part if total is None else total + part
        return total

    def contracted(self, products: Sequence[Array], W: Array) -> list[Array]:
        """The gradient in the monomials of the first half, by degree."""
        return [namespace(W).sum(H * W[None, :, :], axis=1) for H in products]

    def transposed_products(
        self, sums: Sequence[Array], first: Sequence[Array], W: Array, second: Array | None
    ) -> tuple[Array, list[Array]]:
        """The gradient in the monomials of the second half and, given these, their sums with ``W``."""
        xp, total, found = namespace(W), None, []
        for M, A, width in zip(sums, first, self.steps.widths, strict=False):
            rows = self.steps.row_products(A, W)
            part = M.T @ rows
            total = part if total is None else xp.concat([total[:width, :] + part, total[width:, :]], axis=0)
            if second is not None:
                found.append(self.steps.sums(rows, second[:width, :]))
        return total, found

    def pull_back(
        self, X: Array, table: Sequence[Array], gradient: Sequence[Array], plan: MonomialPlan
    ) -> Array:
        """The gradient in the variables, (d, tokens), from that in their monomials, both by degree.

        Every monomial is its parent, one of a prefix of the degree below, times one variable.
        """
        xp = namespace(X)
        found: list[Any] = [None] * plan.d
        above = gradient[plan.degree]
        for t in range(plan.degree, 0, -1):
            parents, at, below = table[t - 1], 0, gradient[t - 1]
            for v in range(plan.d):
                size = plan.prefix(v, t - 1)
                mine = above[at : at + size, :]
                part = xp.sum(mine * parents[:size, :], axis=0)
                found[v] = part if found[v] is None else found[v] + part
                raised = below[:size, :] + mine * X[v, :][None, :]
                below = raised if size == below.shape[0] else xp.concat([raised, below[size:, :]], axis=0)
                at += size
            above = below
        if plan.degree == 0:
            return xp.zeros_like(X)
        return xp.stack(found)


class _BufferedSweep(_Sweep):
    """The same steps on NumPy, in few large calls into buffers that are allocated once."""

    def __init__(self, plan: MonomialPlan, columns: int, block: int, dtype: Any) -> None:
        super().__init__(plan, columns)
        self.steps = BufferedSplitSteps(plan, columns, block, dtype)
        ranks = self.first.rank + self.second.rank
        self._products = token_rows(self.first.rank * columns, block, dtype)
        self._gradients = token_rows(ranks, block, dtype)  # in the monomials, in the order of the tables
        self._scratch = token_rows(ranks, block, dtype)

    def columns_as_rows(self, W: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(W.T)

    def products(self, sums: Sequence[np.ndarray], second: np.ndarray) -> np.ndarray:
        at, out = 0, self._products[:, : second.shape[1]]
        for M, width in zip(sums, self.steps.widths, strict=False):
            token_product(M, second[:width], out[at : at + M.shape[0]])
            at += M.shape[0]
        return by_columns(out, self.columns)

    def totals(self, products: np.ndarray, first: Sequence[np.ndarray]) -> np.ndarray:  # noqa: ARG002
        table = self.steps.tables[: self.first.rank, : products.shape[2]]
        return np.einsum("act,at->ct", products, table)

    def contracted(self, products: np.ndarray, W: np.ndarray) -> np.ndarray:
        out = self._gradients[: self.first.rank, : W.shape[1]]
        return np.einsum("act,ct->at", products, W, out=out)

    def transposed_products(
        self,
        sums: Sequence[np.ndarray],
        first: Sequence[np.ndarray],  # noqa: ARG002
        W: np.ndarray,
        second: np.ndarray | None,
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        tokens, at, found = W.shape[1], 0, []
        products = self._products[:, :tokens]  # what was in there has been used up
        table = self.steps.tables[: self.first.rank, :tokens]
        np.multiply(table[:, None, :], W[None, :, :], out=by_columns(products, self.columns))
        total, part = self._gradients[self.first.rank :, :tokens], self._scratch[:, :tokens]
        for t, (M, width) in enumerate(zip(sums, self.steps.widths, strict=False)):
            out, rows = (part if t else total)[:width], products[at : at + M.shape[0]]
            token_product(M.T, rows, out)
            if t:
                total[:width] += out
            if second is not None:
                found.append(self.steps.sums(rows, second[:width]))
            at += M.shape[0]
        return total, found

    def in_variables(
        self,
        X: np.ndarray,
        first: Sequence[np.ndarray],  # noqa: ARG002
        second: np.ndarray,
        in_first: np.ndarray,  # noqa: ARG002
        in_second: np.ndarray,  # noqa: ARG002
    ) -> np.ndarray:
        X, tokens = np.ascontiguousarray(X.T), second.shape[1]
        found = np.zeros_like(X)
        rank, of = self.first.rank, self.steps.halves_of
        for (x, plan), (table, _), (gradient, _), (scratch, _), (out, _) in zip(
            of(X, self.first.d),
            of(self.steps.tables[:, :tokens], rank),
            of(self._gradients[:, :tokens], rank),
            of(self._scratch[:, :tokens], rank),
            of(found, self.first.d),
            strict=True,
        ):
            _pull_back_in_place(x, table, gradient, scratch, plan, out)
        return found.T


def _pull_back_in_place(
    X: np.ndarray,
    table: np.ndarray,
    gradient: np.ndarray,
    scratch: np.ndarray,
    plan: MonomialPlan,
    out: np.ndarray,
) -> None:
    """``pull_back`` of (.., rows, tokens), added to ``out``; ``gradient`` is used up."""
    for t in range(plan.degree, 0, -1):
        below, at = plan.starts[t - 1], plan.starts[t]
        for v in range(plan.d):
            size = plan.prefix(v, t - 1)
            mine, raised = gradient[..., at : at + size, :], scratch[..., :size, :]
            out[..., v, :] += np.einsum("...at,...at->...t", mine, table[..., below : below + size, :])
            np.multiply(mine, X[..., v : v + 1, :], out=raised)
            gradient[..., below : below + size, :] += raised
            at += size
