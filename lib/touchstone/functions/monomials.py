"""All monomials of degree at most ``g`` in ``d`` variables, built degree by degree.

Order: by degree, and inside a degree so that those whose last variable is at most ``v`` come first. Then the
monomials of degree ``t`` ending in ``x_v`` are a *prefix* of those of degree ``t - 1``, times ``x_v``: each
monomial is its parent times one variable, one multiplication an entry, and every set "degree at most s" is
a prefix of the whole table.

Source: bounded-entries-attention, "Features"; cross-attention-dp, "Feature map".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import as_array_like, holds_data, namespace

Array = Any


@dataclass(frozen=True)
class MonomialPlan:
    """How to build the monomials of degree at most ``degree`` in ``d`` variables; made by ``monomial_plan``.

    Sizes are exact Python integers. The index tables are host arrays, built on first use and kept, so a plan
    is cheap to make and worth reusing. A plan with ``table=False`` refuses to build them (``ValueError``): it
    serves shape-only arrays, at sizes whose tables no memory holds.
    """

    d: int
    degree: int
    table: bool = True

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """``sizes[t]``: the number of monomials of degree exactly ``t``, ``C(d + t - 1, t)``."""
        sizes = [1]
        for t in range(1, self.degree + 1):
            sizes.append(sizes[-1] * (self.d + t - 1) // t)
        return tuple(sizes)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """``starts[t]``: the first column of degree ``t``, the number of monomials of lower degree."""
        starts = [0]
        for size in self.sizes:
            starts.append(starts[-1] + size)
        return tuple(starts)

    @property
    def rank(self) -> int:
        """The number of monomials, ``C(d + degree, degree)``."""
        return self.starts[-1]

    @cached_property
    def halves(self) -> tuple[MonomialPlan, MonomialPlan]:
        """Plans of the same degree for the first ``d // 2`` variables and for the others.

        Every monomial is the product of one of each, of degrees ``t`` and at most ``degree - t``.
        """
        return tuple(MonomialPlan(d, self.degree, self.table) for d in (self.d // 2, self.d - self.d // 2))

    def prefix(self, v: int, t: int) -> int:
        """How many monomials of degree ``t`` have no variable after ``x_v``; they come first."""
        return math.comb(v + t, t)

    @cached_property
    def parents(self) -> tuple[np.ndarray, ...]:
        """``parents[t]``: host indices, within degree ``t - 1``, of the parents of degree ``t``."""
        self._need_table()
        none = [np.zeros(0, dtype=np.int64)]  # with no variables a degree is empty
        return (
            none[0],
            *(
                _frozen(np.concatenate([*none, *(np.arange(self.prefix(v, t - 1)) for v in range(self.d))]))
                for t in range(1, self.degree + 1)
            ),
        )

    @cached_property
    def variables(self) -> tuple[np.ndarray, ...]:
        """``variables[t]``: host indices of the variables that multiply those parents."""
        self._need_table()
        index = np.arange(self.d, dtype=np.int64)
        counts = ([self.prefix(v, t - 1) for v in range(self.d)] for t in range(1, self.degree + 1))
        return (index[:0], *(_frozen(np.repeat(index, np.asarray(c, dtype=np.int64))) for c in counts))

    @cached_property
    def degrees(self) -> np.ndarray:
        """Host array (rank,): the degree of every monomial."""
        self._need_table()
        return _frozen(np.repeat(np.arange(self.degree + 1), self.sizes))

    @cached_property
    def exponents(self) -> np.ndarray:
        """Host array (rank, d): row ``a`` holds the exponents of monomial ``a``."""
        rows = [np.zeros((1, self.d), dtype=np.int64)]
        for parent, variable in zip(self.parents[1:], self.variables[1:], strict=True):
            child = rows[-1][parent]
            child[np.arange(len(child)), variable] += 1
            rows.append(child)
        return _frozen(np.concatenate(rows))

    @cached_property
    def multinomials(self) -> np.ndarray:
        """Host float64 array (rank,): ``|a|! / a!`` of every monomial, exact while below 2^53.

        They are the coefficients of ``(x_1 + ... + x_d)^t``. Raises ``OverflowError`` beyond float64.
        """
        values = [np.ones(1)]
        for t in range(1, self.degree + 1):
            rows = np.arange(self.starts[t], self.starts[t + 1])
            power = self.exponents[rows, self.variables[t]]
            with np.errstate(over="ignore"):
                values.append(values[-1][self.parents[t]] * t / power)
        result = np.concatenate(values)
        if not np.all(np.isfinite(result)):
            raise OverflowError(
                f"d={self.d}, degree={self.degree}: a multinomial coefficient exceeds float64"
            )
        return _frozen(result)

    def _need_table(self) -> None:
        if not self.table:
            raise ValueError("plan made with table=False: expected table=True, as the arrays hold data")


def monomial_plan(d: int, degree: int, *, table: bool = True) -> MonomialPlan:
    """A plan for the monomials of degree at most ``degree`` in ``d`` variables (0 variables: the constant).

    With ``table=False`` the plan knows sizes only, for shape-only arrays. Raises ``ValueError`` unless
    ``d`` and ``degree`` are integers >= 0. Cost: none yet; the tables take ``O(d C(d + degree, degree))``
    on first use.
    """
    for name, value in (("d", d), ("degree", degree)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise ValueError(f"{name}={value!r}: expected an integer >= 0")
    return MonomialPlan(int(d), int(degree), bool(table))


def monomials(X: Array, plan: MonomialPlan) -> Array:
    """The values (n, rank) of all monomials of ``plan`` at the rows of ``X`` (n, d).

    Column 0 is constant 1; the others follow ``plan.exponents``. Same namespace and dtype as ``X``. Cost:
    ``n (rank - 1)`` multiplications, the same for a shape-only ``X``, which may take a plan without table.
    Raises ``ValueError`` when ``X`` is not a matrix with ``plan.d`` columns, or holds data while the plan has
    no table.
    """
    if X.ndim != 2 or X.shape[1] != plan.d:
        raise ValueError(
            f"X of shape {tuple(X.shape)}: expected (n, {plan.d}), the plan's number of variables"
        )
    return namespace(X).concat(monomials_by_degree(X, plan, axis=1), axis=1)


def feature_map(X: Array, coefficients: Any, *, scale: float, plan: MonomialPlan | None = None) -> Array:
    """Features (n, r) of the rows of ``X`` (n, d) whose inner products are a polynomial of those of the rows:
    ``<feature_map(q), feature_map(k)> = P(scale <q, k>)`` with ``P(x) = sum_t c_t x^t``.

    Feature ``a`` is ``sqrt(c_|a| scale^|a| |a|!/a!) x^a``, in the order of the plan, ``r = C(d + g, g)``: the
    weights are split evenly between the two sides, so a feature of entries in [0, R] lies between 0 and its
    value at (R, ..., R). ``coefficients`` ``c_0 .. c_g`` on the host; Taylor's ``1/t!`` stand for the
    exponential. ``plan`` saves rebuilding the tables. A shape-only ``X`` may bring a plan without table, and
    then ``None`` for the coefficients.

    Raises ``ValueError`` for an ``X`` that is not a matrix of at least one column, coefficients that are not
    finite, a plan of another size, or ``c_t scale^t < 0``, which has no such features. Cost: ``n (2 r - 1)``
    multiplications. Source: cross-attention-dp, "Feature map".
    """
    if X.ndim != 2 or X.shape[1] < 1:
        raise ValueError(f"X of shape {tuple(X.shape)}: expected (n, d) with d >= 1")
    if coefficients is None:
        if plan is None or holds_data(X):
            raise ValueError("coefficients=None: expected numbers, or a shape-only X with a plan")
        weights = namespace(X).zeros((plan.rank,), dtype=X.dtype, device=array_api_compat.device(X))
        return monomials(X, plan) * weights
    c = np.asarray(coefficients, dtype=float)
    if c.ndim != 1 or c.size == 0 or not np.all(np.isfinite(c)):
        raise ValueError(f"coefficients={coefficients!r}: expected finite numbers c_0 .. c_g")
    if plan is None:
        plan = monomial_plan(X.shape[1], c.size - 1)
    if plan.degree != c.size - 1:
        raise ValueError(
            f"plan of degree {plan.degree}: expected {c.size - 1}, as there are {c.size} coefficients"
        )
    each = c * float(scale) ** np.arange(c.size)
    if not np.all(each >= 0):
        raise ValueError(
            f"coefficients={coefficients!r}, scale={scale!r}: expected c_t scale^t >= 0 for every t, as a "
            "feature is the square root of its weight"
        )
    return monomials(X, plan) * as_array_like(np.sqrt(each[plan.degrees] * plan.multinomials), X)


def symmetric_power(X: Array, degree: int) -> Array:
    r"""The symmetric tensor powers of the rows of ``X`` (n, d) without repetition: features (n, D),
    :math:`D=\binom{d+\mathrm{degree}-1}{\mathrm{degree}}`, with inner products
    :math:`\langle q,k\rangle^{\mathrm{degree}}`.

    Feature ``a`` is ``sqrt(degree!/a!) x^a``, for the exponents of that degree in the order of the plan.
    Also for a shape-only ``X``, at any size. Same namespace and dtype as ``X``.

    Raises ``ValueError`` for an ``X`` that is not a matrix of at least one column, or a degree that is no
    integer >= 0. Cost: n multiplications for each monomial of degree 1 to ``degree``, n D more for the
    weights; memory for all of them. Source: lev-attention, setting.
    """
    if X.ndim != 2 or X.shape[1] < 1:
        raise ValueError(f"X of shape {tuple(X.shape)}: expected (n, d) with d >= 1")
    plan = monomial_plan(X.shape[1], degree, table=holds_data(X))
    power = monomials_by_degree(X, plan, axis=1)[-1]
    if not plan.table:
        return power * namespace(X).zeros((plan.sizes[-1],), dtype=X.dtype, device=array_api_compat.device(X))
    return power * as_array_like(np.sqrt(plan.multinomials[plan.starts[plan.degree] :]), X)


def monomials_by_degree(X: Array, plan: MonomialPlan, *, axis: int) -> list[Array]:
    """``monomials`` as one array per degree; ``axis`` of ``X`` (0 or 1) is that of the variables."""
    xp = namespace(X)
    first = X[:, :1] if axis == 1 else X[:1, :]
    if plan.d == 0:
        raise ValueError("plan without variables: expected d >= 1")
    blocks = [xp.ones_like(first)]
    for t in range(1, plan.degree + 1):
        parent, variable = _step(plan, t, X)
        blocks.append(xp.take(blocks[-1], parent, axis=axis) * xp.take(X, variable, axis=axis))
    return blocks


def _step(plan: MonomialPlan, t: int, like: Array) -> tuple[Array, Array]:
    """Parents and variables of degree ``t`` beside ``like``; without data when the plan has no table."""
    xp, device = namespace(like), array_api_compat.device(like)
    if plan.table or holds_data(like):
        return tuple(xp.asarray(index, device=device) for index in (plan.parents[t], plan.variables[t]))
    # what a shape-only namespace creates has no data; only the size counts
    return tuple(xp.zeros((plan.sizes[t],), dtype=xp.int64, device=device) for _ in range(2))


def _frozen(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x
