"""Counts over categories: a sampler that draws each with its stated probability."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import chdtrc, chdtri

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import (
    Judgement,
    Outcome,
    Rule,
    finite_values,
    require_confidence,
    require_number,
)
from touchstone.evidence.rules.cells import at, cells, combined, shared_confidence

POWER = 0.99
LEAST_EXPECTED = 5


@dataclass(frozen=True)
class Counts:
    """How often each category was ``observed`` (c,), and its ``probabilities`` (c,), which sum to 1."""

    observed: Any
    probabilities: Any


@dataclass(frozen=True)
class CountsMatch(Rule):
    """The counts follow the stated probabilities: Pearson's chi-square stays below its quantile.

    The measurement is ``Counts``, or a mapping of labels to them (1 - ``conf`` is then shared between the
    cells). More than the quantile rejects, anything else accepts. True probabilities are rejected in at most
    1 % of the runs: the chi-square law is a limit, so half of 1 - ``conf`` is kept for its error, and every
    category needs an expected count of 5 (rarer ones are to be merged). Frequencies whose deviation is w =
    ``detects`` are rejected with a power of 99 %, by the non-central law and, where that is worse, with the
    whole deviation in the rarest category; fewer draws are a ``MeasurementError``. w is the root mean square
    of the categories' *relative* deviations, weighted by their probabilities: every probability off by 10 %,
    up or down, has w = 0.1.
    """

    detects: float
    conf: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("detects", self.detects, above=0)
        require_confidence(self.conf)

    @property
    def says(self) -> str:
        return f"chi-square of the counts is below its {100 * (1 - self._level(1)):g} % quantile"

    def _level(self, parts: int) -> float:
        return (1 - shared_confidence(self.conf, parts)) / 2

    def judge(self, measurement: Any) -> Judgement:
        parts = cells(measurement, _counts)
        level = self._level(len(parts))
        statistics: dict[str, float] = {}
        limits: dict[str, float] = {}
        outcomes: dict[str, Outcome] = {}
        for label, (observed, probabilities) in parts.items():
            self._require_enough(label, observed, probabilities, level)
            expected = probabilities * observed.sum()
            statistics[label] = float(np.sum((observed - expected) ** 2 / expected))
            limits[label] = float(chdtri(len(observed) - 1, level))
            outcomes[label] = "accepts" if statistics[label] <= limits[label] else "rejects"
        worst = max(statistics, key=lambda label: statistics[label] / limits[label])
        observed, _ = parts[worst]
        draws = int(observed.sum())
        numbers: dict[str, Any] = {
            "chi_square": statistics[worst],
            "p_value": float(chdtrc(len(observed) - 1, statistics[worst])),
            "deviation": math.sqrt(statistics[worst] / draws),
            "categories": len(observed),
            "draws": draws,
            "detects": self.detects,
        }
        if len(parts) > 1:
            numbers |= {"cells": len(parts), "worst_at": worst}
        return Judgement(
            combined(outcomes.values()),
            numbers,
            limits[worst],
            f"chi-square{at(worst)} is {shown(statistics[worst])} over {len(observed)} categories (limit "
            f"{shown(limits[worst])})",
        )

    def triviality(self, measurement: Any) -> str | None:  # noqa: ARG002
        return None  # equal counts are what a uniform sampler as control gives

    def _require_enough(
        self, label: str, observed: np.ndarray, probabilities: np.ndarray, level: float
    ) -> None:
        where = f"{label}: " if label else ""
        draws = int(observed.sum())
        rarest = float(probabilities.min()) * draws
        if rarest < LEAST_EXPECTED:
            raise MeasurementError(
                f"{where}expected count {rarest:.3g} in the rarest category: expected at least "
                f"{LEAST_EXPECTED}; merge categories or draw more"
            )
        power = _power(len(probabilities), float(probabilities.min()), draws, level, self.detects)
        if power < POWER:
            raise MeasurementError(
                f"{where}{draws} draws: a deviation of {self.detects:g} would be detected with a power "
                f"of only {100 * power:.3g} %; expected {100 * POWER:g} %, so draw more"
            )


@functools.lru_cache(maxsize=64)  # the same for every measurement of one design
def _power(categories: int, rarest: float, draws: int, level: float, deviation: float) -> float:
    """The least probability of rejection at ``deviation``; ``rarest`` is the smallest probability.

    The non-central law takes the variances of the true probabilities. They are furthest from those of the
    deviating ones where the rarest category alone is more frequent: there, its count is binomial, and given
    the count the others, in proportion, contribute a chi-square of one degree less.
    """
    freedom, p = categories - 1, rarest
    limit = stats.chi2.isf(level, freedom)
    usual = stats.ncx2.sf(limit, freedom, draws * deviation**2)
    raised = p + deviation * math.sqrt(p * (1 - p))
    if raised >= 1:  # no such probabilities
        return float(usual)
    law = stats.binom(draws, raised)
    count = np.arange(law.ppf(1e-9), law.isf(1e-9) + 1)
    own = (count - draws * p) ** 2 / (draws * p * (1 - p))
    if freedom == 1:
        beyond = np.where(own > limit, 1.0, 0.0)
    else:
        share = np.maximum(draws - count, 1) / (draws * (1 - p))
        beyond = stats.chi2.sf((limit - own) / share, freedom - 1)
    return float(min(usual, np.sum(law.pmf(count) * beyond)))


def _counts(measurement: Any) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(measurement, Counts):
        raise MeasurementError(f"measurement: expected Counts, got {type(measurement).__name__}")
    observed = finite_values(measurement.observed, "observed")
    probabilities = finite_values(measurement.probabilities, "probabilities")
    if observed.ndim != 1 or observed.shape != probabilities.shape or len(observed) < 2:
        raise MeasurementError(
            f"observed and probabilities of shapes {observed.shape} and {probabilities.shape}: expected two "
            "equal rows of at least two categories"
        )
    if np.any(observed < 0) or np.any(observed != np.round(observed)) or observed.sum() == 0:
        raise MeasurementError("observed: expected counts, not all zero")
    if np.any(probabilities <= 0) or abs(float(probabilities.sum()) - 1) > 1e-9:
        raise MeasurementError(
            f"probabilities that sum to {float(probabilities.sum()):.6g}: expected positive ones with sum 1"
        )
    return observed, probabilities
