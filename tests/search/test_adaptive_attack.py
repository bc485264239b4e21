"""Adaptive attacks on structures whose worst query is known."""

import math

import numpy as np
import pytest

from touchstone import arrays
from touchstone.search.adaptive_attack import adaptive_attack, coordinate, finite_difference, random_search


def clip(q):
    return np.clip(q, 0, 1)


def bowl(q):
    """Largest, 3, at the corner (1, 0, 1, 0, ...), one maximum along every line."""
    signs = np.where(np.arange(q.shape[1]) % 2 == 0, 1.0, -1.0)
    corner = (signs + 1) / 2
    return 3 - np.sum((q - corner) ** 2, axis=1)


def zero(q):
    return np.zeros(q.shape[0])


MOVES = {
    "coordinate": lambda: coordinate(0, 1),
    "random search": lambda: random_search(0.2, project=clip),
    "finite difference": lambda: finite_difference(0.02, 0.1, project=clip),
}


@pytest.mark.parametrize("move", MOVES)
def test_every_move_finds_the_worst_query(move):
    start = np.full((5, 4), 0.5)
    found = adaptive_attack(bowl, zero, start, 400, MOVES[move](), np.random.default_rng(0))
    assert found.query.shape == (5, 4)
    assert found.errors.shape == (400, 5)
    assert np.all(found.error > 2.9)
    np.testing.assert_array_equal(found.error, np.max(np.abs(found.errors), axis=0))
    np.testing.assert_allclose(np.abs(bowl(found.query)), found.error)
    # better than as many queries that were fixed beforehand
    fixed = np.max(bowl(np.random.default_rng(1).uniform(0, 1, (400, 4))))
    assert np.all(found.error > fixed)


@pytest.mark.parametrize("move", MOVES)
def test_asks_exactly_as_often_as_allowed_and_stays_in_the_domain(move):
    asked = []

    def answer(q):
        asked.append(q.copy())
        return bowl(q)

    adaptive_attack(answer, zero, np.full((2, 3), 0.5), 57, MOVES[move](), np.random.default_rng(0))
    assert len(asked) == 57
    assert np.all((np.stack(asked) >= 0) & (np.stack(asked) <= 1))
    np.testing.assert_array_equal(asked[0], np.full((2, 3), 0.5))


def test_error_is_a_distance_from_the_truth_over_all_columns():
    def answer(q):
        return np.stack([q[:, 0], -4 * q[:, 0]], axis=1)

    def truth(q):
        return np.stack([q[:, 0], 0 * q[:, 0]], axis=1)

    found = adaptive_attack(
        answer, truth, np.full((1, 1), 0.5), 1, coordinate(0, 1), np.random.default_rng(0)
    )
    assert found.error == pytest.approx(2.0)


def test_each_attacker_attacks_its_own_structure():
    corners = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    found = adaptive_attack(
        lambda q: 2 - np.sum(np.abs(q - corners), axis=1),
        zero,
        np.full((3, 2), 0.5),
        100,
        coordinate(0, 1),
        np.random.default_rng(0),
    )
    np.testing.assert_array_equal(found.query, corners)


def test_a_structure_that_breaks_down_is_beaten():
    def answer(q):
        return np.where(q[:, 0] > 0.7, math.nan, q[:, 0])

    for move in MOVES.values():
        found = adaptive_attack(answer, zero, np.full((2, 2), 0.5), 60, move(), np.random.default_rng(0))
        assert np.all(np.isinf(found.error))
        assert np.all(found.query[:, 0] > 0.7)


def test_coordinate_moves_change_one_coordinate_to_an_end_or_between():
    low, high = np.array([-1.0, 2.0, 0.0]), np.array([1.0, 5.0, 0.5])
    asked = []

    def answer(q):
        asked.append(q.copy())
        return np.zeros(len(q))  # no query is ever better: each starts from the first

    start = np.array([[0.1, 3.3, 0.2]] * 40)
    adaptive_attack(answer, zero, start, 30, coordinate(low, high), np.random.default_rng(0))
    later = np.stack(asked[1:])
    changed = later != start
    assert np.all(np.sum(changed, axis=2) == 1)
    for j in range(3):
        values = later[..., j][changed[..., j]]
        assert np.all((values >= low[j]) & (values <= high[j]))
        shares = np.mean(values == low[j]), np.mean(values == high[j])
        assert shares == pytest.approx((1 / 3, 1 / 3), abs=0.1)
        assert np.mean(changed[..., j]) == pytest.approx(1 / 3, abs=0.1)


def test_restarts_begin_anew_and_forget_nothing():
    asked = []

    def answer(q):
        asked.append(q.copy())
        # a hump near 0.9, and a trap at 0.1
        return np.where(np.abs(q[:, 0] - 0.9) < 0.05, 2.0, np.where(np.abs(q[:, 0] - 0.1) < 0.05, 3.0, 0.0))

    found = adaptive_attack(
        answer, zero, np.array([[0.1, 0.5]]), 41, coordinate(0, 1, restart=10), np.random.default_rng(0)
    )
    assert found.error == 3.0
    assert found.query[0, 0] == 0.1
    both = [at for at in range(1, 41) if np.all(asked[at] != asked[at - 1]) and at % 10 == 0]
    assert both == [10, 20, 30, 40]
    # what follows a restart starts from there, although it is worse than the best so far
    assert np.sum(asked[11] != asked[10]) == 1


