"""Scenarios of the privacy rules: audits of mechanisms whose ε (or μ) is known and claimed exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from touchstone.evidence.audit import Mechanism, audit, audit_gaussian
from touchstone.evidence.calibration.scenario import Promise, Scenario, each
from touchstone.evidence.privacy_curves import analytic_gaussian_sigma, gaussian_dp_mu
from touchstone.evidence.rules.epsilon import EpsilonAtMost, MuAtMost

WHY = "calibration"
DELTA = 1e-5
PRIVATE = "A private mechanism is rejected with probability at most 1 − ``conf``"
UNDERSTATED = (
    "noise at half its scale (or a sensitivity understated by 2) is rejected with probability >= 99 %: "
    "Laplace from 2 000 runs a side"
)
EXACT = f"{UNDERSTATED}, Gaussian calibrated exactly at δ = 10⁻⁵ from 150 000"
HALF_MU = (
    "Gaussian noise at half its scale is rejected with probability >= 99 % from 8 000 runs a side at μ = "
    "0.27 (ε = 1, δ = 10⁻⁵) and from 1 000 at μ = 1"
)

Noise = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _additive(noise: Noise, scale: float) -> Mechanism:
    def mechanism(value: Any, runs: int, rng: np.random.Generator) -> np.ndarray:
        return value + scale * noise(rng, (runs, *np.shape(value)))

    return mechanism


def _laplace(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.laplace(size=shape)


def _gaussian(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape)


def _epsilon(
    name: str, noise: Noise, scale: float, delta: float, runs: int, words: str, trials: int, curve: int
) -> Scenario:
    rule = EpsilonAtMost(1.0, delta, why=WHY)

    def draw(rng: np.random.Generator, share: float) -> Any:
        return audit(_additive(noise, share * scale), 0.0, 1.0, delta=delta, runs=runs, rng=rng)

    return _half(rule, name, (PRIVATE, words), draw, trials, curve)


def _half(rule: Any, name: str, words: tuple[str, str], draw: Any, trials: int, curve: int = 300) -> Scenario:
    return Scenario(
        rule,
        name,
        "noise over what is needed",
        1.0,
        0.5,
        (Promise("false alarm", 1.0, words[0]), Promise("power", 0.5, words[1])),
        each(draw),
        trials,
        curve,
        (-0.5, 1.25),
    )


def _sensitivity() -> Scenario:
    rule = EpsilonAtMost(1.0, 0.0, why=WHY)

    def draw(rng: np.random.Generator, sensitivity: float) -> Any:
        neighbour = np.asarray([sensitivity, 0.0])
        return audit(_additive(_laplace, 1.0), np.zeros(2), neighbour, delta=0.0, runs=2000, rng=rng)

    return Scenario(
        rule,
        "Laplace, sensitivity",
        "sensitivity over the stated one",
        1.0,
        2.0,
        (Promise("false alarm", 1.0, PRIVATE), Promise("power", 2.0, UNDERSTATED)),
        each(draw),
        2500,
        100,
        (-0.5, 1.25),
    )


def _mu(mu: float, runs: int, trials: int) -> Scenario:
    def draw(rng: np.random.Generator, share: float) -> Any:
        return audit_gaussian(_additive(_gaussian, share / mu), 0.0, 1.0, runs=runs, rng=rng)

    private = "A μ-private mechanism is rejected with probability at most 1 − ``conf``, whatever its noise"
    return _half(
        MuAtMost(mu, why=WHY), f"Gaussian, μ = {mu:.2g}, {runs} runs", (private, HALF_MU), draw, trials
    )


SCENARIOS = (
    _epsilon("Laplace, 2000 runs", _laplace, 1.0, 0.0, 2000, UNDERSTATED, 5000, 200),
    _sensitivity(),
    _epsilon(
        "Gaussian, 150 000 runs",
        _gaussian,
        analytic_gaussian_sigma(1.0, 1.0, DELTA),
        DELTA,
        150_000,
        EXACT,
        700,
        24,
    ),
    _mu(1.0, 1000, 6000),
    _mu(gaussian_dp_mu(1.0, DELTA), 8000, 3000),
)
