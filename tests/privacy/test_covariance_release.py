"""Covariance release: its law against SciPy's Wishart, its loss against densities, its curve by integrals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.evidence.privacy_curves import gaussian_dp_delta
from touchstone.learning.tangent_kernels import quadratic_ntk, quadratic_ntk_derivative
from touchstone.privacy.covariance_release import (
    allowed_samples,
    covariance_privacy_loss,
    exact_allowed_samples,
    gaussian_sampling,
    row_change_eigenvalues,
    row_change_privacy_delta,
    worst_row_changes,
)

METHODS = ["samples", "bartlett"]


def covariance(n, rng, rank=None):
    G = rng.normal(size=(n, n if rank is None else rank))
    return G @ G.T + (0 if rank is not None else 0.3) * np.eye(n)


def whitened_spectrum(H, K):
    """Eigenvalues of H^{1/2} K^{-1} H^{1/2} - I, by the definition."""
    values, vectors = np.linalg.eigh(H)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    return np.linalg.eigvalsh(root @ np.linalg.inv(K) @ root) - 1


def change(n, j, v):
    M = np.zeros((n, n))
    M[j, :] += v
    M[:, j] += v
    return M


# -- the mechanism -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_moments_are_those_of_a_wishart(method, k):
    H = covariance(3, np.random.default_rng(0))
    W = gaussian_sampling(H, k, np.random.default_rng(1), releases=6000, method=method)
    assert W.shape == (6000, 3, 3)
    # E W = H, Cov(W_ab, W_cd) = (H_ac H_bd + H_ad H_bc) / k
    covariances = (np.einsum("ac,bd->abcd", H, H) + np.einsum("ad,bc->abcd", H, H)) / k
    standard_errors = np.sqrt(np.einsum("abab->ab", covariances) / 6000)
    assert np.all(np.abs(W.mean(axis=0) - H) < 4.5 * standard_errors)
    flat = W.reshape(6000, 9)
    assert np.max(np.abs(np.cov(flat.T) - covariances.reshape(9, 9))) < 0.12 * np.max(covariances)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [4, 7])
def test_law_is_scipys_wishart(method, k):
    H = covariance(3, np.random.default_rng(0))
    ours = gaussian_sampling(H, k, np.random.default_rng(1), releases=3000, method=method)
    theirs = stats.wishart(k, H / k).rvs(3000, random_state=np.random.default_rng(2))
    for statistic in (
        np.linalg.det,
        lambda W: np.linalg.eigvalsh(W)[:, -1],
        lambda W: W[:, 0, 2],
        lambda W: np.linalg.inv(W)[:, 1, 1],
    ):
        assert stats.ks_2samp(statistic(ours), statistic(theirs)).pvalue > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_fewer_samples_than_dimensions(method):
    H = covariance(5, np.random.default_rng(0))
    W = gaussian_sampling(H, 2, np.random.default_rng(1), releases=2000, method=method)
    assert set(np.linalg.matrix_rank(W, rtol=1e-10)) == {2}
    # k times the quadratic form in H^{-1} is chi squared with k n degrees of freedom
    trace = 2 * np.trace(W @ np.linalg.inv(H), axis1=1, axis2=2)
    assert stats.kstest(trace, stats.chi2(10).cdf).pvalue > 1e-3
    # and the two eigenvalues that are left are those of a 2 x 5 Gaussian matrix
    white = np.linalg.inv(np.linalg.cholesky(H))
    G = np.random.default_rng(2).normal(size=(2000, 2, 5))
    expected = np.linalg.eigvalsh(G @ np.swapaxes(G, 1, 2))[:, 1]
    assert stats.ks_2samp(2 * np.linalg.eigvalsh(white @ W @ white.T)[:, -1], expected).pvalue > 1e-3


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 6), st.integers(0, 5), st.integers(1, 9), st.sampled_from(METHODS), st.integers(0, 10**6)
)
def test_stays_in_the_range_of_a_singular_matrix(n, rank, k, method, seed):
    rng = np.random.default_rng(seed)
    H = covariance(n, rng, rank=min(rank, n))
    W = gaussian_sampling(H, k, rng, method=method)
    assert W.shape == (n, n)
    np.testing.assert_allclose(W, W.T, atol=1e-12)
    values, vectors = np.linalg.eigh(H)
    null = vectors[:, values < 1e-10 * max(values[-1], 1)]
    assert np.all(np.abs(W @ null) < 1e-6 * (1 + np.abs(W).max()))


def test_samples_are_the_definition():
    # the same numbers, sample after sample
    H = covariance(3, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    values, vectors = np.linalg.eigh(H)
    root = (vectors * np.sqrt(values)) @ vectors.T  # the symmetric one: signs of eigenvectors cancel
    samples = [root @ rng.normal(size=3) for _ in range(7)]
    expected = sum(np.outer(g, g) for g in samples) / 7
    for block in (1, 3, 7, 100):
        np.testing.assert_allclose(
            gaussian_sampling(H, 7, np.random.default_rng(1), block=block), expected, rtol=1e-12
        )


def test_one_dimension_and_zero():
    W = gaussian_sampling(np.full((1, 1), 4.0), 5, np.random.default_rng(0), releases=4000)
    assert stats.kstest(5 * W[:, 0, 0] / 4, stats.chi2(5).cdf).pvalue > 1e-3
    for method in METHODS:
        assert np.all(gaussian_sampling(np.zeros((3, 3)), 4, np.random.default_rng(0), method=method) == 0)
    # an eigenvalue that rounding made negative
    tiny = np.diag([1.0, -1e-16])
    assert np.isfinite(gaussian_sampling(tiny, 4, np.random.default_rng(0))).all()


@pytest.mark.parametrize("method", METHODS)
def test_mechanism_on_every_library(xp, method):
    H = covariance(4, np.random.default_rng(0))
    got = to_host(gaussian_sampling(xp.asarray(H), 6, np.random.default_rng(1), method=method, block=4))
    # the root is one up to signs of eigenvectors, the release has the trace that its samples have
    expected = gaussian_sampling(H, 6, np.random.default_rng(1), method=method)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-10)
    stack = gaussian_sampling(xp.asarray(H), 6, np.random.default_rng(1), releases=2, method=method)
    np.testing.assert_allclose(to_host(stack)[0], expected, rtol=1e-8, atol=1e-10)


def test_mechanism_keeps_float32():
    for method in METHODS:
        W = gaussian_sampling(np.eye(3, dtype=np.float32), 3, np.random.default_rng(0), method=method)
        assert W.dtype == np.float32


def test_counts_of_the_mechanism():
    n, k = 4, 10

    def costs(make, method):
        with count() as costs:
            gaussian_sampling(make(n, n), k, np.random.default_rng(0), method=method, block=4)
        return costs.numbers()

    for method, products in (("samples", k * n * n + 2 * n**3), ("bartlett", 2 * n**3)):
        numbers = costs(lambda *s: counted(np.eye(*s)), method)
        # the eigendecomposition, and the root from it
        assert numbers["multiply_adds"] == products + 9 * n**3 // 2 + n**3
        shapes = costs(shape_only, method)
        assert shapes["multiply_adds"] == numbers["multiply_adds"]


@pytest.mark.parametrize(
    ("H", "words"),
    [
        (np.ones(3), "H of shape"),
        (np.ones((2, 3)), "H of shape"),
        (np.ones((0, 0)), "H of shape"),
        (np.asarray([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (np.diag([1.0, -1e-6]), "no negative eigenvalue"),
        (np.full((2, 2), np.nan), "finite"),
        (np.full((2, 2), np.inf), "finite"),
    ],
)
def test_what_is_no_covariance(H, words):
    with pytest.raises(ValueError, match=words):
        gaussian_sampling(H, 2, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["k", "releases", "block"])
@pytest.mark.parametrize("bad", [0, -1, 1.5, True])
def test_counts_that_are_none(name, bad):
    arguments = {"k": 2, name: bad}
    with pytest.raises(ValueError, match=f"{name}="):
        gaussian_sampling(np.eye(2), rng=np.random.default_rng(0), **arguments)


def test_unknown_method():
    with pytest.raises(ValueError, match="method='cholesky'"):
        gaussian_sampling(np.eye(2), 2, np.random.default_rng(0), method="cholesky")


# -- the condition -----------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.floats(0.05, 10), st.floats(1e-9, 0.5), st.floats(1e-6, 1))
def test_allowed_samples_is_the_condition(eps, delta, sensitivity):
    k = allowed_samples(eps, delta, sensitivity)

    def holds(k):
        log = math.log(1 / delta)
        return sensitivity <= min(eps / math.sqrt(8 * k * log), eps / (8 * log))

    assert isinstance(k, int)
    if k == 0:
        assert not holds(1)
    else:
        assert holds(k * (1 - 1e-9))
        assert not holds(k + 1)


def test_the_second_condition_closes_the_range():
    log = math.log(1e5)
    assert allowed_samples(1.0, 1e-5, 1.0001 / (8 * log)) == 0
    assert allowed_samples(1.0, 1e-5, 0.9999 / (8 * log)) == math.floor(8 * log / 0.9999**2)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_arguments_of_the_condition(bad):
    with pytest.raises(ValueError, match="eps="):
        allowed_samples(bad, 0.1, 1.0)
    with pytest.raises(ValueError, match="sensitivity="):
        allowed_samples(1.0, 0.1, bad)
    for delta in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="delta="):
            allowed_samples(1.0, delta, 1.0)


# -- how far two matrices are apart ------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 7), st.integers(1, 4), st.floats(1e-6, 0.3), st.integers(0, 10**6))
def test_eigenvalues_of_a_row_change(n, m, size, seed):
    rng = np.random.default_rng(seed)
    H = covariance(n, rng)
    rows = rng.integers(0, n, m)
    changes = rng.normal(size=(m, n))
    changes *= size * np.linalg.eigvalsh(H)[0] / np.linalg.norm(changes, axis=1, keepdims=True)
    got = row_change_eigenvalues(H, rows, changes)
    assert got.shape == (m, 2)
    for j, v, mu in zip(rows, changes, got, strict=True):
        expected = whitened_spectrum(H, H + change(n, j, v))
        expected = expected[np.argsort(-np.abs(expected))][: min(n, 2)]
        assert mu[0] <= 1e-12 <= mu[1] + 2e-12
        if n == 1:
            expected = np.append(expected, 0)
        np.testing.assert_allclose(np.sort(mu), np.sort(expected), atol=1e-10)


def test_a_change_of_the_diagonal_alone():
    H = np.diag([2.0, 3.0])
    got = row_change_eigenvalues(H, np.asarray([1]), np.asarray([[0.0, 0.75]]))
    np.testing.assert_allclose(got, [[3.0 / 4.5 - 1, 0.0]], atol=1e-15)
    assert np.all(row_change_eigenvalues(H, np.asarray([0]), np.zeros((1, 2))) == 0)


def test_exchanged_matrices():
    rng = np.random.default_rng(0)
    H, v = covariance(4, rng), 0.05 * rng.normal(size=4)
    mu = row_change_eigenvalues(H, np.asarray([2]), v[None, :])[0]
    back = row_change_eigenvalues(H + change(4, 2, v), np.asarray([2]), -v[None, :])[0]
    np.testing.assert_allclose(np.sort(back), np.sort(-mu / (1 + mu)), rtol=1e-10)


def neighbour_sensitivity(X, j, moved):
    Y = X.copy()
    Y[j] = moved
    return np.linalg.norm(whitened_spectrum(quadratic_ntk(X), quadratic_ntk(Y)))


@pytest.mark.parametrize("seed", range(3))
def test_no_direction_is_worse(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(5, 3))
    rates, directions = worst_row_changes(quadratic_ntk(X), lambda j: quadratic_ntk_derivative(X, j))
    assert rates.shape == (5,)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-12)
    beta = 1e-6 / rates.max()
    for j in range(5):
        along = neighbour_sensitivity(X, j, X[j] + beta * directions[j]) / beta
        assert along == pytest.approx(rates[j], rel=1e-4)
        for _ in range(30):
            u = rng.normal(size=3)
            other = neighbour_sensitivity(X, j, X[j] + beta * u / np.linalg.norm(u)) / beta
            assert other <= rates[j] * (1 + 1e-4)


def test_an_input_at_zero_moves_nothing():
    X = np.asarray([[0.0, 0.0], [1.0, 2.0]])
    H = quadratic_ntk(X) + np.eye(2)
    rates, _ = worst_row_changes(H, lambda j: quadratic_ntk_derivative(X, j))
    assert rates[0] == 0
    assert rates[1] > 0


def test_distances_on_every_library(xp):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4, 3))
    H, x, v = quadratic_ntk(X), xp.asarray(X), 0.01 * rng.normal(size=(2, 4))
    rows = np.asarray([1, 3])
    got = row_change_eigenvalues(xp.asarray(H), xp.asarray(rows), xp.asarray(v))
    np.testing.assert_allclose(to_host(got), row_change_eigenvalues(H, rows, v), rtol=1e-9)
    rates, directions = worst_row_changes(xp.asarray(H), lambda j: quadratic_ntk_derivative(x, j))
    expected, along = worst_row_changes(H, lambda j: quadratic_ntk_derivative(X, j))
    np.testing.assert_allclose(to_host(rates), expected, rtol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(to_host(directions) * along, axis=1)), 1, rtol=1e-9)


def test_counts_of_the_distances():
    n, d, m = 4, 3, 2

    def costs(make, rows):
        with count() as costs:
            row_change_eigenvalues(make(n, n), rows, make(m, n))
        with count() as worst:
            worst_row_changes(make(n, n), lambda j: make(n, d))
        return costs.numbers(), worst.numbers()

    shapes = costs(shape_only, shape_only(m, dtype="int64"))

    def held(*s):
        return counted(np.eye(*s) if s[0] == s[1] else 0.01 * np.ones(s))

    data = costs(held, counted(np.asarray([0, 1])))
    for of_shape, of_data in zip(shapes, data, strict=True):
        assert of_shape["multiply_adds"] == of_data["multiply_adds"]
    lu = n * (n - 1) * (2 * n - 1) // 6
    assert shapes[0]["multiply_adds"] == 2 * (lu + m * n * (n - 1))
    forms = n * (n * d + n * n * d + n * d * d)
    assert shapes[1]["multiply_adds"] == n**3 + forms + n * math.ceil(9 * d**3 / 2)


def test_arguments_of_the_distances():
    H = np.eye(3)
    for bad, words in [
        ((np.ones((2, 3)), np.asarray([0]), np.ones((1, 3))), "H of shape"),
        ((H, np.asarray([0]), np.ones((1, 4))), "half_changes of shape"),
        ((H, np.asarray([0]), np.ones(3)), "half_changes of shape"),
        ((H, np.asarray([0, 1]), np.ones((1, 3))), "rows of shape"),
        ((H, np.asarray([[0]]), np.ones((1, 3))), "rows of shape"),
        ((H, np.asarray([0]), np.asarray([[-0.5, 0.0, 0.0]])), "positive definite"),
    ]:
        with pytest.raises(ValueError, match=words):
            row_change_eigenvalues(*bad)
    with pytest.raises(ValueError, match="H of shape"):
        worst_row_changes(np.ones((2, 3)), lambda j: np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"jacobian\(0\) of shape"):
        worst_row_changes(H, lambda j: np.ones((2, 2)))
    with pytest.raises(ValueError, match="H: expected a positive definite"):
        worst_row_changes(-H, lambda j: np.ones((3, 2)))


# -- the privacy loss --------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 5, 40])
def test_loss_is_the_ratio_of_densities(k):
    rng = np.random.default_rng(0)
    H, v = covariance(4, rng), 0.03 * rng.normal(size=4)
    K = H + change(4, 1, v)
    samples = rng.multivariate_normal(np.zeros(4), H, size=(3000, k))
    direct = np.sum(
        stats.multivariate_normal(cov=H).logpdf(samples).reshape(3000, k)
        - stats.multivariate_normal(cov=K).logpdf(samples).reshape(3000, k),
        axis=1,
    )
    mu = row_change_eigenvalues(H, np.asarray([1]), v[None, :])[0]
    ours = covariance_privacy_loss(mu, k, 3000, np.random.default_rng(1))
    assert ours.shape == (3000,)
    assert stats.ks_2samp(direct, ours).pvalue > 1e-3
    # a release says as much as the samples
    W = gaussian_sampling(H, k, rng, releases=3000)
    gap = np.linalg.inv(K) - np.linalg.inv(H)
    logdet = np.linalg.slogdet(K)[1] - np.linalg.slogdet(H)[1]
    of_release = k / 2 * (np.trace(gap @ W, axis1=1, axis2=2) + logdet)
    assert stats.ks_2samp(of_release, ours).pvalue > 1e-3


def test_moments_of_the_loss():
    mu, k = np.asarray([0.02, -0.015]), 500
    losses = covariance_privacy_loss(mu, k, 200_000, np.random.default_rng(0))
    mean, spread = k / 2 * np.sum(mu - np.log1p(mu)), math.sqrt(k / 2 * np.sum(mu**2))
    assert abs(losses.mean() - mean) < 4 * spread / math.sqrt(200_000)
    assert losses.std() == pytest.approx(spread, rel=0.01)
    # E e^{-L} = 1: the two densities have the same mass
    assert abs(np.mean(np.exp(-losses)) - 1) < 4 * np.std(np.exp(-losses)) / math.sqrt(200_000)


def test_small_eigenvalues_keep_their_digits():
    # mean and deviation near 1e-9 where the two printed terms are near 1e4
    losses = covariance_privacy_loss(np.asarray([1e-13]), 10**9, 1000, np.random.default_rng(0))
    expected = 1e-13 / 2 * (np.random.default_rng(0).chisquare(10**9, (1000, 1))[:, 0] - 10**9)
    np.testing.assert_allclose(losses, expected + 10**9 / 4 * 1e-26, rtol=1e-9, atol=1e-20)


def test_loss_on_every_library(xp):
    mu = np.asarray([0.3, -0.2])
    expected = covariance_privacy_loss(mu, 5, 10, np.random.default_rng(0))
    got = covariance_privacy_loss(xp.asarray(mu), 5, 10, np.random.default_rng(0))
    np.testing.assert_allclose(to_host(got), expected, rtol=1e-12)


def test_arguments_of_the_loss():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="eigenvalues of shape"):
        covariance_privacy_loss(np.ones((1, 2)), 2, 3, rng)
    with pytest.raises(ValueError, match="above -1"):
        covariance_privacy_loss(np.asarray([0.1, -1.0]), 2, 3, rng)
    with pytest.raises(ValueError, match="k="):
        covariance_privacy_loss(np.ones(2), 0, 3, rng)
    with pytest.raises(ValueError, match="draws="):
        covariance_privacy_loss(np.ones(2), 2, 0, rng)


# -- the privacy curve -------------------------------------------------------------------------------------


def loss_of(mu, k, x):
    return sum(m / 2 * v - k / 2 * math.log1p(m) for m, v in zip(mu, x, strict=True))


@pytest.mark.parametrize(
    ("mu", "k", "eps"),
    [
        ([0.5, -0.3], 3, 0.2),
        ([-0.5, 0.3], 3, 0.2),
        ([0.5, -0.3], 8, 1.5),
        ([-0.6, 0.1], 5, 0.0),
        ([0.3, 0.2], 6, 0.1),
        ([-0.3, -0.2], 6, 0.1),
    ],
)
def test_curve_is_the_double_integral(mu, k, eps):
    # by the midpoint rule in the quantiles of both variables
    points = stats.chi2(k).ppf((np.arange(1000) + 0.5) / 1000)
    X, Y = np.meshgrid(points, points)
    plane = np.mean(-np.expm1(np.minimum(eps - loss_of(mu, k, (X, Y)), 0)))
    assert row_change_privacy_delta(mu, k, eps) == pytest.approx(plane, abs=5e-5)


@pytest.mark.parametrize("mu", [0.4, -0.4])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_curve_of_one_eigenvalue(mu, k):
    law = stats.chi2(k)
    eps = 0.15
    edge = (eps + k / 2 * math.log1p(mu)) / (mu / 2)
    ends = (edge, np.inf) if mu > 0 else (0, edge)
    expected = integrate.quad(lambda x: -math.expm1(eps - loss_of([mu], k, (x,))) * law.pdf(x), *ends)[0]
    assert row_change_privacy_delta([mu], k, eps) == pytest.approx(expected, rel=1e-6)
    assert row_change_privacy_delta([0.0, mu], k, eps) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("eps", [0.0, 0.5, 2.0])
def test_many_samples_are_gaussian(eps):
    mu, k = np.asarray([3e-5, -4e-5]), 10**9
    gaussian = gaussian_dp_delta(math.sqrt(k / 2) * 5e-5, eps)
    assert row_change_privacy_delta(mu, k, eps) == pytest.approx(gaussian, rel=2e-3)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.001, 2), st.floats(-0.6, 0.6), st.integers(1, 2000), st.floats(0, 3))
def test_properties_of_the_curve(first, second, k, eps):
    mu = [first, second]
    delta = row_change_privacy_delta(mu, k, eps)
    assert 0 <= delta <= 1
    assert row_change_privacy_delta(mu[::-1], k, eps) == pytest.approx(delta, abs=1e-12)
    assert row_change_privacy_delta(mu, k, eps + 0.1) <= delta + 1e-12
    assert row_change_privacy_delta(mu, k + 1, eps) >= delta - 1e-9
    # at eps = 0 the total variation distance, the same in both directions
    back = [-m / (1 + m) for m in mu]
    there, and_back = (row_change_privacy_delta(m, k, 0.0) for m in (mu, back))
    assert there == pytest.approx(and_back, abs=1e-4)


def test_curve_agrees_with_losses():
    mu, k, eps = np.asarray([0.02, -0.015]), 500, 0.4
    losses = covariance_privacy_loss(mu, k, 400_000, np.random.default_rng(0))
    excess = -np.expm1(np.minimum(eps - losses, 0))
    exact = row_change_privacy_delta(mu, k, eps)
    assert abs(excess.mean() - exact) < 4 * excess.std() / math.sqrt(400_000)


def test_curve_converges_in_the_nodes():
    mu = [0.003, -0.004]
    for k in (10, 10**5, 10**6):
        fine = row_change_privacy_delta(mu, k, 0.7, nodes=10_000)
        assert row_change_privacy_delta(mu, k, 0.7) == pytest.approx(fine, rel=1e-7, abs=1e-18)


def test_extremes_of_the_curve():
    assert row_change_privacy_delta([0.0, 0.0], 5, 0.0) == 0.0
    assert row_change_privacy_delta([0.0], 5, 1.0) == 0.0
    assert row_change_privacy_delta([50.0, -0.98], 400, 1.0) == pytest.approx(1.0, abs=1e-9)
    assert row_change_privacy_delta([1e-9, -1e-9], 10, 1.0) == 0.0


def test_exact_allowed_samples_is_the_last_private_one():
    mu = np.asarray([0.011, -0.009])
    for eps, delta in [(1.0, 1e-5), (0.3, 1e-3), (2.0, 1e-4)]:
        k = exact_allowed_samples(mu, eps, delta)

        def worst(k, eps=eps):
            return max(row_change_privacy_delta(m, k, eps) for m in (mu, -mu / (1 + mu)))

        assert worst(k) <= delta < worst(k + 1)
        assert k > allowed_samples(eps, delta, float(np.linalg.norm(mu)))
        assert exact_allowed_samples(mu, eps, delta, most=k - 3) == k - 3
        assert exact_allowed_samples(-mu / (1 + mu), eps, delta) == k


def test_exact_allowed_samples_at_the_ends():
    assert exact_allowed_samples([5.0], 0.1, 1e-5) == 0
    assert exact_allowed_samples([1e-9], 1.0, 0.5, most=7) == 7
    assert exact_allowed_samples([1e-9], 1.0, 0.5, most=1) == 1
    assert exact_allowed_samples([0.0], 1.0, 0.5) == 2**30
    # one sample is private, two are not: 0.041 and 0.069 against 0.05
    assert row_change_privacy_delta([0.3], 1, 0.1) < 0.05 < row_change_privacy_delta([0.3], 2, 0.1)
    assert exact_allowed_samples([0.3], 0.1, 0.05) == 1
    assert row_change_privacy_delta([0.6], 1, 0.2) < 0.1 < row_change_privacy_delta([0.6], 2, 0.2)
    assert exact_allowed_samples([0.6], 0.2, 0.1) <= 1


@pytest.mark.parametrize("mu", [[-1.0], [], [1.0, 2.0, 3.0], [[0.1]], [np.nan], [np.inf]])
def test_eigenvalues_that_the_curve_refuses(mu):
    with pytest.raises(ValueError, match="eigenvalues="):
        row_change_privacy_delta(mu, 2, 1.0)


def test_arguments_of_the_curve():
    for bad in (0, 1.0, True):
        with pytest.raises(ValueError, match="k="):
            row_change_privacy_delta([0.1], bad, 1.0)
        with pytest.raises(ValueError, match="most="):
            exact_allowed_samples([0.1], 1.0, 0.1, most=bad)
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="eps="):
            row_change_privacy_delta([0.1], 2, bad)
    for bad in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="delta="):
            exact_allowed_samples([0.1], 1.0, bad)
