"""Random matrices: rows of several laws, and matrices with given singular values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from touchstone.arrays import as_array_like

Array = Any

HEAVY_ROWS = 40
"""How many rows ``heavy_rows`` scales up (all of them when there are fewer)."""


def random_rows(n: int, d: int, law: str, rng: np.random.Generator, *, like: Any = np) -> Array:
    r"""An (n, d) matrix with rows of ``law``, from benign to hostile for uniform sampling of rows.

    - ``"gaussian"``: independent N(0, 1) entries; all rows matter about equally.
    - ``"student"``: Gaussian rows, each times ``|t|``, ``t`` of Student's law with 3 degrees of freedom.
    - ``"lognormal"``: Gaussian rows, each times :math:`e^{2g}`, ``g`` standard normal.
    - ``"two_clusters"``: :math:`c_j+0.2\,N(0,I)`, j equally likely 1 or 2, with centres
      :math:`c_1,c_2\sim N(0,I)`: nearly of rank 2.
    - ``"heavy_rows"``: Gaussian rows, of which ``HEAVY_ROWS`` random ones are multiplied by independent
      uniform numbers in [3, 30], times :math:`\sqrt{n/512}` so that their leverage does not fade with n.
    - ``"planted_row"``: Gaussian, but the last column is zero and one random row is the last unit vector:
      that row has leverage 1, and no other row tells where it is.

    Drawn on the host in float64, placed like ``like`` (an array or a namespace). Raises ``ValueError`` unless
    n, d >= 1, or for an unknown law. Source: john-ellipsoid-dp, setting of the checks;
    quantum-linear-regression, C2; lev-attention, V1.
    """
    _check_sizes(n, d)
    if law not in _LAWS:
        raise ValueError(f"law={law!r}: expected one of {', '.join(map(repr, _LAWS))}")
    return as_array_like(_LAWS[law](n, d, rng), like)


def _gaussian(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((n, d))


def _student(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    return _gaussian(n, d, rng) * np.abs(rng.standard_t(3, (n, 1)))


def _lognormal(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    return _gaussian(n, d, rng) * np.exp(2 * rng.standard_normal((n, 1)))


def _two_clusters(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    centres = rng.standard_normal((2, d))
    return centres[rng.integers(0, 2, n)] + 0.2 * rng.standard_normal((n, d))


def _heavy_rows(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    A = _gaussian(n, d, rng)
    heavy = rng.choice(n, min(HEAVY_ROWS, n), replace=False)
    A[heavy] *= np.sqrt(n / 512) * rng.uniform(3, 30, (len(heavy), 1))
    return A


def _planted_row(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    A = _gaussian(n, d, rng)
    A[:, -1] = 0
    planted = rng.integers(0, n)
    A[planted] = 0
    A[planted, -1] = 1
    return A


_LAWS: dict[str, Callable[[int, int, np.random.Generator], np.ndarray]] = {
    "gaussian": _gaussian,
    "student": _student,
    "lognormal": _lognormal,
    "two_clusters": _two_clusters,
    "heavy_rows": _heavy_rows,
    "planted_row": _planted_row,
}


def matrix_with_spectrum(
    n: int, d: int, singular_values: Sequence[float] | np.ndarray, rng: np.random.Generator, *, like: Any = np
) -> Array:
    r""":math:`U\,\mathrm{diag}(\sigma)V^\top`, (n, d), with singular vectors from Haar's measure.

    ``singular_values``: min(n, d) finite numbers >= 0 in any order. Drawn and multiplied on the host in
    float64, placed like ``like``; the singular values are exact up to rounding relative to the largest.

    Cost: two QR factorisations, O((n + d) min(n, d)^2). Raises ``ValueError`` unless n, d >= 1, for another
    number of singular values, and for a negative or non-finite one.

    Source: F. Mezzadri, *How to generate random matrices from the classical compact groups* (2007): the Q of
    a Gaussian matrix is Haar when the diagonal of R is made positive.
    """
    _check_sizes(n, d)
    sigma = np.asarray(singular_values, dtype=np.float64)
    k = min(n, d)
    if sigma.shape != (k,):
        raise ValueError(
            f"singular_values of shape {sigma.shape}: expected ({k},), the smaller side of ({n}, {d})"
        )
    if not np.all(np.isfinite(sigma) & (sigma >= 0)):
        raise ValueError(f"singular_values={singular_values!r}: expected finite numbers >= 0")
    U, V = (_haar(rows, k, rng) for rows in (n, d))
    return as_array_like((U * sigma) @ V.T, like)


def _haar(rows: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """``k`` orthonormal columns, uniformly distributed."""
    Q, R = np.linalg.qr(rng.standard_normal((rows, k)))
    return Q * np.where(np.diagonal(R) < 0, -1.0, 1.0)


def _check_sizes(n: int, d: int) -> None:
    for name, size in (("n", n), ("d", d)):
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"{name}={size!r}: expected an integer >= 1")
