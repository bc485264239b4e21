"""Scenarios of the rules for convergence: straight lines, and orders from consecutive errors."""

from __future__ import annotations

import numpy as np

from touchstone.evidence.calibration.scenario import Promise, Scenario, each
from touchstone.evidence.rules.linear import LinearIn, Points
from touchstone.evidence.rules.order import OrderAtLeast

WHY = "calibration"
X = np.linspace(1, 10, 16)
STRAIGHT = (
    "A straight line with a slope within the limits and noise of at most 2 % of its rise is rejected in "
    "fewer than 1 % of the runs"
)
BENT = (
    "the square, the square root and the logarithm of x, and a slope 10 % beyond a limit, are rejected with "
    "probability above 99 %, and a line whose slope is 10 % inside is accepted as often"
)


def _noisy(rng: np.random.Generator, curve: np.ndarray, noise: float) -> Points:
    rise = curve[-1] - curve[0]
    return Points(X, curve + noise * rise * rng.normal(size=len(X)))


def _slope(noise: float) -> Scenario:
    rule = LinearIn("x", slope_at_most=1, why=WHY)
    promises = [Promise("false alarm", 0.0, STRAIGHT)]
    if noise == 0.01:
        promises += [Promise("acceptance", -10.0, BENT, 4000), Promise("power", 10.0, BENT, 4000)]
    return Scenario(
        rule,
        f"steeper, noise {100 * noise:g} %",
        "slope beyond the limit (%)",
        0.0,
        10.0,
        tuple(promises),
        each(lambda rng, percent: _noisy(rng, (1 + percent / 100) * X, noise)),
        curve=300,
    )


def _bent(name: str, curve: np.ndarray) -> Scenario:
    rule = LinearIn("x", why=WHY)
    bent = (curve - curve[0]) / (curve[-1] - curve[0])
    line = (X - X[0]) / (X[-1] - X[0])
    words = BENT.split(", and a slope")[0]
    return Scenario(
        rule,
        f"{name}, noise 1 %",
        "share of the bent curve",
        0.0,
        1.0,
        (Promise("false alarm", 0.0, STRAIGHT, 4000), Promise("power", 1.0, words, 4000)),
        each(lambda rng, share: _noisy(rng, (1 - share) * line + share * bent, 0.01)),
        curve=300,
        span=(0.0, 1.25),
    )


def _order(constant: float) -> Scenario:
    rule = OrderAtLeast(1.8, why=WHY)
    words = (
        "quadratic convergence from 10⁻¹ is rejected in fewer than 1 % and accepted in more than 99 % of "
        "the runs, linear convergence the reverse"
    )

    def run(rng: np.random.Generator, order: float) -> list[float]:
        errors = [0.1 * rng.uniform(0.5, 1)]
        while errors[-1] > 1e-15 and len(errors) < 40:
            errors.append(constant * errors[-1] ** order * float(np.exp(0.1 * rng.normal())))
        return errors

    return Scenario(
        rule,
        f"5 runs, C = {constant:g}",
        "order of convergence",
        2.0,
        1.0,
        tuple(
            Promise(kind, at, words, 4000)
            for kind, at in (
                ("false alarm", 2.0),
                ("acceptance", 2.0),
                ("false acceptance", 1.0),
                ("power", 1.0),
            )
        ),
        each(lambda rng, order: [run(rng, order) for _ in range(5)]),
        curve=300,
        span=(-0.5, 1.0),
    )


SCENARIOS = (
    _slope(0.01),
    _slope(0.02),
    _bent("square", X**2),
    _bent("root", np.sqrt(X)),
    _bent("logarithm", np.log(X)),
    _order(0.3),
    _order(0.8),
)
