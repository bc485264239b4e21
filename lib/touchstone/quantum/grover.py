r"""Grover's search as its exact law: what a quantum computer would do, in counts of oracle calls.

After j iterations on n items of which t are marked, a measurement finds a marked one with probability
:math:`\sin^2((2j+1)\theta)`, :math:`\sin\theta=\sqrt{t/n}`. Amplitudes stay within a plane, so this law is
the whole algorithm: drawing from it is an exact simulation at any n. ``state`` is the full vector.

An *oracle call* is one evaluation of "is this item marked?", in superposition or not: j for j iterations and
one to look at what was measured.

Source: quantum-linear-regression, setting; L. Grover (1996); M. Boyer, G. Brassard, P. Høyer, A. Tapp, *Tight
bounds on quantum searching* (1998).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.arrays import Array, namespace

GROWTH = 1.2
"""By how much the range of iterations grows after a failure; any number in (1, 4/3) keeps the proof."""


def success_probability(j: Any, marked: Any, n: Any) -> Any:
    r""":math:`\sin^2((2j+1)\theta)`, the chance of ``j`` iterations to find one of ``marked`` in ``n`` items.

    Numbers or host arrays that broadcast; a number for numbers. Raises ``ValueError`` unless ``j`` >= 0 and
    0 <= ``marked`` <= ``n``, ``n`` >= 1.
    """
    _check_search(n, marked)
    if np.any(np.asarray(j) < 0):
        raise ValueError(f"j={j!r}: expected iterations >= 0")
    found = np.sin((2 * np.asarray(j) + 1) * np.arcsin(np.sqrt(np.asarray(marked) / n))) ** 2
    return float(found) if found.ndim == 0 else found


def state(marked: Array, j: int, *, oracle: Callable[[Array], Array] | None = None) -> Array:
    """The amplitudes (n,) after ``j`` iterations from the uniform superposition.

    ``marked`` (n,) is boolean. An iteration flips the sign of the marked amplitudes and then reflects all of
    them at their mean; ``oracle`` may replace the first half. All amplitudes stay real. Cost: about 4 n
    operations for each iteration. Raises ``ValueError`` unless ``marked`` is a row of at least one boolean
    and ``j`` >= 0.
    """
    xp = namespace(marked)
    if marked.ndim != 1 or marked.shape[0] < 1 or not xp.isdtype(marked.dtype, "bool"):
        raise ValueError(f"marked of shape {tuple(marked.shape)}, {marked.dtype}: expected booleans in a row")
    _check_count("j", j, 0)
    n = marked.shape[0]
    amplitudes = xp.full((n,), 1 / math.sqrt(n), dtype=xp.float64)
    if oracle is None:
        sign = xp.where(marked, -xp.ones_like(amplitudes), xp.ones_like(amplitudes))
        oracle = lambda x: sign * x  # noqa: E731
    for _ in range(j):
        amplitudes = oracle(amplitudes)
        amplitudes = 2 * xp.mean(amplitudes) - amplitudes
    return amplitudes


def search_queries(
    n: int, marked: Any, rng: np.random.Generator, runs: int, *, budget: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Oracle calls of a search that does not know how many items are marked, and whether it succeeded.

    ``marked`` is a number or a host array; both results have the shape (\*marked.shape, runs). The range M of
    iterations starts at 1; j is drawn uniformly below ⌈M⌉, j + 1 calls are paid, and after a failure M grows
    by ``GROWTH``, up to :math:`\sqrt n`. About :math:`\frac92\sqrt{n/t}` calls are expected at most.

    With a ``budget`` a trial that would pass it is not started, and the search ends without success;
    without one every ``marked`` has to be positive. Cost: about :math:`\log n` vectorised trials. Raises
    ``ValueError`` for counts out of range.
    """
    marked = np.asarray(marked)
    _check_search(n, marked)
    _check_count("runs", runs, 1)
    if budget is None and np.any(marked == 0):
        raise ValueError("marked=0 without a budget: expected a marked item, or the search never ends")
    if budget is not None and not budget >= 1:
        raise ValueError(f"budget={budget!r}: expected calls >= 1")
    shape = (*marked.shape, runs)
    angle = np.repeat(np.arcsin(np.sqrt(marked.reshape(-1) / n)), runs)
    calls, found = np.zeros(angle.shape, dtype=np.int64), np.zeros(angle.shape, dtype=bool)
    active, limit = np.arange(angle.size), 1.0  # all that still search have failed equally often
    while active.size:
        j = rng.integers(0, math.ceil(limit), active.size)
        if budget is not None:
            affordable = calls[active] + j + 1 <= budget
            active, j = active[affordable], j[affordable]
        calls[active] += j + 1
        hit = rng.uniform(size=active.size) < np.sin((2 * j + 1) * angle[active]) ** 2
        found[active[hit]] = True
        active = active[~hit]
        limit = min(GROWTH * limit, math.sqrt(n))
    return calls.reshape(shape), found.reshape(shape)


@dataclass(frozen=True)
class FoundAll:
    """``search`` (runs,): calls of the stages that found an item; ``certification`` (runs,): those of the
    last stage, which found none; ``found`` (runs,): how many of the marked items were found."""

    search: np.ndarray
    certification: np.ndarray
    found: np.ndarray

    @property
    def calls(self) -> np.ndarray:
        return self.search + self.certification


def find_all_queries(
    n: int, k: int, rng: np.random.Generator, runs: int, *, rounds: int = 1, budget: float = 9.0
) -> FoundAll:
    r"""Oracle calls to list all ``k`` marked items of ``n`` without knowing ``k``, in ``runs`` runs.

    Stage by stage a fresh search (``search_queries``) for one of those that are left; what it finds is
    unmarked. A stage is given up after ``rounds`` budgets of ⌈``budget`` · √n⌉ calls without success, and the
    list then counts as complete: that last stage, the certification, is charged all of its budgets. A stage
    may be given up too early, and then the list is not complete.

    Stages are independent given how many items are left, so all of them are drawn at once: k · runs searches.
    Raises ``ValueError`` for counts out of range. Source: quantum-linear-regression, setting.
    """
    _check_search(n, k)
    for name, value, least in (("k", k, 0), ("runs", runs, 1), ("rounds", rounds, 1)):
        _check_count(name, value, least)
    if not (math.isfinite(budget) and budget > 0):
        raise ValueError(f"budget={budget!r}: expected a positive number of √n calls")
    most = math.ceil(budget * math.sqrt(n))
    left = np.arange(k, 0, -1)
    calls, found = np.zeros((k, runs), dtype=np.int64), np.zeros((k, runs), dtype=bool)
    for _ in range(rounds):
        again, success = search_queries(n, left, rng, runs, budget=most)
        calls += np.where(found, 0, np.where(success, again, most))
        found |= success
    reached = np.cumprod(found, axis=0, dtype=np.int64)  # a stage takes place when all before it succeeded
    return FoundAll(
        np.sum(calls * reached, axis=0), np.full(runs, rounds * most, dtype=np.int64), np.sum(reached, axis=0)
    )


def _check_search(n: Any, marked: Any) -> None:
    n, marked = np.asarray(n), np.asarray(marked)
    if np.any(n < 1):
        raise ValueError(f"n={n}: expected at least one item")
    if np.any((marked < 0) | (marked > n)):
        raise ValueError(f"marked={marked}: expected numbers between 0 and n={n}")


def _check_count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}={value!r}: expected an integer >= {least}")
