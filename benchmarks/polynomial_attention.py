"""Polynomial-method attention against PyTorch's exact attention on CPU: one table of time, error and memory.

    pip install ".[bench]"        # or: PyTorch's CPU build beside the project's own dependencies
    python benchmarks/polynomial_attention.py

Float32, scale 1/d, entries uniform in [-B, B] with B = (ln n)^(1/4), so that the logits fill
[-sqrt(ln n), sqrt(ln n)]; both ends are planted. First d = 4 and every n, then n = 2^14 and other d: the
rank C(d + g, g) soon makes the method slower than what it replaces. The peer is
`scaled_dot_product_attention`, the fastest exact attention on CPU that we know of, with as many threads as we
take. Calls are taken in turns, each timed one after an untimed one when it is
short, and the median is reported. Two degrees of the polynomial:

- *certified*: every weight is right to a relative 1/n whatever the input, in exact arithmetic (`exp_degree`);
- *output*: the least degree whose output error on 32 queries is at most 1/(2n) (`output_degree`). Finding it
  is timed in a column of its own: it pays once for inputs of one kind.

Errors are the largest over all entries against exact attention in float64, on all rows up to n = 2^14 and
beyond on 512 rows (the 32 of largest norm, where the polynomial is worst, and others at random). *mean of V*
is the error of the trivial answer. Extra memory is what the process grows by at its peak during one call,
beyond inputs and output, in a process of its own (Linux).
"""

from __future__ import annotations

import argparse
import math
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise

import numpy as np
import torch

from _timing import extra_memory, interleaved, load_average
from touchstone.arrays import stream
from touchstone.attention.exact import attention
from touchstone.attention.polynomial import polynomial_attention
from touchstone.attention.polynomial_degree import output_degree
from touchstone.functions.exponential import exp_coefficients, exp_degree
from touchstone.functions.monomials import monomial_plan
from touchstone.instances.bounded import bounded_entries

SAMPLED_FROM = 2**14  # beyond, errors are measured on sampled rows

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def instance(n: int, d: int) -> tuple[Arrays, float]:
    """Float32 queries, keys and values, and the radius of their logits."""
    bound = math.log(n) ** 0.25
    Q, K, V = (x.astype(np.float32) for x in bounded_entries(n, d, bound, stream(0, "benchmark", n, d)))
    return (Q, K, V), bound**2


def ours(arrays: Arrays, radius: float, degree: int, workers: int) -> Callable[[], np.ndarray]:
    coefficients = exp_coefficients(radius, degree)
    return lambda: polynomial_attention(*arrays, coefficients, scale=1 / arrays[0].shape[1], workers=workers)


def peer(arrays: Arrays, workers: int) -> Callable[[], np.ndarray]:
    q, k, v = (torch.from_numpy(x)[None, None] for x in arrays)
    exact = torch.nn.functional.scaled_dot_product_attention

    def call() -> np.ndarray:
        torch.set_num_threads(workers)
        return exact(q, k, v, scale=1 / q.shape[-1])[0, 0].numpy()

    return call


def checked_rows(Q: np.ndarray, n: int) -> np.ndarray:
    if n <= SAMPLED_FROM:
        return np.arange(n)
    order = np.argsort(np.sum(Q * Q, axis=1))
    others = stream(0, "rows", n).choice(order[:-32], 480, replace=False)
    return np.concatenate([order[-32:], others])


def ready(name: str, n: int, d: int, degree: int, workers: int) -> Callable[[], np.ndarray]:
    """A call of either side, with everything lazily loaded in place."""
    arrays, radius = instance(n, d)
    small, small_radius = instance(64, d)
    if name == "ours":
        ours(small, small_radius, degree, workers)()
        return ours(arrays, radius, degree, workers)
    peer(small, workers)()
    return peer(arrays, workers)


