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
from touchstone.attention.polynomial import _Buffers as _ForwardBuffers
from touchstone.attention.polynomial import _Fresh as _Forward
from touchstone.attention.polynomial import _split_weights, _weighted, checked_plan
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

    weights = _split_weights(plan, coefficients, scale, Q)

    def weighted_sums(X: Array, W: Array) -> list[Array]:
        """Over the rows: monomials of ``X`` times columns of ``W``, with the weights of the polynomial."""
        sums = map_rows(lambda x, w: sweep().sums(x, w), X, W, block=block, reduce="sum", workers=workers)
        sums = sums if isinstance(sums, tuple) else (sums,)
        return [_weighted(M, w, columns) for M, w in zip(sums, weights, strict=True)]

    # products this narrow are slower with several BLAS threads than with one
    with single_threaded_blas() if isinstance(Q, np.ndarray) else nullcontext():
        values = xp.concat([V, xp.ones_like(K[:, :1])], axis=1)
        keys = weighted_sums(K, values)
        dQ, upstream = map_rows(lambda q, g: sweep().queries(q, g, keys), Q, G, block=block, workers=workers)
        queries = weighted_sums(Q, upstream)
        dK, dV = map_rows(lambda k, v: sweep().keys(k, v, queries), K, values, block=block, workers=workers)
    return dQ, dK, dV


