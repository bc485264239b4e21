"""Events that tell two inputs apart: chosen on some runs, certified on others.

An event is a half line of a score: ``score >= threshold`` or ``score <= threshold``. Which score, which
threshold, which half line and which of the two inputs it speaks for are all chosen on one part of the runs.
The rest of the runs then test one single event, so that its two probabilities carry exact confidence bounds
and no correction for the search is due.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from touchstone.evidence.proportions import clopper_pearson

CHOOSING = 4
"""One run in this many chooses the event; the others certify it. A larger share sharpens the choice little
and costs the certificate its square root."""
CAUTION = 1.4
"""How much wider than the confidence asks are the bounds that an event is chosen by: the best of many noisy
estimates is too good, most of all in a far tail. On Gaussian and Laplace noise 1.2 and 1.7 lose power."""
NEARLY = 0.02
"""The share of ε (or μ) that may be given up for a rarer event."""

Objective = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""What to maximise, from a low estimate of the event's probability on the input it speaks for and a high one
on the other input."""


@dataclass(frozen=True)
class Event:
    """``score`` at least (or at most) ``threshold``, taken as a sign of one of the two inputs.

    ``likelier_on`` is ``"data"`` or ``"neighbour"``.
    """

    score: str
    threshold: float
    above: bool
    likelier_on: str

    def holds(self, scores: np.ndarray) -> np.ndarray:
        """Where the event happened."""
        return scores >= self.threshold if self.above else scores <= self.threshold

    def __str__(self) -> str:
        return (
            f"{self.score} score {'>=' if self.above else '<='} {self.threshold:.6g}, "
            f"likelier on the {self.likelier_on}"
        )


@dataclass(frozen=True)
class Certificate:
    """Exact bounds for the two probabilities of one event, from runs that did not choose it.

    ``hits`` out of ``runs``: first on the input that the event speaks for, then on the other one. With
    confidence ``conf`` the first probability is at least ``rate_lower`` and the second at most
    ``rate_upper``, both at once.
    """

    event: Event
    hits: tuple[int, int]
    runs: tuple[int, int]
    conf: float
    rate_lower: float
    rate_upper: float


def certify(event: Event, scores: np.ndarray, scores_neighbour: np.ndarray, conf: float) -> Certificate:
    """Bounds for ``event`` from runs that had no part in choosing it; each bound takes half of 1 − conf."""
    first, second = (int(np.count_nonzero(event.holds(side))) for side in (scores, scores_neighbour))
    return certificate(event, (first, second), (len(scores), len(scores_neighbour)), conf)


def certificate(event: Event, hits: tuple[int, int], runs: tuple[int, int], conf: float) -> Certificate:
    """The certificate from counts, given in the order data, neighbour."""
    if event.likelier_on == "neighbour":
        hits, runs = hits[::-1], runs[::-1]
    each = (1 + conf) / 2
    lower, _ = clopper_pearson(hits[0], runs[0], each, "lower")
    _, upper = clopper_pearson(hits[1], runs[1], each, "upper")
    return Certificate(event, hits, runs, conf, lower, upper)


def choose_event(
    scores: Mapping[str, tuple[np.ndarray, np.ndarray]], objective: Objective, conf: float
) -> Event:
    """The event of largest ``objective`` over all scores (name: runs on the data, runs on the neighbour).

    Rates enter through Wilson's score bounds, which hold back events that a few runs make look good. Of
    events within a share ``NEARLY`` of the best, the rarest is taken: where the two supports differ it keeps
    clear of their edge, which runs that did not choose would cross. Cost: one sort of the runs and some
    hundred thresholds a score.
    """
    z = CAUTION * float(ndtri((1 + conf) / 2))
    families, values, shares = [], [], []
    for name, (data, neighbour) in scores.items():
        sides = {"data": np.sort(data), "neighbour": np.sort(neighbour)}
        thresholds = _thresholds(*sides.values())
        for above in (True, False):
            share = {side: _share(runs, thresholds, above) for side, runs in sides.items()}
            for likelier_on, other in (("data", "neighbour"), ("neighbour", "data")):
                low = _wilson(share[likelier_on], len(sides[likelier_on]), -z)
                values.append(objective(low, _wilson(share[other], len(sides[other]), z)))
                shares.append(share[likelier_on])
                families.append((name, thresholds, above, likelier_on))
    if not families:
        raise ValueError("scores: expected at least one score")
    best = max(float(np.max(value)) for value in values)
    least = best - NEARLY * abs(best)
    rarity = [np.where(value >= least, share, np.inf) for value, share in zip(values, shares, strict=True)]
    family = int(np.argmin([np.min(part) for part in rarity]))
    name, thresholds, above, likelier_on = families[family]
    return Event(name, float(thresholds[np.argmin(rarity[family])]), above, likelier_on)


def log_ratio(delta: float) -> Objective:
    """ln((p − δ)/q): what (ε, δ)-differential privacy keeps at or below ε."""

    def objective(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(low > delta, np.log(np.maximum(low - delta, 0)) - np.log(high), -np.inf)

    return objective


def normal_distance(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Φ⁻¹(p) − Φ⁻¹(q): what μ-Gaussian differential privacy keeps at or below μ."""
    with np.errstate(invalid="ignore"):
        value = ndtri(low) - ndtri(high)
    return np.where(np.isnan(value), -np.inf, value)


def _thresholds(data: np.ndarray, neighbour: np.ndarray) -> np.ndarray:
    """Some of the observed scores: all if they are few, else evenly and densely towards both ends, and the
    ones that lie just outside the other side's range (an infinite loss, if the supports differ)."""
    pooled = np.sort(np.concatenate([data, neighbour]), kind="stable")
    last = len(pooled) - 1
    tail = np.geomspace(1, last + 1, 192).astype(np.int64) - 1
    ranks = np.concatenate([np.linspace(0, last, 256).astype(np.int64), tail, last - tail])
    picked = [pooled[ranks]]
    for one, other in ((data, neighbour), (neighbour, data)):
        below = np.searchsorted(one, other[0], side="left")
        beyond = np.searchsorted(one, other[-1], side="right")
        picked.append(one[max(below - 1, 0) : below])
        picked.append(one[beyond : beyond + 1])
    return np.unique(np.concatenate(picked))


def _share(ordered: np.ndarray, thresholds: np.ndarray, above: bool) -> np.ndarray:
    if above:
        return 1 - np.searchsorted(ordered, thresholds, side="left") / len(ordered)
    return np.searchsorted(ordered, thresholds, side="right") / len(ordered)


def _wilson(p: np.ndarray, n: int, z: float) -> np.ndarray:
    """Wilson's score bound of a proportion: the lower one for z < 0, the upper one for z > 0."""
    spread = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return np.clip((p + z * z / (2 * n) + spread) / (1 + z * z / n), 0.0, 1.0)
