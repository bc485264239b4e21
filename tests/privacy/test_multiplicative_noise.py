"""Closed forms of a multiplicative release against SciPy's densities, quadrature and plain sampling."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from touchstone.arrays import to_host
from touchstone.privacy.multiplicative_noise import multiplicative_loss, truncation_leak
from touchstone.privacy.noise import truncated_normal

POSITIVE = st.lists(st.floats(0.5, 2), min_size=1, max_size=4)


def log_density(y, values, sigma, bound):
    """Of the release, summed over the coordinates, by SciPy."""
    law = stats.truncnorm(-bound / sigma, bound / sigma, scale=sigma)
    return np.sum(law.logpdf(y / values - 1) - np.log(values), axis=-1)


@given(POSITIVE, st.floats(0.05, 1), st.floats(0.1, 0.9), st.integers(0, 10**6))
def test_the_loss_is_the_difference_of_log_densities(values, sigma, bound, seed):
    rng = np.random.default_rng(seed)
    values = np.array(values)
    neighbour = values * rng.uniform(0.9, 1.1, values.shape)
    noise = 0.999 * truncated_normal(rng, (20, len(values)), sigma, bound, like=np)
    y = values * (1 + noise)
    with np.errstate(divide="ignore"):
        expected = log_density(y, values, sigma, bound) - log_density(y, neighbour, sigma, bound)
    found = multiplicative_loss(values, neighbour, noise, sigma, bound)
    # within rounding of the edge either side may call it outside
    clear = np.all(np.abs(np.abs(y / neighbour - 1) - bound) > 1e-12, axis=-1)
    np.testing.assert_allclose(found[clear], expected[clear], rtol=1e-9, atol=1e-9 / sigma**2)


def test_equal_inputs_lose_nothing():
    z = truncated_normal(np.random.default_rng(0), (50, 3), 0.5, 0.5, like=np)
    v = np.array([1.0, 3.0, 1e-9])
    assert np.max(np.abs(multiplicative_loss(v, v, z, 0.5, 0.5))) < 1e-13
    edge = multiplicative_loss(v, v, np.array([0.5, -0.5, 0.5]), 0.5, 0.5)
    assert np.isfinite(edge)
    assert truncation_leak(v, v, 0.5, 0.5) == 0


def test_one_number_by_hand():
    # l = 1, l' = 2, z = 0.1: z' = 1.1/2 − 1 = −0.45; loss (0.2025 − 0.01)/(2·0.25) + ln 2
    assert multiplicative_loss(np.array([1.0]), np.array([2.0]), np.array([0.1]), 0.5, 0.5) == pytest.approx(
        0.385 + math.log(2), rel=1e-14
    )
    # with z = −0.1, z' = −0.55 lies outside the support
    assert multiplicative_loss(np.array([1.0]), np.array([2.0]), np.array([-0.1]), 0.5, 0.5) == math.inf
    # leak: z below (1 − b)·2 − 1 = 0, half of the mass
    assert truncation_leak([1.0], [2.0], 0.5, 0.5) == pytest.approx(0.5, rel=1e-14)
    # and from the other side: z above 1.5/2 − 1 = −0.25
    law = stats.truncnorm(-1, 1, scale=0.5)
    assert truncation_leak([2.0], [1.0], 0.5, 0.5) == pytest.approx(law.sf(-0.25), rel=1e-13)
    assert truncation_leak([9.0], [1.0], 0.5, 0.5) == 1
    assert truncation_leak([1.0], [9.0], 0.5, 0.5) == 1


@given(POSITIVE, st.floats(0.05, 1), st.floats(0.1, 0.9), st.integers(0, 10**6))
def test_the_leak_is_the_mass_outside_the_support(values, sigma, bound, seed):
    values = np.array(values)
    neighbour = values * np.random.default_rng(seed).uniform(0.8, 1.2, values.shape)
    law = stats.truncnorm(-bound / sigma, bound / sigma, scale=sigma)
    stays = [
        law.cdf((1 + bound) * b / a - 1) - law.cdf((1 - bound) * b / a - 1)
        for a, b in zip(values, neighbour, strict=True)
    ]
    assert truncation_leak(values, neighbour, sigma, bound) == pytest.approx(
        1 - np.prod(stays), rel=1e-9, abs=1e-12
    )


def test_the_leak_far_out_to_all_digits():
    mpmath.mp.dps = 60
    for sigma, shift in [(0.014, 1e-3), (0.025, -1e-3), (0.05, 1e-6), (0.03, 2e-3)]:
        s, b = mpmath.mpf(sigma), mpmath.mpf("0.5")
        ratio = mpmath.mpf(1.0 + shift)
        edge = (1 + b) * ratio - 1 if shift < 0 else 1 - (1 - b) * ratio
        exact = (mpmath.ncdf(-edge / s) - mpmath.ncdf(-b / s)) / (1 - 2 * mpmath.ncdf(-b / s))
        found = truncation_leak([1.0], [1.0 + shift], sigma, 0.5)
        assert 0 < found < 1e-20
        assert float(found / exact) == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("bound", [0.1, 0.5, 0.9])
def test_a_certain_leak_is_one_and_never_more(bound):
    # the mass of the whole support is one but for a last bit, either way
    for sigma in np.geomspace(0.01, 10, 200):
        assert 1 - 1e-13 < truncation_leak([1.0, 1.0], [99.0, 1.0], sigma, bound) <= 1


def test_leak_and_loss_agree_on_a_sample():
    rng = np.random.default_rng(5)
    values, neighbour = np.array([1.0, 2.0, 0.5]), np.array([1.02, 1.97, 0.5])
    z = truncated_normal(rng, (200_000, 3), 0.25, 0.5, like=np)
    share = np.mean(np.isinf(multiplicative_loss(values, neighbour, z, 0.25, 0.5)))
    leak = truncation_leak(values, neighbour, 0.25, 0.5)
    assert abs(share - leak) < 4 * math.sqrt(leak / 200_000)
    # E e^{−L} over the common support is the mass that the neighbour puts there
    kept = np.mean(np.exp(-multiplicative_loss(values, neighbour, z, 0.25, 0.5)))
    assert abs(kept - (1 - truncation_leak(neighbour, values, 0.25, 0.5))) < 0.01


def test_the_divergence_of_one_coordinate_by_quadrature():
    law = stats.truncnorm(-2, 2, scale=0.25)
    density = lambda y, v: law.pdf(y / v - 1) / v  # noqa: E731
    expected = integrate.quad(
        lambda y: max(density(y, 1.0) - math.exp(0.1) * density(y, 1.03), 0),
        0.5,
        1.5,
        points=[0.515],
        limit=200,
    )[0]
    share = (np.arange(100_000) + 0.5) / 100_000
    losses = multiplicative_loss(np.array([1.0]), np.array([1.03]), law.ppf(share)[:, None], 0.25, 0.5)
    assert np.mean(np.maximum(-np.expm1(0.1 - losses), 0)) == pytest.approx(
        expected, abs=1e-5
    )  # one point of the sample at the jump


def test_batches_and_libraries(xp):
    values, neighbour = xp.asarray([1.0, 2.0]), xp.asarray([1.1, 2.0])
    z = xp.asarray([[0.1, 0.2], [-0.46, 0.0], [0.5, 0.5]])
    loss = multiplicative_loss(values, neighbour, z, 0.5, 0.5)
    host = multiplicative_loss(*(to_host(x) for x in (values, neighbour, z)), 0.5, 0.5)
    assert loss.shape == (3,)
    np.testing.assert_allclose(to_host(loss), host)
    assert host.tolist()[1] == math.inf
    assert np.all(np.isfinite(host[[0, 2]]))
    leak = truncation_leak(xp.stack([values, neighbour]), xp.stack([neighbour, neighbour]), 0.5, 0.5)
    assert leak.shape == (2,)
    assert leak[0] > leak[1] == 0


def test_bad_arguments():
    one = np.ones(2)
    for sigma in (0.0, -1.0, math.nan, math.inf):
        for call in (
            lambda s: multiplicative_loss(one, one, one, s, 0.5),
            lambda s: truncation_leak(one, one, s, 0.5),
        ):
            with pytest.raises(ValueError, match=r"^sigma=.*finite number > 0"):
                call(sigma)
    for bound in (0.0, 1.0, -0.5, math.nan):
        for call in (
            lambda b: multiplicative_loss(one, one, one, 1, b),
            lambda b: truncation_leak(one, one, 1, b),
        ):
            with pytest.raises(ValueError, match=r"^bound=.*expected a number in \(0, 1\)"):
                call(bound)
    for bad in ([1.0, 0.0], [1.0, -1.0], [1.0, math.nan], [1.0, math.inf]):
        with pytest.raises(ValueError, match=r"^values: expected finite numbers > 0"):
            truncation_leak(bad, one, 0.5, 0.5)
        with pytest.raises(ValueError, match=r"^neighbour: expected finite numbers > 0"):
            truncation_leak(one, bad, 0.5, 0.5)
