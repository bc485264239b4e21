"""The fast solver: CVXPY as referee, the certificate, and everything that a user may hand it."""

import math

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.counting.shapes import shape_only
from touchstone.geometry import john_solver
from touchstone.geometry.john_ellipsoid import john_violation, john_weights
from touchstone.geometry.john_solver import _contact_threshold, _solve, john_ellipsoid
from touchstone.instances.matrices import matrix_with_spectrum, random_rows


def rows(n, d, law="gaussian"):
    return random_rows(n, d, law, stream(0, "solver", n, d, law))


def log_volume(A, w):
    """ln of the volume of E(w) over that of the unit ball."""
    return -0.5 * np.linalg.slogdet(A.T @ (w[:, None] * A))[1]


@pytest.mark.parametrize(
    ("n", "d", "law"), [(30, 2, "gaussian"), (60, 4, "student"), (200, 3, "two_clusters")]
)
def test_the_volume_is_that_of_the_largest_ellipsoid(n, d, law):
    A = rows(n, d, law)
    B = cvxpy.Variable((d, d), PSD=True)
    cvxpy.Problem(cvxpy.Maximize(cvxpy.log_det(B)), [cvxpy.norm(B @ a, 2) <= 1 for a in A]).solve(
        solver="CLARABEL"
    )
    best = np.linalg.slogdet(B.value)[1]
    for xi in (0.1, 1e-4):
        w, _ = john_ellipsoid(A, xi)
        # E(w) is at least as large as any ellipsoid in P, and no larger than (1 + ξ)^(d/2) of one in P
        assert -1e-6 <= log_volume(A, w) - best <= d / 2 * math.log1p(xi) + 1e-6


@pytest.mark.parametrize("law", ["gaussian", "student", "lognormal", "two_clusters", "heavy_rows"])
@pytest.mark.parametrize(("n", "d", "xi"), [(300, 1, 0.5), (400, 6, 0.01), (2000, 10, 0.01), (400, 6, 1e-5)])
def test_the_certificate_is_true(law, n, d, xi):
    A = rows(n, d, law)
    w, trace = john_ellipsoid(A, xi)
    assert np.all(w >= 0)
    assert np.sum(w) == pytest.approx(d, rel=1e-9)
    assert john_violation(A, w) == pytest.approx(trace.violation, abs=1e-9)
    assert trace.violation <= xi
    assert trace.left == np.count_nonzero(w) or trace.left >= np.count_nonzero(w) > 0
    assert trace.passes >= 2
    assert trace.steps < 5000


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 40), st.integers(0, 10**6), st.sampled_from([0.3, 0.01, 1e-3]))
def test_any_shape(d, more, seed, xi):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((d + more, d)) * rng.choice([1e-3, 1.0, 10.0], (d + more, 1))
    w, trace = john_ellipsoid(A, xi)
    assert trace.violation <= xi
    assert john_violation(A, w) <= xi * (1 + 1e-6) + 1e-9
    assert np.sum(w) == pytest.approx(d, rel=1e-9)


def test_as_many_rows_as_columns():
    w, trace = john_ellipsoid(rows(5, 5), 1e-8)
    np.testing.assert_allclose(w, np.ones(5), rtol=1e-7)
    assert trace.violation < 1e-8


