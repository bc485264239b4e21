"""Scores learnt from outputs: numbers that tend to be larger on one of two inputs than on the other.

Each is fitted on some runs of both inputs and is then a fixed function, so that an event of it can be
certified on other runs. None has to be right: a poor score weakens an audit, it never makes it accuse.
They cover the shapes that noise takes: a shift or a change of spread (``linear``, ``quadratic``), any law
with independent coordinates, atoms included (``histogram``), values that only one input can give
(``range``), and outputs that repeat (``patterns``).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve

Score = Callable[[np.ndarray], np.ndarray]

MOST_CORRELATED = 512
"""Beyond this many coordinates correlations are left out: a factorisation would cost more than the runs."""
RUNS_PER_COORDINATE = 5
"""With fewer fitting runs a coordinate, an estimated covariance is mostly noise: its diagonal is used."""
MOST_PATTERNS = 4096


def learn_scores(outputs: np.ndarray, neighbour: np.ndarray) -> dict[str, Score]:
    """Scores fitted on ``outputs`` (n, k) and ``neighbour`` (m, k), finite float64; each maps (N, k) to (N,).

    Cost: O((n + m) k log n + min(k, 512)³).
    """
    scores: dict[str, Score] = {}
    scaled = _scaling(outputs, neighbour)
    if outputs.shape[1] > 1:
        scores["linear"] = _linear(outputs, neighbour, scaled)
        scores["range of the data"] = _outside(outputs)
        scores["range of the neighbour"] = _outside(neighbour)
        patterns = _patterns(outputs, neighbour)
        if patterns is not None:
            scores["patterns"] = patterns
    scores["quadratic"] = _quadratic(outputs, neighbour, scaled)
    scores["histogram"] = _histograms(outputs, neighbour)
    return scores


def _linear(a: np.ndarray, b: np.ndarray, scaled: Score) -> Score:
    """Fisher's discriminant: the difference of means, whitened by the pooled covariance."""
    a, b = scaled(a), scaled(b)
    centred = np.concatenate([a - a.mean(axis=0), b - b.mean(axis=0)])
    direction = _Normal(centred).solve(a.mean(axis=0) - b.mean(axis=0))
    return lambda y: scaled(y) @ direction


def _quadratic(a: np.ndarray, b: np.ndarray, scaled: Score) -> Score:
    """The log-likelihood ratio of two normal laws, up to a constant."""
    first, second = _Normal(scaled(a)), _Normal(scaled(b))
    return lambda y: second.distance(scaled(y)) - first.distance(scaled(y))


