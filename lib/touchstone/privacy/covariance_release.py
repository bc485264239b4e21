r"""Releasing a covariance matrix through samples of it, and what the release gives away.

The mechanism draws :math:`g_1,\dots,g_k\sim N(0,H)` and publishes
:math:`\widetilde H=\frac1k\sum_tg_tg_t^\top`. Two inputs with matrices H and H' are told apart by k samples
through the eigenvalues :math:`\mu_j` of :math:`H^{1/2}H'^{-1}H^{1/2}-I` alone, whose Euclidean norm is the
spectral sensitivity :math:`\Delta`. When H' differs from H in one row and its column, two of them are not
zero, and they have a closed form.

Source: ntk-regression-dp, Setting and C3; the condition is a theorem of its source, private covariance
estimation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np
from scipy import optimize, special, stats

from touchstone.arrays import as_array_like, holds_data, namespace, normal

Array = Any

METHODS = ("samples", "bartlett")


# -- the mechanism -----------------------------------------------------------------------------------------


def gaussian_sampling(
    H: Array,
    k: int,
    rng: np.random.Generator,
    *,
    releases: int | None = None,
    method: str = "samples",
    block: int = 4096,
) -> Array:
    r""":math:`\frac1k\sum_{t\le k}g_tg_t^\top` for independent :math:`g_t\sim N(0,H)`, (n, n).

    With ``releases`` that many independent ones, (releases, n, n), from one eigendecomposition.

    ``H`` (n, n) is symmetric and positive semi-definite; its square root is taken through its eigenvalues, so
    a singular matrix is welcome (its samples stay in its range) and eigenvalues that rounding made negative
    count as zero. ``method`` is ``"samples"``, which draws the k samples, ``block`` at a time, or
    ``"bartlett"``, which draws the same law from n (n + 1) / 2 numbers (fewer when k < n): take it when k is
    large and only the law matters.

    Raises ``ValueError`` for a matrix that is not square, symmetric and positive semi-definite up to rounding
    and for counts or a ``method`` out of range. Cost: one eigendecomposition and n³ multiply-adds;
    for each release 2 n³, and k n normal draws with k n² multiply-adds ("samples") or n² / 2 draws
    ("bartlett").
    Source of the second: M. S. Bartlett, *On the theory of statistical regression* (1933).
    """
    _check_square("H", H)
    _check_count("k", k)
    _check_count("block", block)
    if method not in METHODS:
        raise ValueError(f"method={method!r}: expected one of {', '.join(map(repr, METHODS))}")
    if releases is not None:
        _check_count("releases", releases)
    root = _square_root(H)

    def release() -> Array:
        if method == "bartlett":
            factor = root @ _bartlett(H.shape[0], k, rng, like=H)
            return factor @ factor.T / k
        gram = None
        for start in range(0, k, block):
            white = normal(rng, (min(block, k - start), H.shape[0]), like=H)
            part = white.T @ white
            gram = part if gram is None else gram + part
        return root @ gram @ root.T / k

    if releases is None:
        return release()
    return namespace(H).stack([release() for _ in range(releases)])


def allowed_samples(eps: float, delta: float, sensitivity: float) -> int:
    r"""The most samples for which the release is (ε, δ)-private: the largest k with
    :math:`\Delta\le\min\{\epsilon/\sqrt{8k\ln(1/\delta)},\,\epsilon/(8\ln(1/\delta))\}`; 0 when the second
    condition fails, and then no k is private by this theorem.

    ``sensitivity`` is Δ > 0, the norm of ``row_change_eigenvalues``. Raises ``ValueError`` unless
    ``eps`` > 0, 0 < ``delta`` < 1 and Δ > 0, all finite.
    """
    for name, value in (("eps", eps), ("sensitivity", sensitivity)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}={value!r}: expected a finite number > 0")
    if not 0 < delta < 1:
        raise ValueError(f"delta={delta!r}: expected 0 < delta < 1")
    log_inverse = -math.log(delta)
    if sensitivity > eps / (8 * log_inverse):
        return 0
    return math.floor((eps / sensitivity) ** 2 / (8 * log_inverse))


# -- how far two matrices are apart ------------------------------------------------------------------------


def row_change_eigenvalues(H: Array, rows: Array, half_changes: Array) -> Array:
    r"""The two eigenvalues of :math:`H^{1/2}H'^{-1}H^{1/2}-I` that are not zero, for
    :math:`H'=H+e_jv^\top+ve_j^\top`: (m, 2), the smaller first.

    ``H`` (n, n), positive definite; ``rows`` (m,) integers j; ``half_changes`` (m, n) the vectors v: the
    change of row j, with half the change of the diagonal entry. The norm of the result along its last axis is
    the spectral sensitivity Δ. With :math:`\nu=a\pm\sqrt{pq}`, :math:`a=(H^{-1}v)_j`,
    :math:`p=v^\top H^{-1}v`, :math:`q=(H^{-1})_{jj}`, they are :math:`\mu=-\nu/(1+\nu)`; H and H' exchanged
    have :math:`\nu=-\mu/(1+\mu)` in their place.

    Raises ``ValueError`` for shapes that do not fit and when some H' is not positive definite. Cost: one LU
    factorisation, 2 m n² multiply-adds.
    """
    _check_square("H", H)
    n = H.shape[0]
    xp = namespace(H, half_changes)
    if half_changes.ndim != 2 or half_changes.shape[1] != n:
        raise ValueError(f"half_changes of shape {tuple(half_changes.shape)}: expected (m, {n})")
    if rows.ndim != 1 or rows.shape[0] != half_changes.shape[0]:
        raise ValueError(
            f"rows of shape {tuple(rows.shape)}: expected ({half_changes.shape[0]},), one a change"
        )
    units = xp.take(xp.eye(n, dtype=H.dtype, device=array_api_compat.device(H)), rows, axis=0)
    solved = xp.linalg.solve(H, half_changes.T).T
    a = xp.sum(units * solved, axis=1)
    p = xp.sum(half_changes * solved, axis=1)
    q = xp.sum(units * xp.linalg.solve(H, units.T).T, axis=1)
    spread = xp.sqrt(xp.where(p * q > 0, p * q, xp.zeros_like(p)))
    moved = xp.stack([a + spread, a - spread], axis=1)
    if holds_data(moved) and not bool(xp.all(moved > -1)):
        raise ValueError("half_changes: expected every changed matrix, and H, to be positive definite")
    return -moved / (1 + moved)


def worst_row_changes(H: Array, jacobian: Callable[[int], Array]) -> tuple[Array, Array]:
    r"""For every row j the direction in which moving input j changes H most, and how much.

    Returns ``rates`` (n,) and ``directions`` (n, d). ``jacobian(j)`` is J (n, d): moving input j by u changes
    H by :math:`e_j(Ju)^\top+(Ju)e_j^\top` to first order. Then
    :math:`\Delta^2=2(e_j^\top H^{-1}Ju)^2+2(H^{-1})_{jj}\,u^\top J^\top H^{-1}Ju`, a quadratic form: its
    largest eigenvalue is the square of ``rates[j]``, the sensitivity for each unit of length, and its
    eigenvector the worst direction (of either sign). No neighbour at a small distance β is worse than
    β max ``rates``, up to O(β²).

    Raises ``ValueError`` for shapes that do not fit and for a matrix whose inverse has a diagonal entry that
    is not positive. Cost: one inverse, n² d (n + d) multiply-adds and n eigendecompositions of size d; memory
    n d².
    """
    _check_square("H", H)
    xp = namespace(H)
    inverse = xp.linalg.inv(H)
    if holds_data(inverse) and not bool(xp.all(xp.linalg.diagonal(inverse) > 0)):
        raise ValueError("H: expected a positive definite matrix")
    forms = []
    for j in range(H.shape[0]):
        J = jacobian(j)
        if J.ndim != 2 or J.shape[0] != H.shape[0]:
            raise ValueError(f"jacobian({j}) of shape {tuple(J.shape)}: expected ({H.shape[0]}, d)")
        g = inverse[j, :] @ J
        forms.append(2 * g[:, None] * g[None, :] + 2 * inverse[j, j] * (J.T @ (inverse @ J)))
    values, vectors = xp.linalg.eigh(xp.stack(forms))
    largest = values[:, -1]
    return xp.sqrt(xp.where(largest > 0, largest, xp.zeros_like(largest))), vectors[:, :, -1]


# -- the privacy loss --------------------------------------------------------------------------------------


def covariance_privacy_loss(eigenvalues: Array, k: int, draws: int, rng: np.random.Generator) -> Array:
    r"""Privacy losses of ``draws`` releases of k samples from H, against H': (draws,).

    ``eigenvalues`` (r,) are those of :math:`H^{1/2}H'^{-1}H^{1/2}-I` that are not zero. The loss is
    :math:`\sum_j[\frac12\mu_j\chi^2_{k,j}-\frac k2\ln(1+\mu_j)]`, exactly in law, and no matrix is drawn. It
    belongs to the k samples, and to :math:`\widetilde H` as well, which is sufficient for them.

    Raises ``ValueError`` for eigenvalues that are not a row of numbers above -1 and for counts below 1. Cost:
    r chi-squared draws each.
    """
    if eigenvalues.ndim != 1:
        raise ValueError(f"eigenvalues of shape {tuple(eigenvalues.shape)}: expected a row")
    _check_count("k", k)
    _check_count("draws", draws)
    xp = namespace(eigenvalues)
    if holds_data(eigenvalues) and not bool(xp.all(eigenvalues > -1)):
        raise ValueError("eigenvalues: expected numbers above -1, or H' is not positive definite")
    # around its mean k, so that two large terms never cancel
    excess = as_array_like(rng.chisquare(k, (draws, eigenvalues.shape[0])) - k, eigenvalues)
    gap = eigenvalues - xp.log1p(eigenvalues)
    return (excess @ eigenvalues + k * xp.sum(gap)) / 2


def row_change_privacy_delta(eigenvalues: Any, k: int, eps: float, *, nodes: int = 400) -> float:
    r"""δ(ε) of the release of k samples when one row of H changes, without sampling.

    It is :math:`E(1-e^{\epsilon-L})_+` of the loss L of ``covariance_privacy_loss``. ``eigenvalues``: one or
    two numbers above -1 (``row_change_eigenvalues``), on the host. The expectation over the chi-squared
    variable of the larger one is closed (incomplete gamma functions), that over the logarithm of the other is
    a trapezoidal sum over all but 1e-18 of its mass; it agrees with ten times the ``nodes`` to 1e-10 of the
    larger of δ and 1e-18 from k = 10 on, to 1e-5 below. Raises ``ValueError`` for other eigenvalues, a ``k``
    below 1 and an ``eps`` below 0. Cost: 3 ``nodes`` special functions.
    """
    mu = np.asarray(eigenvalues, dtype=np.float64)
    if mu.ndim != 1 or not 1 <= len(mu) <= 2 or not np.all(mu > -1) or not np.all(np.isfinite(mu)):
        raise ValueError(f"eigenvalues={eigenvalues!r}: expected one or two finite numbers above -1")
    _check_count("k", k)
    if not (math.isfinite(eps) and eps >= 0):
        raise ValueError(f"eps={eps!r}: expected a finite number >= 0")
    return _row_change_delta(mu, float(k), eps, nodes)


def _row_change_delta(mu: np.ndarray, k: float, eps: float, nodes: int) -> float:
    """For a k that need not be whole: the degrees of freedom of two chi-squared laws."""
    first, other = sorted((*mu, 0.0)[:2], key=abs, reverse=True)
    if first == 0:
        return 0.0
    law = stats.chi2(k)
    low, high = law.ppf(1e-18), law.isf(1e-18)
    # the second term of the expectation is one under the other law, where the variable is smaller by 1 + mu
    log_chi, step = np.linspace(
        math.log(min(low, low / (1 + other))), math.log(max(high, high / (1 + other))), nodes, retstep=True
    )
    chi = np.exp(log_chi)
    weights = law.pdf(chi) * chi * step
    # the loss passes eps where the first variable passes s
    rest = eps + k / 2 * (math.log1p(first) + math.log1p(other)) - other / 2 * chi
    s = np.maximum(rest / (first / 2), 0.0) / 2
    tail = special.gammaincc if first > 0 else special.gammainc
    passed = tail(k / 2, s)
    # held at 700 far out, where the other factor is rounding; the true product never exceeds ``passed``
    weight = np.exp(np.minimum(rest - k / 2 * math.log1p(first), 700.0))
    under = np.minimum(weight * tail(k / 2, s * (1 + first)), passed)
    return float(np.clip(weights @ (passed - under), 0.0, 1.0))


def exact_allowed_samples(eigenvalues: Any, eps: float, delta: float, *, most: int = 2**30) -> int:
    r"""The most samples, up to ``most``, whose exact δ(ε) is at most ``delta``, for H and H' in either order.

    What ``allowed_samples`` would be if nothing were lost in its proof: δ(ε) of ``row_change_privacy_delta``
    rises with k; its crossing of ``delta`` is found for real k, and the whole numbers around it are tried. 0
    when one sample is too many. Raises ``ValueError`` as that function does, and unless 0 < ``delta`` < 1 and
    ``most`` >= 1. Cost: about 25 of its evaluations.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta={delta!r}: expected 0 < delta < 1")
    _check_count("most", most)
    mu = np.asarray(eigenvalues, dtype=np.float64)

    def private(k: int) -> bool:
        return all(row_change_privacy_delta(each, k, eps) <= delta for each in (mu, -mu / (1 + mu)))

    def excess(log_k: float) -> float:
        worst = max(_row_change_delta(each, math.exp(log_k), eps, 400) for each in (mu, -mu / (1 + mu)))
        return math.log(max(worst, 1e-300) / delta)

    if private(most):
        return most
    if not private(1):
        return 0
    k = max(1, math.floor(math.exp(optimize.brentq(excess, 0.0, math.log(most), rtol=1e-12))))
    while not private(k):  # by the rounding of the crossing
        k -= 1
    while private(k + 1):
        k += 1
    return k


