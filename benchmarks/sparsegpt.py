"""SparseGPT on one layer: lazy updates against eager ones, in seconds. One table.

    python benchmarks/sparsegpt.py
    python benchmarks/sparsegpt.py --quick

Reads nothing and writes to standard output only; needs nothing beyond the library. A square layer of 512 to
4096 columns in float64 and float32, half of the weights pruned in mask blocks of 128. The matrix U of the
inputs is computed once, outside the clock: it is the same for all.

*eager*: `prune_columns` with blocks of one column, as the algorithm is written down: every column moves all
later ones. *in place*: the fastest eager sweep that we know of, one rank-one update of BLAS (`ger`) a
column on a matrix that lies as BLAS wants it, nothing allocated; it follows a mask found before, so that it
does not even choose one. It is the baseline. *lazy, B*: one level of blocks. *nested*: blocks of 512, 128,
32 and 8 columns in one another. All run on as many BLAS threads as asked for.

Calls are taken in turns, after one that does not count, and the median is reported; a call longer than
`--seconds` is made once. *difference*: the largest entry by which the weights of the lazy sweep (B = 128)
differ from those of the one in place, over the largest weight. *masks differ*: the number of entries that
the lazy and the eager sweep do not treat alike; in float32 rounding decides near ties.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from statistics import median
from time import perf_counter

import numpy as np
from scipy.linalg import get_blas_funcs
from threadpoolctl import threadpool_limits

from _timing import load_average
from touchstone.arrays import stream
from touchstone.learning.sparsegpt import inverse_factor, prune_columns

MASK_BLOCK, FRACTION, DAMPING = 128, 0.5, 0.01
WIDTHS: dict[str, int | tuple[int, ...]] = {
    "lazy, 32": 32,
    "lazy, 128": 128,
    "lazy, 512": 512,
    "nested": (512, 128, 32, 8),
}

Call = Callable[[], tuple[np.ndarray, np.ndarray]]


def layer(d: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Weights, and U of inputs whose coordinates are correlated."""
    rng = stream(0, "layer", d)
    mixing = np.eye(d) + 2 * rng.standard_normal((d, d)) / np.sqrt(d)
    U = inverse_factor(mixing @ rng.standard_normal((d, 2 * d)), DAMPING)
    return rng.standard_normal((d, d)).astype(dtype), U.astype(dtype)


def with_blocks(W: np.ndarray, U: np.ndarray, block: int | tuple[int, ...]) -> Call:
    return lambda: prune_columns(W, U, block, MASK_BLOCK, FRACTION)


def in_place(W: np.ndarray, U: np.ndarray, mask: np.ndarray) -> Call:
    """Column by column with one call of BLAS each, on a Fortran-ordered copy."""
    ger = get_blas_funcs("ger", dtype=W.dtype)
    dropped = np.asfortranarray(~mask)

    def call() -> tuple[np.ndarray, np.ndarray]:
        work = W.copy(order="F")
        for j in range(W.shape[1]):
            error = np.where(dropped[:, j], work[:, j] / U[j, j], 0)
            ger(-1, error, U[j, j:], a=work[:, j:], overwrite_a=True)
        work[dropped] = 0
        return work, mask

    return call


def timed(
    calls: list[Call], repeats: int, seconds: float
) -> tuple[list[float], list[tuple[np.ndarray, np.ndarray]]]:
    """Median seconds of each call in turns, and what it returned; a long first call is the only one."""
    times: list[list[float]] = [[] for _ in calls]
    results = []
    for call, taken in zip(calls, times, strict=True):
        start = perf_counter()
        results.append(call())
        taken.append(perf_counter() - start)
    short = [at for at, taken in enumerate(times) if taken[0] <= seconds]
    for at in short:
        times[at].clear()  # a first call also loads and allocates
    for _ in range(repeats):
        for at in short:
            start = perf_counter()
            calls[at]()
            times[at].append(perf_counter() - start)
    return [median(taken) for taken in times], results


def row(d: int, dtype: str, options: argparse.Namespace) -> list[str]:
    W, U = layer(d, dtype)
    mask = with_blocks(W, U, 128)()[1]
    calls = [with_blocks(W, U, 1), in_place(W, U, mask)]
    calls += [with_blocks(W, U, block) for block in WIDTHS.values()]
    times, results = timed(calls, options.repeats, options.seconds)
    eager, baseline, *rest = times
    lazy, nested = (rest[list(WIDTHS).index(name)] for name in ("lazy, 128", "nested"))
    weights = results[2 + list(WIDTHS).index("lazy, 128")][0]
    difference = np.max(np.abs(weights - results[1][0])) / np.max(np.abs(W))
    return [
        str(d),
        dtype,
        *(f"{t:.3g}" for t in times),
        f"**{baseline / lazy:.3g}x**",
        f"**{baseline / nested:.3g}x**",
        f"{eager / lazy:.3g}x",
        f"{difference:.1e}",
        str(int(np.sum(results[0][1] != mask))),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="SparseGPT: lazy against eager updates, in seconds.")
    parser.add_argument("--quick", action="store_true", help="512 and 1024 columns only")
    parser.add_argument("--most", type=int, default=12, help="largest d is 2^MOST (default 12)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="BLAS threads")
    parser.add_argument("--repeats", type=int, default=5, help="turns of the calls")
    parser.add_argument("--seconds", type=float, default=5, help="calls longer than this are timed once")
    options = parser.parse_args()
    sizes = [2**p for p in range(9, (10 if options.quick else options.most) + 1)]

    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy"))
    print(
        f"Python {platform.python_version()}, {libraries}; {platform.machine()}, {options.workers} threads."
    )
    print(f"Load average at the start: {load_average()}.\n")
    header = ["d", "dtype", "eager, s", "in place, s", *(f"{name}, s" for name in WIDTHS)]
    header += ["lazy 128 against in place", "nested against in place", "lazy 128 against eager"]
    header += ["difference", "masks differ"]
    print("| " + " | ".join(header) + " |")
    print("|" + "---:|" * len(header))
    with threadpool_limits(limits=options.workers, user_api="blas"):
        for dtype in ("float64", "float32"):
            for d in sizes:
                print("| " + " | ".join(row(d, dtype, options)) + " |", flush=True)
    print(f"\nLoad average at the end: {load_average()}.")


if __name__ == "__main__":
    main()
