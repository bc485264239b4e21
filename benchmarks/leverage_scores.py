"""Leverage scores on CPU, exact and sketched, beside their peers. Two tables.

    python benchmarks/leverage_scores.py            # about ten minutes and 8 GiB
    python benchmarks/leverage_scores.py --quick    # a tenth of the rows

Reads nothing and writes to standard output only. Float64, Gaussian entries, the scores of all rows. Calls are
taken in turns (`scipy.linalg.qr`, which takes longer than all others together, once), each timed one after an
untimed one when it is short, and the median is reported; extra memory is what the process grows by at its
peak during one call, beyond input and output, in a process of its own (Linux).

*Exact.* `leverage_scores`: Gram matrix, Cholesky, norms of the rows of A R^-1, in row blocks on as many
threads as there are processors, each with one BLAS thread. Peers: `scipy.linalg.qr`, with all BLAS threads,
and *plain*, the same three steps as one would write them down: NumPy with all BLAS threads, SciPy's
products for sparse rows (1 % of the entries, as many in each row). The slower ways that `leverage_scores`
falls back to are timed on two more matrices: *near* has its last column at an angle of about 10^-5 from the
first (repair by a second Cholesky factorisation), *deficient* has the first column twice (QR by row
blocks). Errors are the largest |ours / peer - 1| over all rows, the peer being QR where there is one.

*Sketched.* `estimate_leverage_scores` with k Gaussian columns against the fastest exact way; the sketch has
one entry in each column and `ROWS` d rows. Errors are over all rows: the largest |estimate / score - 1|,
and the largest score / estimate, the factor by which a row may be underestimated. *Without columns* they
are those of the sketch alone, from the norms that the columns estimate.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from time import perf_counter

import numpy as np
import scipy.linalg
from scipy import sparse

from _timing import extra_memory, interleaved, load_average
from touchstone.arrays import map_rows, single_threaded_blas, stream
from touchstone.linalg.leverage import leverage_scores
from touchstone.linalg.sparse_rows import SparseRows
from touchstone.linalg.whitening import whitening
from touchstone.sketching.leverage_estimates import estimate_leverage_scores
from touchstone.sketching.operator import Sketch
from touchstone.sketching.sparse_embedding import count_sketch

ROWS = 8  # rows of the sketch for each column of A

Call = Callable[[], np.ndarray]
Matrix = np.ndarray | SparseRows


def matrix(kind: str, n: int, d: int) -> Matrix:
    rng = stream(0, "leverage", n, d)
    if kind == "sparse":
        k = d // 100
        return SparseRows(rng.integers(0, d, (n, k), dtype=np.int32), rng.standard_normal((n, k)), d)
    A = rng.standard_normal((n, d))
    if kind == "near":
        A[:, -1] = A[:, 0] + 1e-5 * A[:, -1]
    if kind == "deficient":
        A[:, -1] = A[:, 0]
    return A


# -- the ways to scores ----------------------------------------------------------------------------------


def exact(A: Matrix, workers: int) -> Call:
    return lambda: leverage_scores(A, workers=workers)


def by_qr(A: np.ndarray, workers: int) -> Call:  # noqa: ARG001
    def call() -> np.ndarray:
        Q = scipy.linalg.qr(A, mode="economic", check_finite=False)[0]
        return np.vecdot(Q, Q)

    return call


def plain(A: Matrix, workers: int) -> Call:  # noqa: ARG001
    """What one would write down: the three steps, all rows at once, BLAS with as many threads as it takes."""

    def dense() -> np.ndarray:
        Q = A @ np.linalg.inv(np.linalg.cholesky(A.T @ A, upper=True))
        return np.vecdot(Q, Q)

    def in_scipy() -> np.ndarray:
        n, k = A.values.shape
        rows = sparse.csr_array((A.values.ravel(), A.columns.ravel(), np.arange(0, n * k + 1, k)), A.shape)
        inverse = np.linalg.inv((rows.T @ rows).toarray())
        return np.concatenate([some.multiply(some @ inverse).sum(axis=1) for some in blocks(rows, 1 << 14)])

    return in_scipy if isinstance(A, SparseRows) else dense


def blocks(rows: sparse.csr_array, size: int) -> list[sparse.csr_array]:
    return [rows[start : start + size] for start in range(0, rows.shape[0], size)]


def sketch(A: Matrix, rng: np.random.Generator, workers: int) -> Sketch:
    n, d = A.shape
    like = A.values if isinstance(A, SparseRows) else A
    return count_sketch(min(ROWS * d, n), n, rng, like=like, workers=workers)


def sketched(A: Matrix, workers: int, columns: int) -> Call:
    def call() -> np.ndarray:
        rng = stream(0, "sketch", *A.shape)
        with single_threaded_blas():
            return estimate_leverage_scores(A, sketch(A, rng, workers), columns, rng, workers=workers)

    return call


def without_columns(A: Matrix, workers: int) -> np.ndarray:
    with single_threaded_blas():
        T = whitening(sketch(A, stream(0, "sketch", *A.shape), workers) @ A, workers=workers)

        def norms(X: np.ndarray) -> np.ndarray:
            return np.vecdot(X @ T, X @ T)

        if isinstance(A, SparseRows):
            return A.quadratic_forms(T @ T.T)
        return map_rows(norms, A, block=256, workers=workers)


WAYS: dict[str, Callable[..., Call]] = {"exact": exact, "plain": plain, "qr": by_qr, "sketched": sketched}


def ready(way: str, kind: str, n: int, d: int, *options: int) -> Call:
    """A call of one way, everything lazily loaded in place."""
    WAYS[way](matrix(kind, 2000, d), *options)()
    return WAYS[way](matrix(kind, n, d), *options)


# -- tables ----------------------------------------------------------------------------------------------


def exact_row(kind: str, n: int, d: int, options: argparse.Namespace) -> list[str]:
    A = matrix(kind, n, d)
    dense = not isinstance(A, SparseRows)
    gap, t_qr = math.nan, math.nan
    ours, peer = exact(A, options.workers), plain(A, options.workers)
    deficient = kind == "deficient"  # plain has no answer there
    times = interleaved([ours] if deficient else [ours, peer], options.repeats, options.seconds)
    if dense:
        start = perf_counter()
        reference = by_qr(A, 1)()
        t_qr = perf_counter() - start
        # the last column of a deficient matrix adds noise to LAPACK's Q, and nothing to ours
        gap = largest_gap(ours(), by_qr(A[:, :-1].copy(), 1)() if deficient else reference)
    else:
        gap = largest_gap(ours(), peer())
    del A, ours, peer
    ways = ["exact", *([] if deficient else ["plain"]), *(["qr"] if dense else [])]
    memory = {way: extra_memory(ready, way, kind, n, d, options.workers) for way in ways}
    t_plain = math.nan if deficient else times[1]
    return [
        kind,
        size(n, d),
        *(seconds(t) for t in (times[0], t_plain, t_qr)),
        *(ratio(t / times[0]) for t in (t_qr, t_plain)),
        f"{gap:.1e}",
        *(f"{memory[way]:.0f}" if way in memory else "" for way in WAYS if way != "sketched"),
    ]


def sketched_row(kind: str, n: int, d: int, options: argparse.Namespace) -> list[str]:
    A = matrix(kind, n, d)
    k = options.columns
    calls = [sketched(A, options.workers, k), exact(A, options.workers)]
    if kind == "dense":  # the first table shows how far SciPy's sparse products are from being the fastest
        calls.append(plain(A, options.workers))
    quick, *others = interleaved(calls, options.repeats, options.seconds)
    seen, scores = [calls[0](), without_columns(A, options.workers)], calls[1]()
    del A, calls
    memory = [
        extra_memory(ready, "exact", kind, n, d, options.workers),
        extra_memory(ready, "sketched", kind, n, d, options.workers, k),
    ]
    return [
        kind,
        size(n, d),
        *(seconds(t) for t in (min(others), quick)),
        ratio(min(others) / quick),
        *(f"{number:.2f}" for x in seen for number in (largest_gap(x, scores), np.max(scores / x))),
        *(f"{m:.0f}" for m in memory),
    ]


def largest_gap(x: np.ndarray, scores: np.ndarray) -> float:
    return float(np.max(np.abs(x / scores - 1)))


def size(n: int, d: int) -> str:
    power = int(math.log10(n))
    return f"{'' if n == 10**power else f'{n / 10**power:.0f}·'}10^{power} × {d}"


def seconds(t: float) -> str:
    return "" if math.isnan(t) else f"{t:.3g}"


def ratio(x: float) -> str:
    return "" if math.isnan(x) else f"**{x:.3g}x**"


def table(header: list[str], row: Callable[..., list[str]], rows: list[tuple]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|:---|" + "---:|" * (len(header) - 1))
    for arguments in rows:
        print("| " + " | ".join(row(*arguments)) + " |", flush=True)
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Leverage scores, exact and sketched, on CPU.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--columns", type=int, default=20, help="Gaussian columns k (default 20)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads")
    parser.add_argument("--repeats", type=int, default=7, help="turns of the interleaved calls")
    parser.add_argument("--seconds", type=float, default=20, help="no more turns after this long, but 3")
    options = parser.parse_args()
    least = 10 if options.quick else 1
    dense = [
        ("dense", 10**6 // least, 200),
        ("dense", 5 * 10**5 // least, 400),
        ("dense", 2 * 10**5 // least, 1000),
    ]
    falling_back = [("near", 10**6 // least, 200), ("deficient", 10**6 // least, 200)]
    few = [("sparse", 10**6 // least, 1000), ("sparse", 10**6 // least, 100)]

    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))
    print(
        f"Python {platform.python_version()}, {libraries}; {platform.machine()}, {options.workers} threads."
    )
    print(f"Load average at the start: {load_average()}.\n")
    times = ["ours, s", "plain, s", "scipy.linalg.qr, s", "against qr", "against plain"]
    table(
        ["rows", "size", *times, "error", "extra MiB, ours", "extra MiB, plain", "extra MiB, qr"],
        exact_row,
        [(*row, options) for row in dense + falling_back + few],
    )
    errors = ["error", "underestimate", "error, without columns", "underestimate, without columns"]
    table(
        [
            "rows",
            "size",
            "fastest exact, s",
            "sketched, s",
            "speed-up",
            *errors,
            "extra MiB, exact",
            "extra MiB, sketched",
        ],
        sketched_row,
        [(*row, options) for row in dense + few],
    )
    print(f"Load average at the end: {load_average()}.")


if __name__ == "__main__":
    main()
