"""A scenario: synthetic data of a known truth, and what a rule's docstring promises about judging them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from scipy import stats

from touchstone.evidence.rules.base import Rule

RARELY = 0.01
OFTEN = 0.99

Kind = Literal["false alarm", "power", "false acceptance", "acceptance"]
Sample = Callable[[np.random.Generator, float, int], Iterable[tuple[Any, int]]]

NUMBERS_IN_WORDS = {"half": 0.5, "twice": 2.0, "linear": 1.0, "quadratic": 2.0}


@dataclass(frozen=True)
class Promise:
    """One sentence of a docstring: at truth ``at`` this happens rarely (<= 1 %) or nearly always (>= 99 %).

    ``words`` is the sentence, word for word. ``trials`` overrides the scenario's, where rates near the limit
    take more of them.
    """

    kind: Kind
    at: float
    words: str
    trials: int | None = None

    @property
    def outcome(self) -> Literal["accepts", "rejects"]:
        return "rejects" if self.kind in ("false alarm", "power") else "accepts"

    @property
    def often(self) -> bool:
        return self.kind in ("power", "acceptance")


@dataclass(frozen=True)
class Scenario:
    """How to draw measurements whose truth is known, for one setting of one rule.

    The truth is a number in the docstring's own measure, named by ``measure``: ``hardest`` is where the claim
    is true and hardest to tell from false, ``stated`` the false one that the docstring promises to detect. On
    the figure's axis the first is 0 and the second 1. ``sample(rng, truth, n)`` gives n independent
    measurements as pairs of a measurement and how often it came up. ``span`` is what the axis shows.
    """

    rule: Rule
    name: str
    measure: str
    hardest: float
    stated: float
    promises: tuple[Promise, ...]
    sample: Sample
    trials: int = 10_000
    curve: int = 600
    span: tuple[float, float] = (-1.0, 1.5)

    def effect(self, truth: float) -> float:
        """``truth`` in units of the stated effect."""
        return (truth - self.hardest) / (self.stated - self.hardest)

    def truth(self, effect: float) -> float:
        return self.hardest + effect * (self.stated - self.hardest)

    def truths(self) -> dict[float, int]:
        """Where to measure and in how many trials: a grid of quarters, and wherever something is promised."""
        low, high = self.span
        grid = np.arange(np.ceil(4 * low), np.floor(4 * high) + 1) / 4
        points = {round(self.truth(float(t)), 12): self.curve for t in grid}
        for promise in self.promises:
            at = round(promise.at, 12)
            points[at] = max(points.get(at, 0), promise.trials or self.trials)
        return dict(sorted(points.items(), key=lambda item: self.effect(item[0])))


def each(draw: Callable[[np.random.Generator, float], Any]) -> Sample:
    """Measurements drawn one by one."""

    def sample(rng: np.random.Generator, truth: float, n: int) -> Iterator[tuple[Any, int]]:
        return ((draw(rng, truth), 1) for _ in range(n))

    return sample


def tallied(
    counts: Callable[[np.random.Generator, float, int], np.ndarray], read: Callable[[np.ndarray, float], Any]
) -> Sample:
    """Measurements that are counts: many trials give few different ones, and each is judged once.

    ``counts`` gives n rows of integers, ``read`` the measurement of one row.
    """

    def sample(rng: np.random.Generator, truth: float, n: int) -> Iterator[tuple[Any, int]]:
        rows, multiplicities = np.unique(counts(rng, truth, n), axis=0, return_counts=True)
        return ((read(row, truth), int(m)) for row, m in zip(rows, multiplicities, strict=True))

    return sample


def binomial(trials: int, probability: Callable[[float], float], read: Callable[[int, float], Any]) -> Sample:
    """Events among ``trials``, of a ``probability`` that follows from the truth; ``read(events, truth)``.

    How often each count comes up in n experiments is one multinomial draw, so millions of them cost nothing.
    """

    def sample(rng: np.random.Generator, truth: float, n: int) -> Iterator[tuple[Any, int]]:
        law = stats.binom.pmf(np.arange(trials + 1), trials, min(max(probability(truth), 0.0), 1.0))
        tally = rng.multinomial(n, law / law.sum())
        return ((read(int(events), truth), int(tally[events])) for events in np.flatnonzero(tally))

    return sample


# -- what the docstring says -----------------------------------------------------------------------------


def undocumented(scenario: Scenario) -> list[str]:
    """What ``scenario`` measures and its rule's docstring does not say; empty if all of it is there.

    A promise has to be a sentence of the docstring (of the rule, or of one of its properties, whose value is
    then the effect). Where it is the promise at the stated effect, the effect has to be a number in that
    sentence, or a setting that it names; a sentence without such numbers (the square of x) states it whole.
    """
    faults = []
    for promise in scenario.promises:
        where = f"{scenario.rule.name}, {scenario.name}: {promise.kind}: "
        sources = _sources(scenario.rule)
        holds = [name for name, text in sources.items() if _words(promise.words) in text]
        if not holds:
            faults.append(f"{where}the docstring does not say {promise.words!r}")
        elif promise.kind == "power":
            if promise.at != scenario.stated:
                faults.append(f"{where}measured at {promise.at:g}, expected {scenario.stated:g} as stated")
            stated = _numbers(promise.words, scenario.rule)
            stated |= {float(getattr(scenario.rule, name)) for name in holds if name}
            if not any(abs(abs(promise.at) - number) < 1e-9 for number in stated or {1.0}):
                faults.append(f"{where}at {promise.at:g}, expected a number of {promise.words!r}")
    return faults


def _sources(rule: Rule) -> dict[str, str]:
    """The docstring of the rule (under the name ""), and those of its documented properties."""
    kind = type(rule)
    found = {"": _words(inspect.getdoc(kind) or "")}
    for name in dir(kind):
        member = inspect.getattr_static(kind, name)
        if isinstance(member, property) and member.__doc__ and isinstance(getattr(rule, name), float):
            found[name] = _words(member.__doc__)
    return found


def _words(text: str) -> str:
    return " ".join(text.split())


def _numbers(words: str, rule: Rule) -> set[float]:
    """The numbers in a sentence: digits, some words, and settings named in double back quotes; no rates."""
    words = re.sub(r"(at most |below |above |power of |probability of |>= )?99? %", "", words)
    words = re.sub(r"(?<=\d) (?=\d{3}\b)", "", words)
    found = {
        float(Fraction(number))
        for number in re.findall(r"(?<![\w.^⁻])\d+(?:\.\d+)?(?:/\d+)?(?![\w.]*⁻)", words)
    }
    found |= {value for word, value in NUMBERS_IN_WORDS.items() if re.search(rf"\b{word}\b", words)}
    for name in re.findall(r"``(\w+)``", words):
        value = getattr(rule, name, None)
        if isinstance(value, int | float):
            found.add(float(value))
    return found
