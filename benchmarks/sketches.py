"""Sketches on CPU beside their peers. Two tables.

    python benchmarks/sketches.py            # --quick for small sizes

Reads nothing and writes to standard output only. Calls are taken in turns, each timed one after an untimed
one when it is short, and the median is reported; extra memory is what the process grows by at its peak during
one call, beyond inputs and output, in a process of its own (Linux). *Distortion* is the largest deviation
from 1 of a singular value of S Q, where Q is an orthonormal basis of the columns in question, for one draw.

*CountSketch*: a dense Gaussian matrix, 10^6 x 50, sketched to m rows. The peer is SciPy's
`clarkson_woodruff_transform`. Both sides draw the sketch in every call; *product* is ours with a sketch drawn
before. Distortion is that of all 50 columns.

*SRHT*: a dense Gaussian matrix of 10^4 rows and 4096 columns, sketched along either axis to k. The peer is
the plain product with a k x n Gaussian matrix. Both sketches are drawn before; *with the draw* counts it,
too. Distortion is that of 16 columns.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from scipy.linalg import clarkson_woodruff_transform, solve_triangular
from threadpoolctl import ThreadpoolController

from _timing import extra_memory, interleaved, load_average
from touchstone.arrays import stream
from touchstone.sketching.gaussian import gaussian_sketch
from touchstone.sketching.sparse_embedding import count_sketch
from touchstone.sketching.srht import srht

Call = Callable[[], np.ndarray]


def matrix(rows: int, columns: int, dtype: str) -> np.ndarray:
    A = np.empty((rows, columns), dtype=dtype)
    stream(0, "sketches", rows, columns).standard_normal(dtype=dtype, out=A)
    return A


def distortion(SA: np.ndarray, A: np.ndarray) -> float:
    """Of the columns of ``A``, which are well conditioned, from their sketch."""
    A, SA = A.astype("float64"), SA.astype("float64")
    R = np.linalg.cholesky(A.T @ A, upper=True)
    values = np.linalg.svd(solve_triangular(R, SA.T, trans="T"), compute_uv=False)
    return float(np.max(np.abs(values - 1)))


# -- CountSketch -----------------------------------------------------------------------------------------


def by_count_sketch(A: np.ndarray, m: int, workers: int) -> Call:
    rng = stream(0, "ours", m)
    return lambda: count_sketch(m, len(A), rng, like=A, workers=workers) @ A


def by_scipy(A: np.ndarray, m: int, workers: int) -> Call:  # noqa: ARG001
    rng = stream(0, "scipy", m)
    return lambda: clarkson_woodruff_transform(A, m, rng=rng)


def count_ready(name: str, n: int, d: int, dtype: str, m: int, workers: int) -> Call:
    """A call of one side, everything lazily loaded in place."""
    make = {"ours": by_count_sketch, "scipy": by_scipy}[name]
    make(matrix(512, d, dtype), m, workers)()
    return make(matrix(n, d, dtype), m, workers)


def count_row(n: int, d: int, dtype: str, m: int, options: argparse.Namespace) -> list[str]:
    A = matrix(n, d, dtype)
    S = count_sketch(m, n, stream(0, "drawn", m), like=A, workers=options.workers)
    calls = [by_count_sketch(A, m, options.workers), by_scipy(A, m, 1), lambda: S @ A]
    ours, scipy, product = interleaved(calls, options.repeats, options.seconds)
    sides = ("ours", "scipy")
    return [
        f"{n} x {d}",
        str(m),
        dtype,
        *(f"{1e3 * t:.3g}" for t in (ours, product, scipy)),
        f"**{scipy / ours:.3g}x**",
        *(f"{distortion(call(), A):.2g}" for call in calls[:2]),
        *(f"{extra_memory(count_ready, side, n, d, dtype, m, options.workers):.1f}" for side in sides),
    ]


# -- SRHT ------------------------------------------------------------------------------------------------


def by_srht(A: np.ndarray, k: int, workers: int) -> Call:
    S = srht(k, len(A), stream(0, "srht", k), like=A, workers=workers)
    return lambda: S @ A


def by_gaussian(A: np.ndarray, k: int, workers: int) -> Call:
    S = gaussian_sketch(k, len(A), stream(0, "gaussian", k), like=A)
    blas = ThreadpoolController()

    def call() -> np.ndarray:
        with blas.limit(limits=workers):
            return S @ A

    return call


def srht_instance(shape: tuple[int, int], axis: int, dtype: str) -> np.ndarray:
    """The matrix with the axis that is sketched first; in memory its rows stay rows."""
    A = matrix(*shape, dtype)
    return A if axis == 0 else A.T


def srht_ready(name: str, shape: tuple[int, int], axis: int, dtype: str, k: int, workers: int) -> Call:
    """A call of one side, everything lazily loaded in place."""
    make = {"ours": by_srht, "gaussian": by_gaussian}[name]
    make(matrix(512, 16, dtype), 8, workers)()
    call = make(srht_instance(shape, axis, dtype), k, workers)
    call()  # what a sketch keeps for the next product counts as part of it
    return call


def srht_row(shape: tuple[int, int], axis: int, dtype: str, k: int, options: argparse.Namespace) -> list[str]:
    A = srht_instance(shape, axis, dtype)
    makes = (by_srht, by_gaussian)
    calls = [make(A, k, options.workers) for make in makes]
    ours, gaussian = interleaved(calls, options.repeats, options.seconds)
    draws = [lambda make=make: make(A, k, options.workers) for make in makes]
    our_draw, gaussian_draw = interleaved(draws, 3, 0)
    sides = ("ours", "gaussian")
    return [
        f"{shape[0]} x {shape[1]}",
        f"{A.shape[0]} to {k}",
        dtype,
        *(f"{1e3 * t:.3g}" for t in (ours, gaussian, our_draw, gaussian_draw)),
        f"**{gaussian / ours:.3g}x**",
        f"{(gaussian + gaussian_draw) / (ours + our_draw):.3g}x",
        *(f"{distortion(call()[:, :16], A[:, :16]):.2g}" for call in calls),
        *(f"{extra_memory(srht_ready, side, shape, axis, dtype, k, options.workers):.1f}" for side in sides),
    ]


# -- tables ----------------------------------------------------------------------------------------------


def table(header: list[str], rows: list[tuple], row: Callable[..., list[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---:|" * len(header))
    for arguments in rows:
        print("| " + " | ".join(row(*arguments)) + " |", flush=True)
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="CountSketch and SRHT on CPU beside their peers.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads of either side")
    parser.add_argument("--repeats", type=int, default=9, help="turns of the interleaved calls")
    parser.add_argument("--seconds", type=float, default=20, help="no more turns after this long, but 3")
    options = parser.parse_args()
    n, shape = (10**5, (2500, 2048)) if options.quick else (10**6, (10**4, 4096))

    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))
    print(
        f"Python {platform.python_version()}, {libraries}; {platform.machine()}, {options.workers} threads."
    )
    print(f"Load average at the start: {load_average()}.\n")
    pair = ["distortion, ours", "distortion, peer", "extra MiB, ours", "extra MiB, peer"]
    table(
        [
            "matrix",
            "m",
            "dtype",
            "CountSketch, ms",
            "of this the product, ms",
            "SciPy, ms",
            "speed-up",
            *pair,
        ],
        [(n, 50, dtype, m, options) for dtype in ("float64", "float32") for m in (1000, 10_000)],
        count_row,
    )
    times = ["SRHT, ms", "Gaussian, ms", "drawing the SRHT, ms", "drawing the Gaussian, ms"]
    table(
        ["matrix", "sketch", "dtype", *times, "speed-up", "with the draw", *pair],
        [
            (shape, axis, dtype, k, options)
            for axis in (0, 1)
            for dtype in ("float64", "float32")
            for k in (256, 1024)
        ],
        srht_row,
    )
    print(f"Load average at the end: {load_average()}.")


if __name__ == "__main__":
    main()