# -- what they share ---------------------------------------------------------------------------------------


def _square_root(H: Array) -> Array:
    """The symmetric root of H: the one that does not depend on the signs of eigenvectors."""
    xp = namespace(H)
    if holds_data(H):
        size = float(xp.max(xp.abs(H)))
        if not math.isfinite(size):
            raise ValueError("H: expected finite entries")
        allowed = 8 * H.shape[0] * float(xp.finfo(H.dtype).eps) * size
        if not float(xp.max(xp.abs(H - H.T))) <= allowed:
            raise ValueError("H: expected a symmetric matrix")
    values, vectors = xp.linalg.eigh(H)
    if holds_data(H) and not float(values[0]) >= -allowed:
        raise ValueError(f"H: expected no negative eigenvalue, the least is {float(values[0]):.4g}")
    roots = xp.sqrt(xp.where(values > 0, values, xp.zeros_like(values)))
    return (vectors * roots[None, :]) @ vectors.T


def _bartlett(n: int, k: int, rng: np.random.Generator, *, like: Array) -> Array:
    """T (n, min(n, k)), lower trapezoidal, with T T^T in law the sum of k outer products of N(0, I)."""
    r = min(n, k)
    T = np.tril(rng.standard_normal((n, r)), -1)
    T[np.arange(r), np.arange(r)] = np.sqrt(rng.chisquare(k - np.arange(r)))
    return as_array_like(T, like)


def _check_square(name: str, H: Array) -> None:
    namespace(H)
    if H.ndim != 2 or H.shape[0] != H.shape[1] or H.shape[0] < 1:
        raise ValueError(f"{name} of shape {tuple(H.shape)}: expected a square matrix")


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name}={value!r}: expected an integer >= 1")
