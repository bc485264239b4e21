import math

import numpy as np
import pytest

from touchstone.evidence.extrapolation import richardson

STEPS = [0.4 / 2**k for k in range(6)]


def test_even_polynomials_in_the_step_are_removed_exactly():
    # three columns beyond the first remove h^2, h^4, h^6
    differences = np.array([[5 + 3 * h**2 - 7 * h**4 + 2 * h**6] for h in STEPS])
    value, error = richardson(differences, STEPS, np.full((6, 1), 1e-16))
    assert abs(value[0] - 5) <= 1e-14
    assert abs(value[0] - 5) <= 10 * error[0] <= 1e-13


def test_rounding_makes_long_steps_the_better_ones():
    rng = np.random.default_rng(0)
    noise = np.array([[1e-6 / h] for h in STEPS])
    differences = np.array([[math.sin(h) / h] for h in STEPS]) + noise * rng.uniform(-1, 1, (6, 1))
    value, error = richardson(differences, STEPS, noise)
    assert abs(value[0] - 1) <= error[0] <= noise[-1, 0]


def test_outputs_are_judged_one_by_one_and_bad_levels_passed_over():
    good = np.array([1 + h**2 for h in STEPS])
    bad = np.array([np.nan, np.inf, *good[2:]])
    never = np.full(6, np.nan)
    value, error = richardson(np.stack([good, bad, never], axis=1), STEPS, np.zeros((6, 3)))
    np.testing.assert_allclose(value[:2], 1, atol=1e-13)
    assert np.isnan(value[2])
    assert np.isinf(error[2])


def test_agreement_at_long_steps_is_not_believed_against_the_short_ones():
    differences = np.array([[0.0], [0.0], [0.0], [2.9], [3.0], [3.0]])
    value, error = richardson(differences, STEPS, np.full((6, 1), 1e-12))
    assert abs(value[0] - 3) <= 0.1
    assert error[0] < 0.1


@pytest.mark.parametrize("steps", [[1.0], [0.5, 1.0], [1.0, 0.0], [1.0, 1.0]])
def test_bad_steps(steps):
    with pytest.raises(ValueError, match="steps"):
        richardson(np.zeros((len(steps), 1)), steps, np.zeros((len(steps), 1)))


def test_steps_and_differences_of_different_lengths():
    with pytest.raises(ValueError, match="one for each"):
        richardson(np.zeros((3, 1)), [1.0, 0.5], np.zeros((3, 1)))
