"""The steps of polynomial attention in one block of rows: monomials in two halves and products between them.

A monomial is a product ``a b``, ``a`` of degree ``t`` in the first half of the variables and ``b`` of degree
at most ``g - t`` in the second. For each ``t`` all sums over rows of (a, column) times b are one matrix
product, and so are all products with them. Tokens lie along the second axis, so that every step runs over
contiguous rows. ``SplitSteps`` works on any array; ``BufferedSplitSteps`` does the same on NumPy, written
into buffers that are allocated once.

Source: the split is ours; see ``polynomial`` and ``polynomial_gradient``, which use it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import comb

from touchstone.arrays import as_array_like, holds_data, namespace
from touchstone.functions.monomials import MonomialPlan, monomials_by_degree

Array = Any


def sizes_only(coefficients: Any, plan: MonomialPlan, like: Array) -> bool:
    """Whether the weights have a size but no values: for shape-only arrays nothing else is needed."""
    return coefficients is None or not (plan.table or holds_data(like))


def no_data(shape: tuple[int, ...], like: Array) -> Array:
    """Stands for weights beside a shape-only ``like``: what its namespace creates has no data."""
    return namespace(like).zeros(shape, dtype=like.dtype)


def split_weights(plan: MonomialPlan, coefficients: Any, scale: float, like: Array) -> list[Array]:
    """For each ``t``: the weight of every product ``a b`` (N1_t, N2_{<=g-t}), ``a`` of degree ``t``.

    ``|ab|! / (ab)!`` is a binomial coefficient times the multinomials of ``a`` and of ``b``.
    """
    first, second = plan.halves
    widths = [(first.sizes[t], second.starts[plan.degree - t + 1]) for t in range(plan.degree + 1)]
    if sizes_only(coefficients, plan, like):
        return [no_data(w, like) for w in widths if w[0]]
    c = np.asarray(coefficients, dtype=float) * float(scale) ** np.arange(plan.degree + 1)
    tables = []
    for t, (rows, width) in enumerate(widths):
        if rows:
            s = second.degrees[:width]
            right = c[t + s] * comb(t + s, t) * second.multinomials[:width]
            tables.append(
                as_array_like(np.multiply.outer(first.multinomials[first.degrees == t], right), like)
            )
    return tables


def weighted_sums(M: Array, weights: Array, columns: int) -> Array:
    """``M`` with the product of ``a`` and ``b`` multiplied by its weight, for every column of [V, 1]."""
    xp = namespace(M)
    return xp.reshape(xp.reshape(M, (weights.shape[0], columns, -1)) * weights[:, None, :], M.shape)


class SplitSteps:
    """The steps of one block on any array; ``columns`` is the number of columns of [V, 1]."""

    def __init__(self, plan: MonomialPlan, columns: int) -> None:
        self.first, self.second = plan.halves
        self.columns = columns
        # of degree t in the first half go with degrees up to g - t in the second: a prefix of the table
        self.widths = [self.second.starts[plan.degree - t + 1] for t in range(plan.degree + 1)]

    def features(self, X: Array) -> tuple[list[Array], Array]:
        """Monomials of the first half by degree, and of the second half in one table."""
        xp, X = namespace(X), X.T
        second = monomials_by_degree(X[self.first.d :, :], self.second, axis=0)
        if self.first.d == 0:
            return second[:1], xp.concat(second, axis=0)
        return monomials_by_degree(X[: self.first.d, :], self.first, axis=0), xp.concat(second, axis=0)

    def values(self, V: Array, ones: Array) -> Array:
        """``[V, 1]`` transposed."""
        return namespace(V, ones).concat([V.T, ones], axis=0)

    def row_products(self, A: Array, W: Array) -> Array:
        """All products of a row of ``A`` and a row of ``W``, (rows of A * rows of W, tokens)."""
        return namespace(A).reshape(A[:, None, :] * W[None, :, :], (A.shape[0] * W.shape[0], W.shape[1]))

    def sums(self, products: Array, B: Array) -> Array:
        """``products @ B.T``: over the tokens, every product of a row times every monomial of ``B``."""
        return products @ B.T

    def contract(self, M: Array, B: Array, A: Array) -> Array:
        """``sum_a A[a] * (M @ B)[a, column]``, (columns, tokens)."""
        xp = namespace(M)
        H = xp.reshape(M @ B, (A.shape[0], self.columns, A.shape[1]))
        return xp.sum(H * A[:, None, :], axis=0)


class BufferedSplitSteps(SplitSteps):
    """The same steps on NumPy, written into buffers: fresh memory would cost page faults at every step.

    Few large calls: each one costs two threads a fight for the interpreter. ``tables`` holds the monomials of
    both halves, that of the first half before that of the second.
    """

    def __init__(self, plan: MonomialPlan, columns: int, block: int, dtype: Any) -> None:
        super().__init__(plan, columns)
        self.tables = token_rows(self.first.rank + self.second.rank, block, dtype)
        self._values = token_rows(columns, block, dtype)
        self._values[-1] = 1
        self._products = token_rows(max(self.first.sizes) * columns, block, dtype)

    def halves_of(self, rows: np.ndarray, split: int) -> list[tuple[np.ndarray, MonomialPlan]]:
        """``rows`` of both halves, the second from ``split`` on, and their plans: as one if these agree."""
        if self.first.d == self.second.d:
            return [(rows.reshape(2, split, rows.shape[1]), self.first)]
        return [(rows[:split], self.first), (rows[split:], self.second)]

    def features(self, X: Array) -> tuple[list[Array], Array]:
        X = np.ascontiguousarray(X.T)
        tables, s = self.tables[:, : X.shape[1]], self.first.starts
        for (x, plan), (table, _) in zip(
            self.halves_of(X, self.first.d), self.halves_of(tables, self.first.rank), strict=True
        ):
            _write_monomials(x, plan, table)
        first = [tables[s[t] : s[t + 1]] for t in range(self.first.degree + 1) if s[t] < s[t + 1]]
        return first, tables[self.first.rank :]

    def values(self, V: Array, ones: Array) -> Array:  # noqa: ARG002
        W = self._values[:, : V.shape[0]]
        W[:-1] = V.T
        return W

    def row_products(self, A: Array, W: Array) -> Array:
        out = self._products[: A.shape[0] * W.shape[0], : W.shape[1]]
        np.multiply(A[:, None, :], W[None, :, :], out=by_columns(out, W.shape[0]))
        return out

    def sums(self, products: Array, B: Array) -> Array:
        return token_sums(products, B)

    def contract(self, M: Array, B: Array, A: Array) -> Array:
        out = self._products[: M.shape[0], : B.shape[1]]
        token_product(M, B, out)
        return np.einsum("act,at->ct", by_columns(out, self.columns), A)


# -- NumPy buffers with tokens along the second axis --------------------------------------------------------

# BLAS multiplies matrices with this few columns without packing them first, which is twice as fast here.
_TOKENS = 512


def token_rows(rows: int, tokens: int, dtype: Any) -> np.ndarray:
    """An uninitialised (rows, tokens) array, whose rows lie a cache line further apart than they are long.

    Rows a power of two apart fall on the same few lines of a cache.
    """
    apart = tokens + 64 // np.dtype(dtype).itemsize
    return np.empty((rows, apart), dtype=dtype)[:, :tokens]


def by_columns(x: np.ndarray, columns: int) -> np.ndarray:
    """A view (rows, columns, tokens) of ``x`` (rows * columns, tokens)."""
    return x.reshape(x.shape[0] // columns, columns, x.shape[1])


def token_product(M: np.ndarray, B: np.ndarray, out: np.ndarray) -> None:
    """``M @ B`` into ``out``, a few tokens (columns of ``B``) at a time."""
    whole = B.shape[1] - B.shape[1] % _TOKENS
    if whole:
        np.matmul(M, _pieces(B[:, :whole]), out=_pieces(out[:, :whole]))
    if whole < B.shape[1]:
        np.matmul(M, B[:, whole:], out=out[:, whole:])


def token_sums(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """``A @ B.T``, a few tokens (columns of both) at a time."""
    whole = B.shape[1] - B.shape[1] % _TOKENS
    if not whole:
        return A @ B.T
    total = np.add.reduce(np.matmul(_pieces(A[:, :whole]), _pieces(B[:, :whole]).transpose(0, 2, 1)))
    if whole < B.shape[1]:
        total += A[:, whole:] @ B[:, whole:].T
    return total


def _pieces(x: np.ndarray) -> np.ndarray:
    """A view (pieces, rows, tokens of a piece) of ``x`` (rows, tokens)."""
    return x.reshape(x.shape[0], -1, _TOKENS).transpose(1, 0, 2)


def _write_monomials(X: np.ndarray, plan: MonomialPlan, out: np.ndarray) -> None:
    """``monomials`` of the columns of ``X`` (.., d, tokens) as rows of ``out``: prefixes need no gather."""
    out[..., 0, :] = 1
    for t in range(1, plan.degree + 1):
        below, at = plan.starts[t - 1], plan.starts[t]
        for v in range(plan.d):
            size = plan.prefix(v, t - 1)
            parents, children = out[..., below : below + size, :], out[..., at : at + size, :]
            np.multiply(parents, X[..., v : v + 1, :], out=children)
            at += size
