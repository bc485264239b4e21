r"""Exact sensitivities :math:`\sigma_i=\sup_y|\langle a_i,y\rangle|^p/\lVert Ay\rVert_p^p`: how much of a
p-norm one row can make up. For bounds on them see ``touchstone.sketching.sensitivity_bounds``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from touchstone.arrays import to_host

Array = Any


def lp_sensitivities(
    A: Array, rows: Sequence[int] | None = None, p: float = 1, method: str = "linprog"
) -> tuple[np.ndarray, np.ndarray]:
    r"""The exact sensitivities of ``rows`` (default: all) of ``A`` (n, d), and queries that attain them.

    ``method="linprog"``, for p = 1: :math:`\max_y\langle a_i,y\rangle` subject to
    :math:`\lVert Ay\rVert_1\le1`, one linear program of d + n unknowns a row (SciPy's HiGHS). Returns host
    arrays (m,) and (m, d), a query for each row with :math:`\lVert Ay\rVert_1=1` (0 for a row of zeros).
    ``A`` is read on the host.

    Cost: m linear programs, milliseconds each at n = 60. Raises ``ValueError`` for another p or method, an
    ``A`` that is no matrix or not finite, or rows outside it.

    Source: lev-attention, V1.
    """
    if method != "linprog" or p != 1:
        raise ValueError(f"p={p!r}, method={method!r}: expected p=1 and method='linprog'")
    host = np.asarray(to_host(A), dtype=np.float64)
    if host.ndim != 2 or min(host.shape) < 1:
        raise ValueError(f"A of shape {host.shape}: expected a matrix with a row and a column or more")
    if not np.all(np.isfinite(host)):
        raise ValueError("A: expected finite entries")
    n, d = host.shape
    index = np.arange(n) if rows is None else np.asarray(rows)
    if index.ndim != 1 or index.dtype.kind not in "iu" or not np.all((index >= 0) & (index < n)):
        raise ValueError(f"rows={rows!r}: expected integers from 0 to {n - 1}")
    size = float(np.max(np.abs(host))) or 1.0
    host = host / size
    values, queries = np.zeros(len(index)), np.zeros((len(index), d))
    for at, i in enumerate(index):
        if np.any(host[i]):
            queries[at] = _largest_share(host, i)
            values[at] = host[i] @ queries[at]
    return values, queries / size


def _largest_share(A: np.ndarray, i: int) -> np.ndarray:
    """The y of the linear program, scaled so that its constraint holds with equality."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    n, d = A.shape
    eye = np.eye(n)
    absolute = np.block([[A, -eye], [-A, -eye], [np.zeros((1, d)), np.ones((1, n))]])
    limits = np.concatenate([np.zeros(2 * n), [1.0]])
    result = linprog(
        np.concatenate([-A[i], np.zeros(n)]),
        A_ub=csr_array(absolute),
        b_ub=limits,
        bounds=[(None, None)] * d + [(0, None)] * n,
        method="highs",
    )
    if not result.success:
        raise ArithmeticError(f"the linear program of row {i} was not solved: {result.message}")
    y = result.x[:d]
    return y / np.sum(np.abs(A @ y))
