"""Bounded noise against SciPy's distribution functions, and the draws that a formula is easily wrong at."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from touchstone.arrays import to_host
from touchstone.counting.array import counted
from touchstone.counting.shapes import shape_only
from touchstone.privacy.noise import truncated_laplace, truncated_normal

# scale and bound: nearly uniform, the paper's, an edge at 8 sigma, one that no draw reaches
LAWS = [(50.0, 0.5), (0.5, 0.5), (0.2, 0.5), (1.0, 3.0), (0.0625, 0.5), (1e-3, 0.5)]


def normal_cdf(z, sigma, bound):
    return stats.truncnorm.cdf(z, -bound / sigma, bound / sigma, scale=sigma)


def laplace_cdf(z, scale, bound):
    low, high = stats.laplace.cdf([-bound, bound], scale=scale)
    return np.clip((stats.laplace.cdf(z, scale=scale) - low) / (high - low), 0, 1)


BOTH = [(truncated_normal, normal_cdf), (truncated_laplace, laplace_cdf)]


class Fixed(np.random.Generator):
    """A generator whose uniforms are given, to look at single quantiles."""

    def __new__(cls, _):
        return super().__new__(cls, np.random.PCG64(0))

    def __init__(self, share):
        super().__init__(np.random.PCG64(0))
        self.share = np.asarray(share, dtype=float)

    def uniform(self, low=0.0, high=1.0, size=None):  # noqa: ARG002
        return low + (high - low) * self.share


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("draw", "cdf"), BOTH)
def test_every_quantile_is_the_one_of_scipy(draw, cdf, law):
    share = np.linspace(0, 1, 41)[1:-1]
    z = draw(Fixed(share), share.shape, *law, like=np)
    # the distribution function is flat where nothing is: 1e-13 is what SciPy's own difference of tails keeps
    assert np.max(np.abs(cdf(z, *law) - share)) < 1e-13
    assert np.all(np.diff(z) > 0)
    assert z[20 - 1] == 0
    np.testing.assert_allclose(z, -z[::-1], rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("draw", "cdf"), BOTH)
def test_a_sample_has_the_law(draw, cdf, law):
    z = draw(np.random.default_rng(1), 20_000, *law, like=np)
    assert stats.kstest(z, lambda x: cdf(x, *law)).pvalue > 1e-4  # a fixed seed: repeatable


@pytest.mark.parametrize("draw", [truncated_normal, truncated_laplace])
# the last two pass the bound by a bit, the one normal, the other Laplace, unless they are held back
@pytest.mark.parametrize(
    ("scale", "bound"),
    [*LAWS, (4.813906588782617, 3.879341802770623), (0.3836197411469449, 0.0961549373438628)],
)
def test_the_ends_of_the_uniform_stay_within_the_bound(draw, scale, bound):
    ends = draw(Fixed([0.0, 1.0 - 2**-53]), 2, scale, bound, like=np)
    assert np.all(np.isfinite(ends))
    assert np.all(np.abs(ends) <= bound)
    assert ends[0] < 0 < ends[1]


@given(
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
    st.integers(0, 2**32),
    st.tuples(st.integers(0, 3)) | st.integers(0, 5),
)
def test_always_finite_and_bounded(scale, bound, seed, shape):
    for draw in (truncated_normal, truncated_laplace):
        z = draw(np.random.default_rng(seed), shape, scale, bound, like=np)
        assert z.shape == (shape if isinstance(shape, tuple) else (shape,))
        assert np.all(np.abs(z) <= bound)


def test_a_tiny_bound_gives_the_uniform_law():
    # a difference of distribution functions would lose all digits here
    share = np.array([0.1, 0.25, 0.75])
    for draw in (truncated_normal, truncated_laplace):
        z = draw(Fixed(share), 3, 1.0, 1e-12, like=np)
        np.testing.assert_allclose(z, 1e-12 * (2 * share - 1), rtol=1e-11)


def test_known_moments():
    # on [-1, 1]: Var N(0, 1) = 1 - 2 φ(1) / (2 Φ(1) - 1), and E|Laplace(1)| = (e - 2) / (e - 1)
    share = (np.arange(200_000) + 0.5) / 200_000
    normal = truncated_normal(Fixed(share), share.shape, 1.0, 1.0, like=np)
    laplace = truncated_laplace(Fixed(share), share.shape, 1.0, 1.0, like=np)
    assert np.mean(normal**2) == pytest.approx(
        1 - 2 * stats.norm.pdf(1) / math.erf(1 / math.sqrt(2)), abs=1e-8
    )
    assert np.mean(np.abs(laplace)) == pytest.approx((math.e - 2) / (math.e - 1), abs=1e-8)


def test_the_same_generator_state_couples_two_scales():
    for draw in (truncated_normal, truncated_laplace):
        narrow = draw(np.random.default_rng(3), 100, 0.1, 0.5, like=np)
        wide = draw(np.random.default_rng(3), 100, 0.2, 0.5, like=np)
        assert np.all(np.sign(narrow) == np.sign(wide))
        assert np.all(np.abs(narrow) <= np.abs(wide))
        assert np.array_equal(narrow, draw(np.random.default_rng(3), 100, 0.1, 0.5, like=np))


def test_placed_like_its_model(xp):
    for draw in (truncated_normal, truncated_laplace):
        host = draw(np.random.default_rng(0), (2, 3), 0.3, 0.5, like=np)
        placed = draw(np.random.default_rng(0), (2, 3), 0.3, 0.5, like=xp.zeros(1, dtype=xp.float32))
        assert placed.dtype == xp.float32
        np.testing.assert_allclose(to_host(placed), host, rtol=1e-6)
        assert type(draw(np.random.default_rng(0), 2, 0.3, 0.5, like=xp)) is type(xp.zeros(2))


def test_shape_only_models_get_shapes():
    z = truncated_normal(np.random.default_rng(0), (4, 2), 0.3, 0.5, like=shape_only(1))
    assert z.shape == (4, 2)
    assert type(z) is type(counted(np.zeros(1)))


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, True, "1", None])
def test_bad_numbers_are_named(bad):
    rng = np.random.default_rng(0)
    for draw, first in ((truncated_normal, "sigma"), (truncated_laplace, "scale")):
        with pytest.raises(ValueError, match=rf"^{first}=.*expected a finite number > 0"):
            draw(rng, 3, bad, 1.0, like=np)
        with pytest.raises(ValueError, match=r"^bound=.*expected a finite number > 0"):
            draw(rng, 3, 1.0, bad, like=np)
        with pytest.raises(ValueError, match=r"^rng=7: expected a numpy.random.Generator"):
            draw(7, 3, 1.0, 1.0, like=np)
