"""A mistake planted in the mathematics turns a verdict of the notebook."""

import math
from pathlib import Path

import numpy as np
import pytest

from touchstone.linalg import least_squares, leverage
from touchstone.quantum import grover
from touchstone.sketching import repeated_halving, sampling

NOTEBOOK = (
    Path(__file__).resolve().parents[2] / "notebooks" / "linear-algebra" / "quantum-linear-regression.ipynb"
)


def test_sound_mathematics_is_supported(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert {id for id, word in found.items() if word == "out_of_reach"} == {
        "quantum-time",
        "classical-lower-bound",
    }
    assert set(found.values()) == {"supported", "out_of_reach"}


def one_iteration_more(monkeypatch):
    right = grover.success_probability
    monkeypatch.setattr(grover, "success_probability", lambda j, t, n: right(j + 1, t, n))


def angle_not_doubled(monkeypatch):
    monkeypatch.setattr(
        grover,
        "success_probability",
        lambda j, t, n: math.sin((j + 1) * math.asin(math.sqrt(t / n))) ** 2,
    )


def gives_up_too_early(monkeypatch):
    right = grover.find_all_queries
    monkeypatch.setattr(
        grover,
        "find_all_queries",
        lambda n, k, rng, runs, *, budget=9.0: right(n, k, rng, runs, budget=budget / 3),
    )


def classical_search(monkeypatch):
    """Rows looked at one after the other, where amplitudes should have been amplified."""
    right = grover.find_all_queries

    def wrong(n, k, rng, runs, *, budget=9.0):
        found = right(n, k, rng, runs, budget=budget)
        return grover.FoundAll(np.full(runs, n), found.certification, found.found)

    monkeypatch.setattr(grover, "find_all_queries", wrong)


def rows_searched_one_by_one(monkeypatch):
    """Every search is for one row, although others are marked as well."""
    right = grover.find_all_queries

    def wrong(n, k, rng, runs, *, budget=9.0):
        found = right(n, k, rng, runs, budget=budget)
        return grover.FoundAll(np.full(runs, k * math.sqrt(n)), found.certification, found.found)

    monkeypatch.setattr(grover, "find_all_queries", wrong)


def root_of_the_weights_forgotten(monkeypatch):
    """The weights 1/p of a sample are taken for its scaling, as if rows were divided by p."""
    right = sampling.poisson_sample

    def wrong(p, rng):
        index, weights = right(p, rng)
        return index, weights**2

    monkeypatch.setattr(repeated_halving, "poisson_sample", wrong)


def sample_cut_short(monkeypatch):
    """The rows beyond what a buffer holds are lost."""
    right = sampling.poisson_sample

    def wrong(p, rng):
        index, weights = right(p, rng)
        return index[:100], weights[:100]

    monkeypatch.setattr(sampling, "poisson_sample", wrong)


def weights_with_noise(monkeypatch):
    right, noise = sampling.poisson_sample, np.random.default_rng(0)

    def wrong(p, rng):
        index, weights = right(p, rng)
        return index, weights * np.exp(1.5 * noise.standard_normal(len(weights)))

    monkeypatch.setattr(sampling, "poisson_sample", wrong)


def scores_of_squared_length(monkeypatch):
    """Rows taken by their lengths: the planted row is as good as lost among the others."""

    def wrong(A, weights=None, *, ridge=0.0, **_):
        scores = np.sum(A * A, axis=1)
        return scores / np.sum(scores) * A.shape[1]

    monkeypatch.setattr(leverage, "leverage_scores", wrong)


def oversampled_a_hundredfold(monkeypatch):
    right = repeated_halving.repeated_halving
    monkeypatch.setattr(repeated_halving, "repeated_halving", lambda A, c, rng: right(A, 100 * c, rng))


def search_without_the_square_root(monkeypatch):
    right = grover.search_queries

    def wrong(n, marked, rng, runs, **budget):
        calls, found = right(n, marked, rng, runs, **budget)
        return (calls * n**0.3).astype(int), found

    monkeypatch.setattr(grover, "search_queries", wrong)


def condition_number_enters(monkeypatch):
    """As many rows as the spread of lengths among the columns demands."""
    right = repeated_halving.repeated_halving

    def wrong(A, c, rng):
        values = np.linalg.svd(A, compute_uv=False)
        return right(A, c * (1 + math.log10(values[0] / values[-1])), rng)

    monkeypatch.setattr(repeated_halving, "repeated_halving", wrong)


def ridge_left_out(monkeypatch):
    right = least_squares.least_squares

    def wrong(A, b, weights=None, *, ridge=0.0):
        return right(A, b, weights, ridge=0.0 if weights is not None else ridge)

    monkeypatch.setattr(least_squares, "least_squares", wrong)


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (one_iteration_more, "law"),
        (angle_not_doubled, "law"),
        (gives_up_too_early, "list-complete"),
        (classical_search, "square-roots"),
        (rows_searched_one_by_one, "square-roots"),
        (classical_search, "final-search"),
        (rows_searched_one_by_one, "whole-pipeline"),
        (oversampled_a_hundredfold, "law-against-matrices"),
        (scores_of_squared_length, "relative-error"),
        (search_without_the_square_root, "quadratic-gain"),
        (condition_number_enters, "no-condition-number"),
        (root_of_the_weights_forgotten, "overestimates"),
        (ridge_left_out, "many-sides-and-ridge"),
        (sample_cut_short, "rate-in-epsilon"),
        (weights_with_noise, "fewer-rows-suffice"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