def _scaling(a: np.ndarray, b: np.ndarray) -> Score:
    """Coordinates moved and scaled so that all fitting runs lie in [−1, 1]; far outliers are cut at 10^6."""
    low, high = np.minimum(a.min(axis=0), b.min(axis=0)), np.maximum(a.max(axis=0), b.max(axis=0))
    middle, reach = (low + high) / 2, (high - low) / 2
    reach = np.where(reach > 0, reach, 1.0)

    def scaled(y: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.clip((y - middle) / reach, -1e6, 1e6)

    return scaled


class _Normal:
    """A normal law fitted to rows of size about 1; standard deviations are kept above 10⁻⁶, so that outputs
    without noise are told apart and no crash."""

    def __init__(self, rows: np.ndarray) -> None:
        n, k = rows.shape
        self.mean = rows.mean(axis=0)
        self.variance = rows.var(axis=0) + 1e-12
        self.factor = None
        if 1 < k <= MOST_CORRELATED and n >= RUNS_PER_COORDINATE * k:
            self.scale = np.sqrt(self.variance)
            whitened = (rows - self.mean) / self.scale
            correlation = whitened.T @ whitened / n + (k / n + 1e-9) * np.eye(k)  # shrunk: never singular
            self.factor = cho_factor(correlation, lower=True)

    def solve(self, x: np.ndarray) -> np.ndarray:
        """Covariance⁻¹ x, for x (k,) or (k, N)."""
        if self.factor is None:
            return (x.T / self.variance).T
        return (cho_solve(self.factor, (x.T / self.scale).T).T / self.scale).T

    def distance(self, y: np.ndarray) -> np.ndarray:
        """Half the squared Mahalanobis distance of the rows of ``y``."""
        away = y - self.mean
        spread = away**2 / self.variance if self.factor is None else away * self.solve(away.T).T
        return 0.5 * np.sum(spread, axis=1)


def _outside(rows: np.ndarray) -> Score:
    """How far a row lies outside the range of ``rows`` in its worst coordinate (negative: inside)."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    width = np.where(high > low, high - low, 1.0)

    def score(y: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.max(np.maximum(y - high, low - y) / width, axis=1)

    return score


def _patterns(a: np.ndarray, b: np.ndarray) -> Score | None:
    """The log ratio of counts of whole rows, where rows repeat; ``None`` where they do not."""
    pooled = np.ascontiguousarray(np.concatenate([a, b]) + 0.0)  # + 0.0: minus zero is zero
    known, inverse = np.unique(_as_words(pooled), return_inverse=True)
    if len(known) > min(MOST_PATTERNS, len(pooled) // 4):
        return None
    counts = [np.bincount(part, minlength=len(known)) for part in (inverse[: len(a)], inverse[len(a) :])]
    ratio = _log_ratio(counts[0], counts[1], len(a), len(b))

    def score(y: np.ndarray) -> np.ndarray:
        words = _as_words(np.ascontiguousarray(y + 0.0))
        at = np.minimum(np.searchsorted(known, words), len(known) - 1)
        return np.where(known[at] == words, ratio[at], 0.0)

    return score


def _as_words(rows: np.ndarray) -> np.ndarray:
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _histograms(a: np.ndarray, b: np.ndarray) -> Score:
    """The sum over coordinates of the log ratio of their histograms."""
    tables = [_Histogram(a[:, j], b[:, j]) for j in range(a.shape[1])]

    def score(y: np.ndarray) -> np.ndarray:
        total = np.zeros(len(y))
        for j, table in enumerate(tables):
            total += table(y[:, j])
        return total

    return score


class _Histogram:
    """Log ratio of two empirical laws on the line: a cell for each repeated value, quantile bins between."""

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        pooled = np.concatenate([a, b])
        values, counts = np.unique(pooled, return_counts=True)
        self.atoms = values[counts >= max(4, len(pooled) // 256)]
        bins = int(np.clip(len(pooled) ** (1 / 3), 4, 64))
        rest = pooled[~self._atomic(pooled)[0]]
        ends = np.asarray([a.min(), a.max(), b.min(), b.max()])  # beyond them lies what one side never gave
        inner = np.quantile(rest, np.linspace(0, 1, bins + 1)[1:-1]) if len(rest) else np.empty(0)
        self.edges = np.unique(np.concatenate([ends, inner]))
        cells = len(self.atoms) + len(self.edges) + 1
        counts_a, counts_b = (np.bincount(self._cell(side), minlength=cells) for side in (a, b))
        self.ratio = _log_ratio(counts_a, counts_b, len(a), len(b))

    def __call__(self, y: np.ndarray) -> np.ndarray:
        return self.ratio[self._cell(y)]

    def _atomic(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not len(self.atoms):
            return np.zeros(len(y), dtype=bool), np.zeros(len(y), dtype=np.int64)
        at = np.minimum(np.searchsorted(self.atoms, y), len(self.atoms) - 1)
        return self.atoms[at] == y, at

    def _cell(self, y: np.ndarray) -> np.ndarray:
        atomic, at = self._atomic(y)
        return np.where(atomic, at, len(self.atoms) + np.searchsorted(self.edges, y, side="right"))


def _log_ratio(first: np.ndarray, second: np.ndarray, n: int, m: int) -> np.ndarray:
    """Log ratio of rates, each count half a run larger, drawn to zero where chance explains it: over many
    coordinates the noise of empty differences would drown the signal of a few."""
    first, second = first + 0.5, second + 0.5
    ratio = np.log(first / (n + 1)) - np.log(second / (m + 1))
    noise = 1 / first + 1 / second
    return ratio * np.maximum(0.0, 1 - noise / np.maximum(ratio**2, noise))
