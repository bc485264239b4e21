"""Distributions: draws that follow a stated law, or the same law as other draws."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

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


@dataclass(frozen=True)
class Draws:
    """Independent ``values`` (m,) and what they are held against.

    ``reference`` is a continuous distribution function (``scipy.stats.norm.cdf``, or your own; it takes an
    array), or other draws (k,) that should have the same law.
    """

    values: Any
    reference: Callable[[np.ndarray], Any] | Any


@dataclass(frozen=True)
class SameDistribution(Rule):
    """The draws follow the reference law: no Kolmogorov–Smirnov distance beyond chance and ``tolerance``.

    The measurement is ``Draws``, or a mapping of labels to them (1 - ``conf`` is then shared between the
    cells). The largest difference of the two distribution functions is held against its exact quantile for
    one sample (SciPy's ``kstwo``) and the bound of Dvoretzky, Kiefer and Wolfowitz for two; ``tolerance`` is
    added for laws that hold in a limit only. More rejects, anything else accepts.

    A true law is rejected in at most 1 % of the runs, whatever it is. A law at distance ``detects`` is
    rejected with a power of 99 %, guaranteed by the same inequality: fewer draws than that takes are a
    ``MeasurementError`` (``detects`` = 0.1 takes 1060 draws against a law, 3330 against as many). The
    distance is the largest gap between distribution functions: normal draws off by a quarter of their
    deviation lie at 0.1, Student's t with 4 degrees scaled to variance 1 at 0.053.

    Source: P. Massart, *The tight constant in the Dvoretzky–Kiefer–Wolfowitz inequality* (1990).
    """

    detects: float
    tolerance: float = 0.0
    conf: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("tolerance", self.tolerance, least=0)
        require_number("detects", self.detects, above=self.tolerance)
        require_confidence(self.conf)
        if self.detects >= 1:
            raise ValueError(f"detects={self.detects!r}: expected a distance below 1")

    @property
    def says(self) -> str:
        allowance = f" and {shown(self.tolerance)}" if self.tolerance else ""
        return (
            f"the distribution functions differ by no more than chance{allowance} explains at "
            f"{100 * self.conf:g} %"
        )

    def judge(self, measurement: Any) -> Judgement:
        parts = cells(measurement, _sample)
        level = 1 - shared_confidence(self.conf, len(parts))
        distances: dict[str, float] = {}
        limits: dict[str, float] = {}
        outcomes: dict[str, Outcome] = {}
        for label, part in parts.items():
            chance, miss = _quantiles(part, level)
            if chance + miss > self.detects - self.tolerance:
                where = f"{label}: " if label else ""
                factor = ((chance + miss) / (self.detects - self.tolerance)) ** 2
                raise MeasurementError(
                    f"{where}{part.sizes} draws: expected about {factor:.2g} times as many to detect a "
                    f"distance of {self.detects:g} with a power of {100 * POWER:g} %"
                )
            distances[label], limits[label] = part.distance, chance + self.tolerance
            outcomes[label] = "accepts" if part.distance <= limits[label] else "rejects"
        worst = max(distances, key=lambda label: distances[label] - limits[label])
        numbers: dict[str, Any] = {
            "distance": distances[worst],
            "p_value": parts[worst].p_value,
            "draws": parts[worst].sizes,
            "detects": self.detects,
        }
        if len(parts) > 1:
            numbers |= {"cells": len(parts), "worst_at": worst}
        return Judgement(
            combined(outcomes.values()),
            numbers,
            limits[worst],
            f"the distribution functions{at(worst)} differ by {shown(distances[worst])} (limit "
            f"{shown(limits[worst])})",
        )

    def triviality(self, measurement: Any) -> str | None:
        for label, part in cells(measurement, _sample).items():
            if part.constant:
                return f"the draws{at(label)} are all equal"
        return None


@dataclass(frozen=True)
class _Sample:
    distance: float
    p_value: float
    sizes: tuple[int, ...]
    constant: bool


def _sample(measurement: Any) -> _Sample:
    if not isinstance(measurement, Draws):
        raise MeasurementError(f"measurement: expected Draws, got {type(measurement).__name__}")
    values = _row("values", measurement.values)
    constant = bool(np.all(values == values[0]))
    if callable(measurement.reference):
        heights = np.asarray(measurement.reference(np.sort(values)), dtype=np.float64)
        if heights.shape != values.shape or not np.all((heights >= 0) & (heights <= 1)):
            raise MeasurementError(
                "reference: expected a distribution function, with one height in [0, 1] a value"
            )
        if np.any(np.diff(heights) < 0):
            raise MeasurementError("reference: expected a distribution function that does not fall")
        test = stats.ks_1samp(values, measurement.reference)
        return _Sample(float(test.statistic), float(test.pvalue), (len(values),), constant)
    others = _row("reference", measurement.reference)
    test = stats.ks_2samp(values, others, method="asymp")
    return _Sample(float(test.statistic), float(test.pvalue), (len(values), len(others)), constant)


@functools.lru_cache(maxsize=256)
def _exact_quantile(level: float, m: int) -> float:
    return float(stats.kstwo.isf(level, m))


def _row(name: str, values: Any) -> np.ndarray:
    row = finite_values(values, name)
    if row.ndim != 1:
        raise MeasurementError(f"{name} of shape {row.shape}: expected a row of independent draws")
    return row


def _quantiles(part: _Sample, level: float) -> tuple[float, float]:
    """The distance that chance exceeds at ``level``, and how far it may hide one that is there."""
    if len(part.sizes) == 1:
        (m,) = part.sizes
        return _exact_quantile(level, m), _exact_quantile(1 - POWER, m)
    m, k = part.sizes
    chance = math.sqrt(math.log(2 / level) / 2 * (m + k) / (m * k))
    # each sample may stray from its own law with half of the error
    miss = sum(math.sqrt(math.log(4 / (1 - POWER)) / 2 / size) for size in (m, k))
    return chance, miss
