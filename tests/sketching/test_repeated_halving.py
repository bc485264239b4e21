"""Scores from nested halves: against exact ones, level by level, and against the recursion written down."""

import itertools
import math

import numpy as np
import pytest

from touchstone.arrays import to_host
from touchstone.instances.matrices import matrix_with_spectrum, random_rows
from touchstone.linalg.leverage import leverage_scores
from touchstone.sketching import repeated_halving as repeated_halving_module
from touchstone.sketching.repeated_halving import ROWS_PER_COLUMN, repeated_halving


def oversample(d):
    return 4 * math.log(d) + 4


@pytest.mark.parametrize("law", ["gaussian", "lognormal", "planted_row"])
@pytest.mark.parametrize("d", [2, 5, 8])
def test_scores_are_overestimates_that_add_up_to_a_few_d(law, d):
    A = random_rows(6000, d, law, np.random.default_rng(0))
    scores, levels = repeated_halving(A, oversample(d), np.random.default_rng(1))
    for level in levels:
        exact = leverage_scores(A[level.rows])
        assert np.all(level.scores >= 0.8 * exact)
        assert np.all(level.scores <= 1)
        assert np.sum(level.scores) <= 5 * d
    np.testing.assert_array_equal(levels[-1].scores, scores)
    np.testing.assert_array_equal(levels[-1].rows, np.arange(6000))


def test_halves_are_nested_and_start_where_they_should():
    d = 3
    A = random_rows(5000, d, "gaussian", np.random.default_rng(0))
    _, levels = repeated_halving(A, oversample(d), np.random.default_rng(1))
    sizes = [len(level.rows) for level in levels]
    # 120 <= |I_0| < 240, and I_0 itself needs no scores
    assert sizes == [312, 625, 1250, 2500, 5000]
    assert 5000 >> 5 >= ROWS_PER_COLUMN * d > 5000 >> 6
    for small, large in itertools.pairwise(levels[:-1]):
        np.testing.assert_array_equal(large.rows[: len(small.rows)], small.rows)
    assert len(set(levels[-2].rows)) == 2500
    assert [level.sampled > d for level in levels] == [True] * 4 + [False]
    assert levels[-1].sampled == 0


def test_few_rows_get_exact_scores():
    A = random_rows(30, 2, "student", np.random.default_rng(0))
    scores, levels = repeated_halving(A, 5.0, np.random.default_rng(1))
    np.testing.assert_allclose(scores, leverage_scores(A), rtol=1e-12)
    assert len(levels) == 1


def test_a_row_too_few_is_not_halved():
    A = np.random.default_rng(0).standard_normal((160, 2))
    for n, levels in ((159, 1), (160, 2)):  # once to 79 rows, twice to 40
        _, found = repeated_halving(A[:n], 5.0, np.random.default_rng(1), least=40)
        assert len(found) == levels


def test_one_halving_scores_by_the_whole_half():
    A = random_rows(64, 2, "gaussian", np.random.default_rng(0))
    scores, levels = repeated_halving(A, 5.0, np.random.default_rng(1), least=32)
    half = A[np.random.default_rng(1).permutation(64)[:32]]
    want = np.minimum(1, np.sum(A @ np.linalg.inv(half.T @ half) * A, axis=1))
    np.testing.assert_allclose(scores, want, rtol=1e-10)
    assert len(levels) == 1


def test_sampled_rows_are_as_many_as_their_probabilities_say():
    d = 4
    A = random_rows(4000, d, "gaussian", np.random.default_rng(0))
    gaps = []
    for seed in range(30):
        _, levels = repeated_halving(A, 6.0, np.random.default_rng(seed))
        for level in levels[:-1]:
            expected = np.sum(np.minimum(1, 6.0 * level.scores))
            gaps.append((level.sampled - expected) / math.sqrt(expected))
    # standardised counts: mean 0, variance below 1
    assert abs(np.mean(gaps)) <= 4 / math.sqrt(len(gaps))
    assert np.std(gaps) <= 1.3


def test_a_condition_number_of_a_million_changes_nothing():
    sigma = np.logspace(0, -6, 4)
    A = matrix_with_spectrum(2000, 4, sigma, np.random.default_rng(0))
    B = matrix_with_spectrum(2000, 4, np.ones(4), np.random.default_rng(0))
    a, b = (repeated_halving(x, 9.0, np.random.default_rng(1))[0] for x in (A, B))
    np.testing.assert_allclose(a, b, rtol=1e-6)


def test_rows_outside_the_sample_get_one():
    A = np.concatenate(
        [random_rows(500, 2, "gaussian", np.random.default_rng(0)), np.zeros((500, 2))], axis=1
    )[:, :3]
    A[:, 2] = 0
    A[7] = [0, 0, 1e-3]
    scores, _ = repeated_halving(A, 8.0, np.random.default_rng(3))
    assert scores[7] == pytest.approx(1, abs=1e-12)
    assert np.sum(scores) < 15


@pytest.mark.parametrize(("share", "alien"), [(0.9e-9, False), (1.2e-9, True)])
def test_a_row_is_outside_from_a_billionth_on(share, alien):
    A, sample = np.array([[1.0, share]]), np.array([[10.0, 0.0]])
    assert repeated_halving_module._scores(A, sample, 1e-10)[0] == pytest.approx(1 if alien else 0.01)


def test_an_empty_sample_knows_no_row():
    A = random_rows(400, 2, "gaussian", np.random.default_rng(0))
    A[3] = 0
    scores, levels = repeated_halving(A, 1e-9, np.random.default_rng(0))
    assert levels[0].sampled == 0
    np.testing.assert_array_equal(scores, np.arange(400) != 3)


def test_zero_rows_get_zero():
    A = random_rows(300, 2, "gaussian", np.random.default_rng(0))
    A[5] = 0
    assert repeated_halving(A, 5.0, np.random.default_rng(0))[0][5] == 0


def test_on_every_library(xp):
    if xp.__name__.startswith("touchstone"):
        pytest.skip("samples depend on data, and their number is a Python integer")
    A = random_rows(400, 3, "student", np.random.default_rng(0))
    want, _ = repeated_halving(A, 6.0, np.random.default_rng(1))
    got, levels = repeated_halving(xp.asarray(A), 6.0, np.random.default_rng(1))
    np.testing.assert_allclose(to_host(got), want, rtol=1e-9)
    assert all(isinstance(level.sampled, int) for level in levels)


@pytest.mark.parametrize(
    ("A", "kwargs", "message"),
    [
        (np.ones(4), {}, "A of shape"),
        (np.ones((0, 3)), {}, "A of shape"),
        (np.ones((9, 0)), {}, "A of shape"),
        (np.ones((9, 2)), {"oversample": 0.0}, "oversample=0"),
        (np.ones((9, 2)), {"oversample": math.inf}, "oversample=inf"),
        (np.ones((9, 2)), {"least": 0}, "least=0"),
    ],
)
def test_refusals(A, kwargs, message):
    with pytest.raises(ValueError, match=message):
        repeated_halving(A, **({"oversample": 3.0, "rng": np.random.default_rng(0)} | kwargs))


def test_halving_may_go_down_to_a_single_row():
    scores, levels = repeated_halving(np.ones((8, 1)), 3.0, np.random.default_rng(0), least=1)
    assert [len(level.rows) for level in levels] == [2, 4, 8]
    np.testing.assert_allclose(scores, np.clip(scores, 1 / 8, 1))


def test_integers_are_refused():
    with pytest.raises(TypeError, match="A of dtype"):
        repeated_halving(np.ones((9, 2), dtype=int), 3.0, np.random.default_rng(0))
