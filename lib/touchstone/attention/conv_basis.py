r"""Causal attention as a sum of convolutions: decompose, recover, exponentiate, apply.

``conv(b, m)`` is the (n, n) matrix that is zero except in its last m rows and columns, where it is the
lower-triangular Toeplitz matrix with first column ``b``: entry (i, j) = b[i - j] for n - m <= j <= i. Every
lower-triangular matrix is, in exactly one way, a sum of as few of them as possible with sizes m_1 > m_2 > ...
Column j then is the running sum of all b whose block holds it, shifted down.

Source: conv-basis-attention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import array_api_compat

from touchstone.arrays import namespace
from touchstone.linalg.toeplitz import lower_toeplitz_apply

Array = Any


class ConvBasis:
    """The (n, n) matrix ``sum_i conv(bases[i], sizes[i])``: an operator with ``@`` and ``.T``.

    ``bases`` are arrays of one library, dtype and device, ``bases[i]`` of length ``sizes[i]``; sizes fall
    strictly, and ``n`` (by default the first) is at least the first. Memory: the bases.

    ``@`` takes (n,) or (n, c). Cost: for each term 2 c + 1 real transforms of at most 4 sizes[i] points and
    c sizes[i] additions. Raises ``ValueError`` for no terms or sizes and lengths that do not fit.
    """

    def __init__(
        self,
        bases: Sequence[Array],
        sizes: Sequence[int],
        n: int | None = None,
        *,
        transposed: bool = False,
    ) -> None:
        self.bases, self.sizes = tuple(bases), tuple(int(m) for m in sizes)
        if not self.bases or len(self.bases) != len(self.sizes):
            raise ValueError(f"{len(self.bases)} bases and {len(self.sizes)} sizes: expected one size a base")
        self.n = self.sizes[0] if n is None else int(n)
        falling = (self.n + 1, *self.sizes, 0)
        if any(m <= below for m, below in pairwise(falling)):
            raise ValueError(f"sizes={self.sizes}: expected n={self.n} >= m_1 > m_2 > ... >= 1")
        for b, m in zip(self.bases, self.sizes, strict=True):
            if tuple(b.shape) != (m,):
                raise ValueError(f"a base of shape {tuple(b.shape)}: expected ({m},), its size")
        namespace(*self.bases)
        self.transposed = transposed

    @property
    def shape(self) -> tuple[int, int]:
        return self.n, self.n

    @property
    def T(self) -> ConvBasis:
        return ConvBasis(self.bases, self.sizes, self.n, transposed=not self.transposed)

    def __repr__(self) -> str:
        return f"ConvBasis({len(self.sizes)} terms, n={self.n}{', transposed' if self.transposed else ''})"

    def __matmul__(self, V: Array) -> Array:
        return self.apply(V)

    def apply(self, V: Array, *, workers: int = 1) -> Array:
        """``self @ V``, NumPy arrays on ``workers`` threads."""
        if V.ndim not in (1, 2) or V.shape[0] != self.n:
            raise ValueError(f"V of shape {tuple(V.shape)}: expected ({self.n},) or ({self.n}, columns)")
        xp = namespace(V, *self.bases)
        dtype = xp.result_type(V.dtype, self.bases[0].dtype)
        total = xp.zeros(V.shape, dtype=dtype, device=array_api_compat.device(V))
        for b, m in zip(self.bases, self.sizes, strict=True):
            start = self.n - m
            total[start:, ...] += lower_toeplitz_apply(
                b, m, V[start:, ...], transpose=self.transposed, workers=workers
            )
        return total

    def first_columns(self) -> list[Array]:
        """The first column of each block, (m_i,) from the diagonal down: running sums of the bases."""
        columns = [self.bases[0]]
        for b, m in zip(self.bases[1:], self.sizes[1:], strict=True):
            columns.append(columns[-1][:m] + b)
        return columns

    def maximum(self) -> Array:
        """The largest entry on or below the diagonal, an array without dimensions.

        A later column of a block is the head of its first column, so only those are read. Cost: an addition
        and a comparison an entry of the bases.
        """
        columns = self.first_columns()
        xp = namespace(*columns)
        largest = xp.max(columns[0])
        for column in columns[1:]:
            largest = xp.maximum(largest, xp.max(column))
        return largest if self.sizes[0] == self.n else xp.maximum(largest, xp.zeros_like(largest))

    def dense(self) -> Array:
        """The matrix itself, (n, n): for small n."""
        xp = namespace(*self.bases)
        device = array_api_compat.device(self.bases[0])
        total = xp.zeros((self.n, self.n), dtype=self.bases[0].dtype, device=device)
        for b, m in zip(self.bases, self.sizes, strict=True):
            steps = xp.arange(m, device=device)
            offsets = (steps[:, None] - steps[None, :]) % m
            block = xp.reshape(xp.take(b, xp.reshape(offsets, (m * m,)), axis=0), (m, m))
            total[self.n - m :, self.n - m :] += xp.tril(block)
        return total.T if self.transposed else total


def conv_decompose(H: Array, tol: float = 0.0) -> ConvBasis:
    """The fewest convolutions whose sum is ``H``, an (n, n) lower-triangular array with data.

    A term starts at each column that is not the downward shift of the one before it. With ``tol`` a column
    may differ by at most ``tol`` in each entry from the shift of its block's *first* column, so that the sum
    is within ``tol`` of ``H`` in every entry, however long a block.

    Cost: n^2 comparisons and subtractions; memory that of the bases. Raises ``ValueError`` for a matrix
    that is not square, has entries above the diagonal or not finite, or is zero within ``tol``.

    Source: conv-basis-attention, the decomposition; that it is minimal and unique is reconstructed.
    """
    if H.ndim != 2 or H.shape[0] != H.shape[1] or H.shape[0] < 1:
        raise ValueError(f"H of shape {tuple(H.shape)}: expected (n, n) with n >= 1")
    if not (math.isfinite(tol) and tol >= 0):
        raise ValueError(f"tol={tol!r}: expected a finite number >= 0")
    xp, n = namespace(H), H.shape[0]
    if not bool(xp.all(xp.isfinite(H))):
        raise ValueError("H: expected finite entries")
    if bool(xp.any(xp.triu(H, k=1) != 0)):
        raise ValueError("H: expected zeros above the diagonal")
    bases, sizes = [], []
    first = xp.zeros_like(H[:, 0])  # the column that the present block repeats
    for j in range(n):
        column = H[j:, j]
        difference = column - first[: n - j]
        if bool(xp.max(xp.abs(difference)) > tol):
            bases.append(difference)
            sizes.append(n - j)
            first = column
    if not bases:
        raise ValueError(f"H: expected an entry larger than tol={tol:g}")
    return ConvBasis(bases, sizes, n)


def conv_recover(
    column: Callable[[int], Array], n: int, k: int, T: int, delta: float, eps: float
) -> ConvBasis:
    r"""The convolutions behind a noisy lower-triangular (n, n) matrix, from a few of its columns.

    ``column(j)`` gives column j (n,), every entry on or below the diagonal within ``eps`` of
    :math:`H=\sum_{i\le k}\mathrm{conv}(b_i,m_i)`, m_1 = n, the same at each call. If H is non-degenerate,
    which is m_k >= ``T`` and :math:`\lVert\sum_{l=j}^i(b_l)_{1:T}\rVert_1\ge` ``delta`` for all j <= i, and
    ``eps`` <= ``delta`` / (5 ``T``), the sizes are exact and every entry of the result is within 2 ``eps`` of
    the given matrix, however many terms there are, because each block repeats one column as it was read.
    Otherwise the search may miss breaks or report false ones; fewer than ``k`` terms come back where no
    further break is seen.

    Cost: at most k (ceil(log2 n) + 1) columns, 3 ``T`` operations each, and n k subtractions; memory k n.
    Raises ``ValueError`` for n, k or T out of range, a ``delta`` that is not above 2 ``T eps`` (there is no
    threshold then), or columns of another length.

    Source: conv-basis-attention, the recovery algorithm; reconstructed.
    """
    for name, value, high in (("n", n, None), ("T", T, n), ("k", k, n)):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < 1 or (high is not None and value > high):
            wanted = "an integer >= 1" if high is None else f"an integer from 1 to n={n}"
            raise ValueError(f"{name}={value!r}: expected {wanted}")
    threshold = delta - 2 * T * eps
    if not (eps >= 0 and math.isfinite(delta) and threshold > 0):
        raise ValueError(
            f"delta={delta!r}, eps={eps!r}: expected eps >= 0 and delta > 2 T eps = {2 * T * eps:g}"
        )

    def read(j: int) -> Array:
        whole = column(j)
        if tuple(whole.shape) != (n,):
            raise ValueError(f"column({j}) of shape {tuple(whole.shape)}: expected ({n},)")
        return whole[j:]

    def breaks(now: Array, before: Array) -> bool:
        xp = namespace(now)
        return float(xp.sum(xp.abs(now[:T] - before[:T]))) >= threshold

    first = read(0)
    bases, sizes = [first], [n]
    while len(bases) < k:
        # the smallest break in (start of this block, n - T]: before it columns repeat `first`, after it none
        low, high = n - sizes[-1] + 1, n - T
        while low < high:
            middle = (low + high) // 2
            if breaks(read(middle), first):
                high = middle
            else:
                low = middle + 1
        if low > n - T:
            break
        now = read(low)
        if not breaks(now, first):
            break
        bases.append(now - first[: n - low])
        sizes.append(n - low)
        first = now
    return ConvBasis(bases, sizes, n)


def conv_exponential(logits: ConvBasis, *, shift: Any = 0.0) -> ConvBasis:
    r"""``exp(logits - shift)`` entry by entry on and below the diagonal, zero above: a sum of as many terms.

    :math:`\tilde b_1=e^{b_1}` and :math:`\tilde b_i=e^{b_1+\dots+b_i}-e^{b_1+\dots+b_{i-1}}`. Where the
    first block of ``logits`` is smaller than n, a term of zeros goes first (their exponentials are ones).
    ``shift`` is a number or an array without dimensions, one for the whole matrix: ``logits.maximum()`` keeps
    everything at most 1. Transposed logits give the transpose.

    Cost: an exponential, a subtraction of the shift and at most two additions an entry of the bases.

    Source: conv-basis-attention, the exponential transform; reconstructed.
    """
    columns, sizes = logits.first_columns(), logits.sizes
    xp = namespace(*columns)
    if sizes[0] < logits.n:
        like = columns[0]
        zeros = xp.zeros(logits.n, dtype=like.dtype, device=array_api_compat.device(like))
        columns, sizes = [zeros, *columns], (logits.n, *sizes)
    bases, before = [], None
    for column in columns:
        now = xp.exp(column - shift)
        bases.append(now if before is None else now - before[: now.shape[0]])
        before = now
    return ConvBasis(bases, sizes, logits.n, transposed=logits.transposed)


def conv_attention(logits: ConvBasis, V: Array, *, workers: int = 1) -> Array:
    """Causal softmax attention with these ``logits`` on the values ``V`` (n, d), without an (n, n) array.

    One global shift, the largest logit; rows whose logits are all far below it lose digits: the error is
    that of ``lower_toeplitz_apply`` over the least row sum. Returns (n, d). Cost: ``conv_exponential`` and
    one product with d + 1 columns (NumPy: on ``workers`` threads), n d divisions: O(k n d log n); memory
    O(k n + n d).

    Raises ``ValueError`` for shapes that do not fit, transposed logits, or ``workers`` below 1.

    Source: conv-basis-attention, the inference algorithm.
    """
    if logits.transposed:
        raise ValueError("logits: expected a lower-triangular matrix, got a transposed one")
    if V.ndim != 2 or V.shape[0] != logits.n:
        raise ValueError(f"V of shape {tuple(V.shape)}: expected ({logits.n}, columns)")
    xp = namespace(V, *logits.bases)
    exponentials = conv_exponential(logits, shift=logits.maximum())
    both = exponentials.apply(xp.concat([V, xp.ones_like(V[:, :1])], axis=1), workers=workers)
    return both[:, :-1] / both[:, -1:]
