"""Privacy curves in closed form: the δ that a mechanism really has at each ε, and its composition.

A mechanism on a pair of neighbouring inputs with output densities p and q is (ε, δ)-differentially private
exactly when δ is at least the hockey-stick divergence ∫ (p − e^ε q)₊ in both directions. For noise added to
a number that moves by ``shift`` between the two inputs the divergence is known; these are the curves that an
audit (``touchstone.evidence.audit``) is judged against. For symmetric noise both directions agree.

``eps`` may be a number or an array (the result has its shape). ``delta`` is a number in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import erf, erfcx, expit, log_ndtr, ndtr
from scipy.stats import binom

LARGEST_EPS = 2.0**40
"""Beyond this ε a curve that still exceeds δ is taken to exceed it for ever."""


# -- Gaussian noise ----------------------------------------------------------------------------------------


def gaussian_dp_delta(mu: float, eps: Any) -> Any:
    """δ(ε) of μ-Gaussian differential privacy: Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ).

    It is exact for Gaussian noise of standard deviation σ on a value whose ℓ₂ distance between the inputs is
    μσ. Computed without cancellation: accurate to about 1e-12 relative wherever δ does not underflow and
    ε ≤ 1000 μ. Source: Balle and Wang 2018, theorem 5; Dong, Roth and Su 2022, corollary 1. Raises
    ``ValueError`` unless ``mu`` >= 0 and ``eps`` >= 0. Cost: four special functions an ε.
    """
    _require("mu", mu, infinite=True)
    eps = _eps(eps)
    if mu == 0:
        return _like(eps, np.zeros_like(eps))
    if math.isinf(mu):
        return _like(eps, np.ones_like(eps))
    inner, outer = eps / mu - mu / 2, eps / mu + mu / 2
    # e^ε φ(outer) = φ(inner), so δ is φ(inner) times a difference of Mills ratios when inner >= 0; below
    # that the ratio overflows and the two terms differ enough to be subtracted as they stand.
    far = np.maximum(inner, 0.0)
    mills = erfcx(far / math.sqrt(2)) - erfcx(outer / math.sqrt(2))
    tail = 0.5 * np.exp(-far * far / 2) * mills
    near = ndtr(-inner) - np.exp(np.minimum(eps + log_ndtr(-outer), 0.0))
    return _like(eps, np.clip(np.where(inner >= 0, tail, near), 0.0, 1.0))


def gaussian_dp_epsilon(mu: float, delta: float) -> float:
    """The smallest ε for which μ-Gaussian differential privacy gives (ε, δ); infinite for δ = 0 < μ."""
    _require("mu", mu, infinite=True)
    _require_delta(delta)
    if mu == 0 or delta == 1:
        return 0.0
    if math.isinf(mu) or delta == 0:
        return math.inf
    return epsilon_at_delta(lambda eps: gaussian_dp_delta(mu, eps), delta)


def gaussian_dp_mu(eps: float, delta: float) -> float:
    """The largest μ for which μ-Gaussian differential privacy gives (ε, δ), 0 < δ < 1: the inverse of
    ``gaussian_dp_delta`` in μ."""
    _require("eps", eps)
    _require_delta(delta, inside=True)

    def excess(log_mu: float) -> float:
        return gaussian_dp_delta(math.exp(log_mu), eps) - delta

    low, high = -1.0, 1.0
    while excess(low) > 0:
        low *= 2
    while excess(high) < 0:
        high += 1
    return math.exp(brentq(excess, low, high, xtol=1e-14, rtol=1e-14))


def analytic_gaussian_sigma(sensitivity: float, eps: float, delta: float) -> float:
    """The least standard deviation of Gaussian noise that gives (ε, δ) at this ℓ₂ sensitivity.

    Valid for every ε >= 0 and 0 < δ < 1. Source: Balle and Wang 2018, algorithm 1 (here by root finding).
    """
    _require("sensitivity", sensitivity)
    return sensitivity / gaussian_dp_mu(eps, delta)


def classical_gaussian_sigma(sensitivity: float, eps: float, delta: float, rounds: int = 1) -> float:
    """The textbook standard deviation Δ √(2 T ln(1.25/δ)) / ε for ``rounds`` = T adaptive releases.

    Sufficient for 0 < ε <= 1 and 0 < δ < 1 (T releases of sensitivity Δ are one of Δ√T), not necessary:
    ``analytic_gaussian_sigma`` is smaller. Source: Dwork and Roth 2014, theorem A.1. Raises ``ValueError``
    for ε > 1, where the theorem does not hold.
    """
    _require("sensitivity", sensitivity)
    _require_delta(delta, inside=True)
    _require_rounds(rounds)
    if not 0 < eps <= 1:
        raise ValueError(f"eps={eps!r}: expected 0 < eps <= 1; beyond it use analytic_gaussian_sigma")
    return sensitivity * math.sqrt(2 * rounds * math.log(1.25 / delta)) / eps


def truncated_gaussian_delta(shift: float, sigma: float, bound: float, eps: Any) -> Any:
    """δ(ε) of normal noise with parameter ``sigma`` conditioned on [−``bound``, ``bound``].

    The supports on the two inputs differ, so δ never falls below the mass of the part that only one of them
    reaches, P[z < shift − bound]: no ε makes this mechanism purely private. 1 when shift >= 2 bound.
    Derivation: the loss falls linearly in z, so the divergence is F(t) − e^ε F(t − shift) at
    t = max(shift/2 − ε σ²/shift, shift − bound).
    """
    _require("shift", shift)
    _require("sigma", sigma, positive=True)
    _require("bound", bound, positive=True)
    eps = _eps(eps)
    if shift == 0:
        return _like(eps, np.zeros_like(eps))
    if shift >= 2 * bound:
        return _like(eps, np.ones_like(eps))
    move, edge = shift / sigma, bound / sigma
    mass = float(erf(edge / math.sqrt(2)))
    lost = float(log_ndtr(-edge))  # log of the mass cut off at one side
    leak = _normal_mass(-edge, move - edge) / mass
    crossed = move / 2 - eps / move > move - edge  # the loss passes ε inside the common support
    # there Φ(t) − Φ(−edge) − e^ε (Φ(t − move) − Φ(−edge)) is the Gaussian curve plus (e^ε − 1) Φ(−edge)
    inside = gaussian_dp_delta(move, eps) + np.exp(np.minimum(eps + lost, 0.0)) * -np.expm1(-eps)
    return _like(eps, np.clip(np.where(crossed, inside / mass, leak), 0.0, 1.0))


# -- Laplace noise -----------------------------------------------------------------------------------------


def laplace_delta(shift: float, scale: float, eps: Any) -> Any:
    """δ(ε) of Laplace noise: 1 − exp((ε − shift/scale)/2) up to ε = shift/scale, where it is purely
    private, and 0 from there on. Source: Balle, Barthe and Gaboardi 2018, theorem 3."""
    _require("shift", shift)
    _require("scale", scale, positive=True)
    eps = _eps(eps)
    return _like(eps, np.abs(np.expm1(np.minimum((eps - shift / scale) / 2, 0.0))))


def truncated_laplace_delta(shift: float, scale: float, bound: float, eps: Any) -> Any:
    """δ(ε) of Laplace noise conditioned on [−``bound``, ``bound``]; 1 when shift >= 2 bound.

    From ε = shift/scale on, it is the mass that the other input cannot reach,
    (e^{shift/scale} − 1) / (2 (e^{bound/scale} − 1)) for shift <= bound. Derivation: the loss does not rise
    in z and is shift/scale for z <= 0, so the divergence is F(t) − e^ε F(t − shift) at
    t = max((shift − ε scale)/2, shift − bound), and the leak alone once ε >= shift/scale.
    """
    _require("shift", shift)
    _require("scale", scale, positive=True)
    _require("bound", bound, positive=True)
    eps = _eps(eps)
    if shift == 0:
        return _like(eps, np.zeros_like(eps))
    if shift >= 2 * bound:
        return _like(eps, np.ones_like(eps))
    at_most = np.minimum(eps, shift / scale)  # no larger ε changes the event, nor overflows below
    turn = np.maximum((shift - at_most * scale) / 2, shift - bound)
    inside = _truncated_laplace(turn, scale, bound) - _truncated_laplace(turn - shift, scale, bound, at_most)
    leak = _truncated_laplace(np.float64(shift - bound), scale, bound)
    return _like(eps, np.clip(np.where(eps < shift / scale, np.maximum(inside, leak), leak), 0.0, 1.0))


# -- composition -------------------------------------------------------------------------------------------


def basic_composition(budgets: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """(Σ ε, min(1, Σ δ)) of releases with the given (ε, δ). Source: Dwork and Roth 2014, theorem 3.16."""
    budgets = list(budgets)
    if not budgets:
        raise ValueError("budgets=[]: expected at least one pair (eps, delta)")
    for eps, delta in budgets:
        _require("eps", eps, infinite=True)
        _require_delta(delta)
    return math.fsum(eps for eps, _ in budgets), min(1.0, math.fsum(delta for _, delta in budgets))


def gaussian_dp_composition(mus: Iterable[float]) -> float:
    """√(Σ μ²): the Gaussian differential privacy of releases with the given μ, also when each is chosen
    after seeing those before. Source: Dong, Roth and Su 2022, corollary 2."""
    mus = list(mus)
    for mu in mus:
        _require("mu", mu, infinite=True)
    return math.hypot(*mus)


def optimal_composition_delta(eps_each: float, rounds: int, eps: Any, delta_each: float = 0.0) -> Any:
    """δ(ε) of ``rounds`` adaptive releases, each (``eps_each``, ``delta_each``), and no better in general.

    Randomised response attains it, so for it the curve is exact; for any other mechanism of that budget it
    is an upper bound. Source: Kairouz, Oh and Viswanath 2015, theorem 3.3 (there on the grid
    (rounds − 2j) eps_each; the same sum at any ε). Cost: ``rounds`` + 1 terms an ε.
    """
    _require("eps_each", eps_each)
    _require_delta(delta_each)
    _require_rounds(rounds)
    eps = _eps(eps)
    against = np.arange(rounds + 1)  # how many of the releases speak against the input
    probability = binom.pmf(against, rounds, expit(-eps_each))
    excess = np.minimum(eps[..., None] - (rounds - 2 * against) * eps_each, 0.0)
    pure = np.sum(probability * -np.expm1(excess), axis=-1)
    kept = math.exp(rounds * math.log1p(-delta_each)) if delta_each < 1 else 0.0
    return _like(eps, np.clip((1 - kept) + kept * pure, 0.0, 1.0))


def epsilon_at_delta(curve: Callable[[float], float], delta: float) -> float:
    """The smallest ε >= 0 at which the privacy curve ``curve`` (a function of ε) is at most ``delta``.

    Infinite when the curve never falls that far (truncated noise). To about 1e-13 of ε.
    """
    _require_delta(delta)
    if curve(0.0) <= delta:
        return 0.0
    high = 1.0
    while curve(high) > delta:
        high *= 2
        if high > LARGEST_EPS:
            return math.inf
    low = 0.0 if high == 1.0 else high / 2
    if curve(high) == delta == 0:  # no change of sign to find: the edge of the zeros
        return _first_zero(curve, low, high)
    return brentq(lambda eps: curve(eps) - delta, low, high, xtol=1e-14, rtol=1e-13)


# -- what the curves share ---------------------------------------------------------------------------------


def _first_zero(curve: Callable[[float], float], low: float, high: float) -> float:
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if curve(middle) <= 0 else (middle, high)
    return high


def _normal_mass(low: float, high: float) -> float:
    """Φ(high) − Φ(low), without cancellation in the lower tail."""
    if high > 0:
        return float(ndtr(high) - ndtr(low))
    top = float(log_ndtr(high))
    return -math.exp(top) * math.expm1(float(log_ndtr(low)) - top)


def _truncated_laplace(z: Any, scale: float, bound: float, log_weight: Any = 0.0) -> Any:
    """e^log_weight P[noise <= z] for Laplace noise on [−bound, bound]; weights are for z <= 0 only."""
    away = np.minimum(np.abs(z), bound) / scale
    beyond = np.exp(log_weight - away) * np.expm1(away - bound / scale) / (2 * math.expm1(-bound / scale))
    return np.where(z <= 0, beyond, 1 - beyond)


def _eps(eps: Any) -> np.ndarray:
    array = np.asarray(eps, dtype=np.float64)
    if array.size == 0 or not np.all(array >= 0) or not np.all(np.isfinite(array)):
        raise ValueError(f"eps={eps!r}: expected finite numbers >= 0")
    return array


def _like(eps: np.ndarray, value: np.ndarray) -> Any:
    return float(value) if eps.ndim == 0 else value


def _require(name: str, value: Any, *, positive: bool = False, infinite: bool = False) -> None:
    wanted = "> 0" if positive else ">= 0"
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not value >= 0 or (positive and value == 0) or (math.isinf(value) and not infinite):
        raise ValueError(f"{name}={value!r}: expected a {'' if infinite else 'finite '}number {wanted}")


def _require_delta(delta: Any, *, inside: bool = False) -> None:
    real = isinstance(delta, int | float | np.integer | np.floating) and not isinstance(delta, bool)
    if not real or not 0 <= delta <= 1 or (inside and delta in (0, 1)):
        raise ValueError(f"delta={delta!r}: expected {'0 < delta < 1' if inside else '0 <= delta <= 1'}")


def _require_rounds(rounds: Any) -> None:
    if isinstance(rounds, bool) or not isinstance(rounds, int | np.integer) or rounds < 1:
        raise ValueError(f"rounds={rounds!r}: expected an integer >= 1")
