"""The dense sketch of independent Gaussian entries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from touchstone.arrays import namespace
from touchstone.sketching.operator import Place, Sketch, checked_sizes

Array = Any


def gaussian_sketch(m: int, n: int, rng: np.random.Generator, *, like: Any) -> Sketch:
    r"""The sketch (m, n) with independent entries :math:`N(0,1/m)`, in the library and dtype of ``like``.

    It keeps the lengths in a fixed subspace of dimension d to :math:`1\pm\varepsilon` once
    :math:`m\gtrsim d/\varepsilon^2`, and :math:`S^\top S` of any orthonormal basis has the law of a Wishart
    matrix; no other sketch needs fewer rows, and none costs more to apply. Takes sparse matrices.

    Cost: m n numbers to hold, moved there once. A product with c columns is m n c multiply-adds, that with a
    sparse matrix m for each of its entries. Raises ``ValueError`` for sizes below 1, ``TypeError`` for an
    ``rng`` that is no generator or a ``like`` that holds no real floating numbers.

    Source: library-map of sketches; D. Woodruff, *Sketching as a Tool for Numerical Linear Algebra* (2014),
    theorem 2.3.
    """
    m, n = checked_sizes(rng, m=m, n=n)
    place = Place(like)
    return _Gaussian(place, place.numbers((m, n), lambda: rng.standard_normal((m, n)) / math.sqrt(m)))


class _Gaussian(Sketch):
    def __init__(self, place: Place, matrix: Array) -> None:
        self.place, self._matrix = place, matrix
        self.shape = tuple(matrix.shape)
        self.touched = self.shape[0]

    def _apply(self, A: Array) -> Array:
        return self._matrix @ A

    def _apply_sparse(self, A: Any) -> Array:
        return (A.T @ self._matrix.T).T

    def _apply_transpose(self, Y: Array) -> Array:
        return self._matrix.T @ Y

    def _columns(self, index: Array) -> Array:
        return namespace(self._matrix).take(self._matrix, index, axis=1)