class _Sweep:
    """The steps of one block, tokens along the second axis so that every step runs over contiguous rows."""

    def __init__(self, plan: MonomialPlan, columns: int) -> None:
        self.first, self.second = plan.halves
        self.columns = columns
        # of degree t in the first half go with degrees up to g - t in the second: a prefix of the table
        self.widths = [self.second.starts[plan.degree - t + 1] for t in range(plan.degree + 1)]
        self.forward = _Forward(plan, columns)

    def sums(self, X: Array, W: Array) -> tuple[Array, ...]:
        """For each t: sums over the rows of (a, column of W) times b, (N1_t columns, N2_{<=g-t})."""
        first, second = self.forward.features(X)
        W = self.columns_as_rows(W)
        return tuple(
            self.forward.row_products(A, W) @ second[:width, :].T
            for A, width in zip(first, self.widths, strict=False)
        )

    def queries(self, Q: Array, G: Array, sums: Sequence[Array]) -> tuple[Array, Array]:
        """``dQ`` and the gradient in the unnormalised numerators and denominators, (rows, columns)."""
        xp = namespace(Q, G)
        first, second = self.forward.features(Q)
        products = self.products(sums, second)
        total = self.totals(products, first)
        outputs, G = total[:-1, :] / total[-1:, :], G.T
        means = xp.sum(G * outputs, axis=0)[None, :]
        upstream = xp.concat([G, -means], axis=0) / total[-1:, :]
        return self.gradient(Q, first, second, sums, products, upstream), upstream.T

    def keys(self, K: Array, W: Array, sums: Sequence[Array]) -> tuple[Array, Array]:
        """``dK`` and ``dV``; ``W`` is [V, 1]."""
        first, second = self.forward.features(K)
        products = self.products(sums, second)
        dV = self.totals(products, first)[:-1, :].T
        return self.gradient(K, first, second, sums, products, self.columns_as_rows(W)), dV

    def gradient(
        self,
        X: Array,
        first: Sequence[Array],
        second: Array,
        sums: Sequence[Array],
        products: Sequence[Array],
        W: Array,
    ) -> Array:
        """The gradient in ``X`` of the sum over a, b and columns of ``sums`` times a times b times ``W``."""
        xp = namespace(X)
        in_first = self.contracted(products, W)
        in_second = self.transposed_products(sums, first, W)
        X, s = X.T, self.second.starts
        by_degree = [in_second[s[t] : s[t + 1], :] for t in range(self.second.degree + 1)]
        table = [second[s[t] : s[t + 1], :] for t in range(self.second.degree + 1)]
        d = self.first.d
        parts = [_pull_back(X[d:, :], table, by_degree, self.second)]
        if d:
            parts.insert(0, _pull_back(X[:d, :], first, in_first, self.first))
        return xp.concat(parts, axis=0).T

    # what the buffered sweep does in place

    def columns_as_rows(self, W: Array) -> Array:
        return W.T

    def products(self, sums: Sequence[Array], second: Array) -> list[Array]:
        """For each t: ``sums`` times the monomials of the second half, (N1_t, columns, tokens)."""
        xp = namespace(second)
        return [
            xp.reshape(M @ second[:width, :], (-1, self.columns, second.shape[1]))
            for M, width in zip(sums, self.widths, strict=False)
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

    def transposed_products(self, sums: Sequence[Array], first: Sequence[Array], W: Array) -> Array:
        """The gradient in the monomials of the second half, in one table."""
        xp, total = namespace(W), None
        for M, A, width in zip(sums, first, self.widths, strict=False):
            part = M.T @ self.forward.row_products(A, W)
            if total is None:
                total = part
            else:
                total = xp.concat([total[:width, :] + part, total[width:, :]], axis=0)
        return total


class _BufferedSweep(_Sweep):
    """The same steps on NumPy, written into buffers that are allocated once: fresh ones cost page faults."""

    def __init__(self, plan: MonomialPlan, columns: int, block: int, dtype: Any) -> None:
        super().__init__(plan, columns)
        self.forward = _ForwardBuffers(plan, columns, block, dtype)
        self._products = np.empty((self.first.rank * columns, block), dtype=dtype)
        self._in_first = np.empty((self.first.rank, block), dtype=dtype)
        self._in_second = np.empty((self.second.rank, block), dtype=dtype)
        self._part = np.empty((self.second.rank, block), dtype=dtype)
        self._scratch = np.empty((max(self.first.sizes), columns, block), dtype=dtype)

    def columns_as_rows(self, W: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(W.T)

    def products(self, sums: Sequence[np.ndarray], second: np.ndarray) -> list[np.ndarray]:
        found, at, tokens = [], 0, second.shape[1]
        for M, width in zip(sums, self.widths, strict=False):
            out = self._products[at : at + M.shape[0], :tokens]
            np.matmul(M, second[:width], out=out)
            found.append(out.reshape(-1, self.columns, tokens))
            at += M.shape[0]
        return found

    def totals(self, products: Sequence[np.ndarray], first: Sequence[np.ndarray]) -> np.ndarray:
        total = np.zeros(products[0].shape[1:], dtype=products[0].dtype)
        for H, A in zip(products, first, strict=True):
            scratch = self._scratch[: H.shape[0], :, : H.shape[2]]
            np.multiply(H, A[:, None, :], out=scratch)
            total += np.add.reduce(scratch, axis=0)
        return total

    def contracted(self, products: Sequence[np.ndarray], W: np.ndarray) -> list[np.ndarray]:
        found, at = [], 0
        for H in products:
            scratch = self._scratch[: H.shape[0], :, : H.shape[2]]
            out = self._in_first[at : at + H.shape[0], : H.shape[2]]
            np.multiply(H, W[None], out=scratch)
            np.add.reduce(scratch, axis=1, out=out)
            found.append(out)
            at += H.shape[0]
        return found

    def transposed_products(
        self, sums: Sequence[np.ndarray], first: Sequence[np.ndarray], W: np.ndarray
    ) -> np.ndarray:
        total, part = self._in_second[:, : W.shape[1]], self._part[:, : W.shape[1]]
        for t, (M, A, width) in enumerate(zip(sums, first, self.widths, strict=False)):
            out = part[:width] if t else total[:width]
            np.matmul(M.T, self.forward.row_products(A, W), out=out)
            if t:
                total[:width] += out
        return total


def _pull_back(X: Array, table: Sequence[Array], gradient: list[Array], plan: MonomialPlan) -> Array:
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