def test_random_search_moves_its_share_of_the_coordinates():
    asked = []

    def answer(q):
        asked.append(q.copy())
        return np.zeros(len(q))

    start = np.zeros((50, 20))
    adaptive_attack(answer, zero, start, 9, random_search(0.3, share=0.25), np.random.default_rng(0))
    moved = np.stack(asked[1:])
    assert np.mean(moved != 0) == pytest.approx(0.25, abs=0.02)
    assert np.std(moved[moved != 0]) == pytest.approx(0.3, abs=0.02)
    np.testing.assert_array_equal(
        np.stack(asked[1:]) != 0, np.abs(np.stack(asked[1:])) > 0
    )  # unprojected: no clipping to [0, 1]
    assert np.min(moved) < 0


def test_finite_differences_walk_up_the_slope():
    slope = np.array([3.0, 4.0])
    asked = []

    def answer(q):
        asked.append(q.copy())
        return 10 + q @ slope

    adaptive_attack(answer, zero, np.zeros((1, 2)), 7, finite_difference(0.5, 2.0), np.random.default_rng(0))
    steps = np.concatenate(asked)
    # point, two probes, a step of length 2 along (3, 4) / 5; and again
    wanted = [[0, 0], [0.5, 0], [0, 0.5], [1.2, 1.6], [1.7, 1.6], [1.2, 2.1], [2.4, 3.2]]
    np.testing.assert_allclose(steps, wanted, atol=1e-12)


def test_finite_differences_with_few_random_probes():
    asked = []

    def answer(q):
        asked.append(q.copy())
        return 10 + q[:, 0]

    found = adaptive_attack(
        answer, zero, np.zeros((3, 6)), 61, finite_difference(0.1, 0.5, probes=2), np.random.default_rng(0)
    )
    assert np.linalg.norm(asked[1], axis=1) == pytest.approx([0.1] * 3)
    assert np.linalg.norm(asked[2], axis=1) == pytest.approx([0.1] * 3)
    assert np.linalg.norm(asked[3], axis=1) == pytest.approx([0.5] * 3)
    assert np.all(found.error > 11)
    assert len({tuple(q[0]) for q in asked}) == 61


def test_flat_error_does_not_move_the_point():
    asked = []

    def answer(q):
        asked.append(q.copy())
        return np.ones(len(q))

    adaptive_attack(answer, zero, np.zeros((1, 1)), 3, finite_difference(0.1, 0.5), np.random.default_rng(0))
    np.testing.assert_array_equal(asked[2], 0)


def test_the_same_generator_gives_the_same_attack():
    for move in MOVES.values():
        runs = [
            adaptive_attack(bowl, zero, np.full((2, 3), 0.5), 30, move(), np.random.default_rng(7)).errors
            for _ in range(2)
        ]
        np.testing.assert_array_equal(*runs)


@pytest.mark.parametrize("move", MOVES)
def test_every_library(xp, move):
    def here(q):
        return xp.sum(q, axis=1)

    def nothing(q):
        return xp.zeros_like(q[:, 0])

    moves = {
        "coordinate": coordinate(0, 1, restart=20),
        "random search": random_search(0.2, project=lambda q: xp.clip(q, 0.0, 1.0)),
        "finite difference": finite_difference(0.02, 0.1, project=lambda q: xp.clip(q, 0.0, 1.0)),
    }
    start = xp.full((3, 2), 0.5)
    found = adaptive_attack(here, nothing, start, 90, moves[move], np.random.default_rng(0))
    assert np.all(arrays.to_host(found.error) > 1.8)


def test_bad_arguments():
    rng, move = np.random.default_rng(0), coordinate(0, 1)
    for start in (np.zeros(3), np.zeros((0, 3)), np.zeros((3, 0))):
        with pytest.raises(ValueError, match="start of shape"):
            adaptive_attack(bowl, zero, start, 5, move, rng)
    for queries in (0, True, 2.5):
        with pytest.raises(ValueError, match="queries="):
            adaptive_attack(bowl, zero, np.zeros((1, 2)), queries, move, rng)
    with pytest.raises(ValueError, match="rng="):
        adaptive_attack(bowl, zero, np.zeros((1, 2)), 5, move, 0)
    for wrong in (lambda q: np.zeros(3), lambda q: np.zeros((2, 1, 1))):
        with pytest.raises(ValueError, match="answers of shape"):
            adaptive_attack(wrong, lambda q: 0.0, np.zeros((2, 2)), 5, move, rng)
    for low, high in ((1, 0), (0, math.inf), (math.nan, 1), ([[0]], 1), (0, [[1]])):
        with pytest.raises(ValueError, match="low="):
            coordinate(low, high)
    for restart in (0, True, 1.5):
        with pytest.raises(ValueError, match="restart="):
            coordinate(0, 1, restart=restart)
    for step in (0, math.inf, "1"):
        with pytest.raises(ValueError, match="step="):
            random_search(step)
        with pytest.raises(ValueError, match="step="):
            finite_difference(0.1, step)
        with pytest.raises(ValueError, match="probe="):
            finite_difference(step, 0.1)
    for share in (0, 1.1):
        with pytest.raises(ValueError, match="share="):
            random_search(0.1, share=share)
    for probes in (0, True, 2.0):
        with pytest.raises(ValueError, match="probes="):
            finite_difference(0.1, 0.1, probes=probes)


def test_the_least_that_is_allowed():
    """One probe a step, and a box of one point."""
    found = adaptive_attack(
        lambda q: q[:, 0], lambda q: 0.0, np.zeros((1, 1)), 3, finite_difference(0.1, 1, probes=1),
        np.random.default_rng(0),
    )  # fmt: skip
    np.testing.assert_allclose(found.query, [[1.0]])
    found = adaptive_attack(
        lambda q: np.sum(q, axis=1),
        lambda q: 0.0,
        np.zeros((1, 2)),
        20,
        coordinate(3, 3),
        np.random.default_rng(0),
    )
    np.testing.assert_array_equal(found.query, [[3.0, 3.0]])