def test_agrees_with_the_iteration_of_the_literature():
    A = rows(40, 3)
    w, _ = john_ellipsoid(A, 1e-7)
    np.testing.assert_allclose(w, john_weights(A, 1500).last, atol=3e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_affine_maps_change_only_the_last_digits(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((120, 4))
    T = matrix_with_spectrum(4, 4, [1.0, 1e2, 1e-2, 1e-4], rng)
    plain, mapped = john_ellipsoid(A, 0.01), john_ellipsoid(A @ T, 0.01)
    np.testing.assert_allclose(plain[0], mapped[0], atol=1e-6)
    assert plain[1].steps == mapped[1].steps


def test_columns_of_extreme_length():
    A = rows(100, 3)
    w, _ = john_ellipsoid(A, 1e-3)
    scaled, _ = john_ellipsoid(A * np.array([1e-90, 1.0, 1e120]), 1e-3)
    np.testing.assert_allclose(w, scaled, atol=1e-9)


def test_ill_conditioned_to_the_limit_of_double_precision():
    A = matrix_with_spectrum(200, 5, np.geomspace(1, 1e-8, 5), stream(0, "ill"))
    w, trace = john_ellipsoid(A, 0.01)
    # squared norms behind an orthonormal basis: the referee has to avoid the Gram matrix, too
    Q, _ = np.linalg.qr(A)
    assert trace.violation <= 0.01
    assert john_violation(Q, w) == pytest.approx(trace.violation, abs=1e-6)


def test_one_direction_hides_the_others():
    # the heaviest rows all lie in a plane: alone they would span too little
    rng = stream(0, "plane")
    A = np.concatenate([rng.standard_normal((400, 3)) * [1, 1, 0], 1e-2 * rng.standard_normal((4000, 3))])
    w, trace = john_ellipsoid(A, 0.01)
    assert trace.violation <= 0.01
    assert np.count_nonzero(w[400:]) > 0


def test_the_optimum_of_three_contacts():
    # as many contact points as dimensions: with the shift alone the weights would oscillate for ever
    A = np.concatenate([np.eye(3), 0.4 * rows(50, 3) / np.linalg.norm(rows(50, 3), axis=1)[:, None]])
    w, trace = john_ellipsoid(A, 1e-9)
    np.testing.assert_allclose(w, np.concatenate([np.ones(3), np.zeros(50)]), atol=1e-7)
    assert trace.steps < 200
    assert trace.screened == 30 - 3  # ten working rows for each dimension at the start


def test_screening_drops_no_contact_point():
    A = rows(60, 3)
    best, _ = john_ellipsoid(A, 1e-8)
    touching = np.flatnonzero(best > 1e-4)

    def screen(k, w, u):
        h = np.sum(np.linalg.solve(A.T @ (w[:, None] * A), A.T).T * A, axis=1)
        kept = h >= _contact_threshold(h.max() - 1, 3)
        assert kept[touching].all()
        return np.count_nonzero(kept)

    left = john_weights(A, 400, record=screen).trace
    assert left[0] >= 40
    assert left[-1] <= 12  # and it drops nearly all others


def test_the_threshold_is_the_one_of_the_source():
    # h_m(eps) / m = 1 + eps / 2 - sqrt(eps (4 + eps - 4 / m)) / 2
    assert _contact_threshold(0.0, 4) == 1
    assert _contact_threshold(-1e-17, 4) == 1
    assert _contact_threshold(0.5, 4) == pytest.approx(1.25 - math.sqrt(0.5 * 3.5) / 2, rel=1e-15)
    assert _contact_threshold(1e-6, 1) == pytest.approx(1 + 5e-7 - 5e-7, abs=1e-15)
    assert 0 < _contact_threshold(1e3, 2) < 0.51


def test_each_step_raises_the_determinant():
    Y, w = rows(50, 4), np.full(50, 4 / 50)
    numbers = np.arange(50)
    volumes = []
    for steps in range(1, 40):
        kept, weights, root, taken = _solve(Y, numbers, w, 1e-12, steps)
        assert taken == steps
        assert weights.sum() == pytest.approx(4, rel=1e-12)
        np.testing.assert_allclose(
            root @ root.T, np.linalg.inv(Y[kept].T @ (weights[:, None] * Y[kept])), rtol=1e-9
        )
        volumes.append(log_volume(Y[kept], weights))
    # where rows were dropped their small weights went to the others, which only helps in the end
    assert np.all(np.diff(volumes) < 1e-3)
    assert volumes[-1] < volumes[0]


def test_the_shift_nearly_halves_the_steps(monkeypatch):
    A = rows(400, 6)
    fast = john_ellipsoid(A, 1e-3)[1].steps
    monkeypatch.setattr(john_solver, "UNSHIFTED_EVERY", 1)
    slow = john_ellipsoid(A, 1e-3)[1].steps
    assert 1.6 < slow / fast < 2.2


def test_weights_stay_normal_numbers(monkeypatch):
    monkeypatch.setattr(john_solver, "SCREENED_EVERY", 10**9)
    Y = np.concatenate([np.eye(2), [[0.1, 0.1]]])
    _, w, _, taken = _solve(Y, np.arange(3), np.full(3, 2 / 3), 1e-15, 400)
    assert taken == 400 or w[2] < 1e-15
    _, w, _, _ = _solve(Y, np.arange(3), np.array([1.5, 0.5, 1e-99]), 1e-16, 3)
    assert w[2] == john_solver.LEAST_WEIGHT == 1e-100


def test_on_every_library(xp):
    A = rows(80, 3)
    w, trace = john_ellipsoid(xp.asarray(A), 0.01)
    host, same = john_ellipsoid(A, 0.01)
    np.testing.assert_allclose(to_host(w), host, atol=1e-9)
    assert trace.steps == same.steps
    single, coarse = john_ellipsoid(xp.asarray(A, dtype=xp.float32), 0.05)
    assert single.dtype == xp.float32
    assert coarse.violation <= 0.05


def test_threads_change_nothing():
    A = rows(30_000, 5)
    w, trace = john_ellipsoid(A, 0.01)
    threaded, same = john_ellipsoid(A, 0.01, workers=2)
    np.testing.assert_allclose(w, threaded, atol=1e-9)
    assert (trace.steps, trace.passes) == (same.steps, same.passes)


def test_too_few_steps():
    A = rows(400, 6)
    with pytest.raises(RuntimeError, match=r"xi=1e-06 was not reached in steps=7: the violation is 0\.\d+"):
        john_ellipsoid(A, 1e-6, steps=7)


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (np.ones(4), r"A of shape \(4,\)"),
        (np.ones((2, 3)), r"expected \(n, d\) with n >= d >= 1"),
        (np.ones((3, 0)), r"n >= d >= 1"),
        (np.eye(3, dtype=int), r"expected data, real floating"),
        (np.eye(2) * 1j, r"expected data, real floating"),
        (shape_only(5, 2), r"expected data"),
        (np.array([[1.0], [np.nan]]), r"A: expected finite entries"),
        (np.array([[1.0], [-np.inf]]), r"A: expected finite entries"),
        (np.ones((5, 2)), r"A: expected rank 2, the number of its columns; its rank is 1"),
        (np.zeros((5, 2)), r"expected rank 2.*its rank is 0"),
        (np.arange(12.0).reshape(4, 3), r"expected rank 3.*its rank is 2"),
    ],
)
def test_bad_matrices(A, message):
    with pytest.raises(ValueError, match=message):
        john_ellipsoid(A)


def test_bad_arguments():
    for xi in (0.0, 1e-10, 1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"^xi=.*expected a number in \[1e-9, 1\)"):
            john_ellipsoid(np.eye(2), xi)
    for steps in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match=r"^steps=.*expected an integer >= 1"):
            john_ellipsoid(np.eye(2), steps=steps)