def row(n: int, d: int, workers: int, repeats: int, seconds: float) -> tuple[list[str], float]:
    """The row of ``n`` and ``d``, and the speed-up with the certified degree."""
    arrays, radius = instance(n, d)
    Q, K, V = arrays
    certified = exp_degree(radius, -math.log(n))

    def choose() -> int:
        rng = stream(0, "sample", n)
        return output_degree(Q, K, V, scale=1 / d, radius=radius, tol=1 / n, rng=rng, workers=workers)

    output = choose()
    calls = [
        ours(arrays, radius, certified, workers),
        ours(arrays, radius, output, workers),
        peer(arrays, workers),
    ]
    *times, t_choose = interleaved([*calls, choose], repeats, seconds)

    rows = checked_rows(Q, n)
    wide = [x.astype(np.float64) for x in arrays]
    exact = attention(wide[0][rows], wide[1], wide[2], scale=1 / d, block=256)
    errors = [float(np.max(np.abs(call()[rows] - exact))) for call in calls]
    trivial = float(np.max(np.abs(np.mean(wide[2], axis=0) - exact)))
    cells = [
        f"2^{n.bit_length() - 1}",
        str(d),
        f"{certified} ({monomial_plan(d, certified).rank})",
        f"{output} ({monomial_plan(d, output).rank})",
        *(f"{1e3 * t:.3g}" for t in times),
        f"{1e3 * t_choose:.3g}",
        f"**{times[2] / times[0]:.3g}x**",
        f"**{times[2] / times[1]:.3g}x**",
        f"{times[2] / (times[1] + t_choose):.3g}x",
        *(f"{e * n:.2g}" for e in errors),
        f"{trivial * n:.3g}",
        f"{extra_memory(ready, 'ours', n, d, certified, workers):.1f}",
        f"{extra_memory(ready, 'peer', n, d, certified, workers):.1f}",
    ]
    return cells, times[2] / times[0]


HEADER = [
    "n",
    "d",
    "degree (rank), certified",
    "degree (rank), output",
    "certified, ms",
    "output, ms",
    "exact peer, ms",
    "choosing the degree, ms",
    "speed-up, certified",
    "speed-up, output",
    "with the choice",
    "error × n, certified",
    "error × n, output",
    "error × n, peer",
    "error × n, mean of V",
    "extra MiB, certified",
    "extra MiB, peer",
]


def main() -> None:
    parser = argparse.ArgumentParser(description="Polynomial attention against exact attention on CPU.")
    parser.add_argument("--least", type=int, default=6, help="smallest n is 2^LEAST (default 6)")
    parser.add_argument("--most", type=int, default=17, help="largest n is 2^MOST (default 17)")
    parser.add_argument(
        "--dimensions",
        type=int,
        nargs="*",
        default=[2, 6, 8],
        help="other d, at n = 2^14 (default 2 6 8)",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads of either side")
    parser.add_argument("--repeats", type=int, default=15, help="turns of the interleaved calls")
    parser.add_argument("--seconds", type=float, default=20, help="no more turns after this long, but 3")
    options = parser.parse_args()

    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "torch"))
    print(
        f"Python {platform.python_version()}, {libraries}; {platform.machine()}, {options.workers} threads."
    )
    print(f"Load average at the start: {load_average()}.\n")
    print("| " + " | ".join(HEADER) + " |")
    print("|" + "---:|" * len(HEADER))
    speed_ups = []
    for p in range(options.least, options.most + 1):
        cells, speed_up = row(2**p, 4, options.workers, options.repeats, options.seconds)
        speed_ups.append((p, speed_up))
        print("| " + " | ".join(cells) + " |", flush=True)
    for d in options.dimensions:
        cells, _ = row(2**14, d, options.workers, options.repeats, options.seconds)
        print("| " + " | ".join(cells) + " |", flush=True)
    print(f"\n{crossover(speed_ups)} Load average at the end: {load_average()}.")


def crossover(speed_ups: list[tuple[int, float]]) -> str:
    """Where the certified polynomial starts to win for good."""
    ahead = [p for p, s in speed_ups if s > 1]
    behind = [p for p, s in speed_ups if s <= 1]
    if not ahead:
        return f"At d = 4 no crossover up to n = 2^{speed_ups[-1][0]}."
    if not behind:
        return f"At d = 4 the certified polynomial is ahead at every n tried, from 2^{ahead[0]}."
    last = max(behind)
    if last == speed_ups[-1][0]:
        return f"At d = 4 behind at n = 2^{last}, the largest tried."
    (p, s), (_, after) = next(pair for pair in pairwise(speed_ups) if pair[0][0] == last)
    exponent = p - math.log(s) / math.log(after / s)
    return f"Crossover of the certified polynomial at d = 4: n about 2^{exponent:.1f} = {2**exponent:.0f}."


if __name__ == "__main__":
    main()
