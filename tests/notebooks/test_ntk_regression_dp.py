"""A mistake planted in the mathematics turns a verdict of the notebook."""

from pathlib import Path

import numpy as np
import pytest

from touchstone.learning import tangent_kernels
from touchstone.linalg import spectral_error
from touchstone.privacy import covariance_release, noise
from touchstone.regression import kernel_ridge

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "privacy" / "ntk-regression-dp.ipynb"


def test_sound_mathematics_is_supported(run_notebook):
    found = run_notebook(NOTEBOOK, profile="quick", device="cpu")
    assert set(found) == {
        "wide-kernel",
        "kernel-sensitivity",
        "spectral-sensitivity",
        "rank",
        "release-privacy",
        "release-law",
        "query-privacy",
        "concentration",
        "perturbation",
        "utility-rate",
        "accuracy-release",
        "accuracy-pipeline",
        "accuracy-exact-curve",
    }
    # the cost of the pipeline at 200 images lies so near the limit that no number of splits decides it
    assert found.pop("accuracy-pipeline") == "inconclusive"
    assert set(found.values()) == {"supported"}


def patched(module, name, make):
    """A mistake: the routine ``name`` of ``module`` becomes ``make(right)``."""

    def plant(monkeypatch):
        monkeypatch.setattr(module, name, make(getattr(module, name)))

    return plant


sigma_not_squared = patched(
    tangent_kernels,
    "quadratic_ntk",
    lambda right: lambda X, sigma=1.0, points=None: right(X, sigma**0.5, points),
)
inner_product_dropped = patched(
    tangent_kernels, "quadratic_network_ntk", lambda right: lambda X, W: right(X, W) / (X @ X.T)
)
diagonal_counted_twice = patched(
    tangent_kernels,
    "quadratic_ntk_changes",
    lambda right: (
        lambda X, rows, moved, sigma=1.0: (
            right(X, rows, moved, sigma) * (1 + (rows[:, None] == np.arange(len(X))))
        )
    ),
)
quarter_of_the_change = patched(
    tangent_kernels, "quadratic_ntk_changes", lambda right: lambda *args: right(*args) / 4
)
linear_features = patched(
    tangent_kernels,
    "quadratic_ntk",
    lambda right: lambda X, sigma=1.0, points=None: sigma**2 * ((X if points is None else points) @ X.T),
)
sensitivity_understated = patched(
    covariance_release,
    "allowed_samples",
    lambda right: lambda eps, delta, sensitivity: right(eps, delta, sensitivity / 10),
)
noise_of_half_the_samples = patched(
    covariance_release,
    "gaussian_sampling",
    lambda right: lambda H, k, rng, **options: right(H, max(1, k // 2), rng, **options),
)
half_the_noise = patched(
    covariance_release,
    "gaussian_sampling",
    lambda right: lambda H, k, rng, **options: (H + right(H, k, rng, **options)) / 2,
)
loss_without_its_logarithm = patched(
    covariance_release,
    "covariance_privacy_loss",
    lambda right: lambda mu, k, draws, rng: right(mu, k, draws, rng) + k / 2 * np.sum(np.log1p(mu)),
)
half_the_laplace_noise = patched(
    noise,
    "truncated_laplace",
    lambda right: lambda rng, shape, scale, bound, like: right(rng, shape, scale, bound, like=like) / 4,
)
covariance_for_its_root = patched(
    covariance_release,
    "gaussian_sampling",
    lambda right: lambda H, k, rng, **options: right(H @ H, k, rng, **options),
)
scaled_release = patched(
    covariance_release,
    "gaussian_sampling",
    lambda right: lambda H, k, rng, **options: 1.5 * right(H, k, rng, **options),
)
error_of_the_inverse = patched(
    spectral_error, "spectral_error", lambda right: lambda H, K, norm=2: right(H, K, norm) / 20
)
ridge_forgotten_in_part = patched(
    kernel_ridge,
    "kernel_ridge",
    lambda right: lambda H, k, y, ridge: right(H, k, y, ridge if H.ndim == 2 else 1.1 * ridge),
)
labels_turned_round = patched(
    kernel_ridge,
    "kernel_ridge",
    lambda right: lambda H, k, y, ridge: right(H, k, y[::-1] if y.ndim == 1 else y, ridge),
)
a_jitter_left_in = patched(
    tangent_kernels,
    "quadratic_ntk",
    lambda right: (
        lambda X, sigma=1.0, points=None: (
            right(X, sigma, points) + (1e-6 * np.eye(len(X)) if points is None else 0)
        )
    ),
)


@pytest.mark.parametrize(
    ("mistake", "turned"),
    [
        (sigma_not_squared, "wide-kernel"),
        (inner_product_dropped, "wide-kernel"),
        (diagonal_counted_twice, "kernel-sensitivity"),
        (quarter_of_the_change, "kernel-sensitivity"),
        (linear_features, "wide-kernel"),
        (sensitivity_understated, "release-privacy"),
        (loss_without_its_logarithm, "release-law"),
        (noise_of_half_the_samples, "release-law"),
        (half_the_noise, "release-law"),
        (half_the_laplace_noise, "query-privacy"),
        (covariance_for_its_root, "release-law"),
        (scaled_release, "release-law"),
        (covariance_for_its_root, "concentration"),
        (scaled_release, "concentration"),
        (error_of_the_inverse, "perturbation"),
        (ridge_forgotten_in_part, "utility-rate"),
        (labels_turned_round, "accuracy-release"),
        (a_jitter_left_in, "rank"),
    ],
)
def test_a_planted_mistake_turns_a_verdict(run_notebook, monkeypatch, mistake, turned):
    mistake(monkeypatch)
    with np.errstate(all="ignore"):
        found = run_notebook(NOTEBOOK, until=turned, profile="quick", device="cpu")
    assert found[turned] != "supported"
