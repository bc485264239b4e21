"""Exact sensitivities against a dual program of a convex solver."""

import cvxpy
import numpy as np
import pytest

from touchstone.arrays import stream
from touchstone.instances.matrices import random_rows
from touchstone.linalg.sensitivities import lp_sensitivities


def share(A, i, y, p):
    powers = np.abs(A @ y) ** p
    return powers[i] / np.sum(powers)


@pytest.mark.parametrize("law", ["gaussian", "heavy_rows", "two_clusters"])
def test_against_the_dual_program(law):
    """max <a_i, y> over |Ay|_1 <= 1 is the least |z|_∞ with A'z = a_i."""
    A = random_rows(15, 3, law, stream(1, law))
    values, queries = lp_sensitivities(A)
    for i in range(15):
        z = cvxpy.Variable(15)
        least = cvxpy.Problem(cvxpy.Minimize(cvxpy.norm_inf(z)), [A.T @ z == A[i]]).solve(solver="CLARABEL")
        assert values[i] == pytest.approx(least, rel=1e-6)  # the solver's accuracy
        assert share(A, i, queries[i], 1) == pytest.approx(values[i], rel=1e-9)
        assert np.sum(np.abs(A @ queries[i])) == pytest.approx(1, rel=1e-12)


def test_known_sensitivities():
    A = np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 0.0]])
    values, queries = lp_sensitivities(A)
    np.testing.assert_allclose(values, [2 / 3, 1 / 3, 1, 0], atol=1e-12)
    assert queries[3].tolist() == [0, 0]
    some, _ = lp_sensitivities(A, [2, 0])
    np.testing.assert_allclose(some, [1, 2 / 3], atol=1e-12)
    assert lp_sensitivities(np.zeros((2, 3)))[0].tolist() == [0, 0]
    np.testing.assert_allclose(lp_sensitivities(np.array([[5.0]]))[0], [1])


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_scale_does_not_matter(scale):
    A = stream(2).standard_normal((8, 2))
    values, queries = lp_sensitivities(A * scale)
    np.testing.assert_allclose(values, lp_sensitivities(A)[0], rtol=1e-12)
    np.testing.assert_allclose(queries * scale, lp_sensitivities(A)[1], rtol=1e-9)


def test_the_largest_size_counts_and_not_the_largest_number():
    A = np.array([[-1e200, 0.0], [-2e200, 0.0], [0.0, -1e200]])
    np.testing.assert_allclose(lp_sensitivities(A)[0], [1 / 3, 2 / 3, 1], rtol=1e-9)


def test_without_full_rank():
    rng = stream(3)
    A = rng.standard_normal((10, 2))
    values, queries = lp_sensitivities(A @ rng.standard_normal((2, 4)))
    np.testing.assert_allclose(values, lp_sensitivities(A)[0], rtol=1e-8)
    assert queries.shape == (10, 4)


def test_bad_inputs_of_the_program():
    A = np.ones((3, 2))
    for arguments in ({"p": 2}, {"method": "irls"}):
        with pytest.raises(ValueError, match="expected p=1 and method='linprog'"):
            lp_sensitivities(A, **arguments)
    for rows in ([3], [-1], [0.5], [[0]]):
        with pytest.raises(ValueError, match="rows="):
            lp_sensitivities(A, rows)
    for shape in [(3,), (0, 2), (2, 0)]:
        with pytest.raises(ValueError, match="A of shape"):
            lp_sensitivities(np.ones(shape))
    with pytest.raises(ValueError, match="finite"):
        lp_sensitivities(np.array([[np.inf, 1.0]]))


def test_rows_of_any_library(xp):
    A = stream(14).standard_normal((10, 3))
    values, queries = lp_sensitivities(xp.asarray(A), [0])
    assert isinstance(values, np.ndarray)
    np.testing.assert_allclose(values, lp_sensitivities(A)[0][:1], rtol=1e-12)
    assert queries.shape == (1, 3)
