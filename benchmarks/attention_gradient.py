"""The gradient of attention through a polynomial, against PyTorch's autograd through exact attention, on CPU.

    pip install ".[bench]"        # or: PyTorch's CPU build beside the project's own dependencies
    python benchmarks/attention_gradient.py

Float32, d = 4, scale 1/d, entries uniform in [-B, B] with B = (ln n)^(1/4), so that the logits fill
[-sqrt(ln n), sqrt(ln n)]; both ends are planted. The gradient of <G, attention(Q, K, V)> in Q, K and V, G
uniform in [-1, 1]. The peer is a call of `scaled_dot_product_attention` and of autograd behind it: forward
and backward. It never holds the n x n matrix either. Ours is the gradient alone and needs no forward pass.
The degree g is certified (`exp_degree`): P is within a relative 1/n of the exponential whatever the input,
and we take the polynomial of degree g + 1 whose derivative P is (`integrated_coefficients`), which is as
close. Both sides have as many threads.

Calls are taken in turns, each timed one after an untimed one when it is short, and the median is reported.
Errors are the largest over all entries of the three gradients, over the largest entry, against autograd in
float64 (up to --exact). Extra memory is what the process grows by at its peak during one call, beyond inputs
and output, in a process of its own (Linux).
"""

from __future__ import annotations

import argparse
import math
import os
import platform
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch

from _timing import extra_memory, interleaved, load_average
from touchstone.arrays import stream
from touchstone.attention.polynomial_gradient import integrated_coefficients, polynomial_attention_vjp
from touchstone.functions.exponential import exp_coefficients, exp_degree
from touchstone.functions.monomials import monomial_plan
from touchstone.instances.bounded import bounded_entries

D = 4


class Gradients(tuple):
    """dQ, dK, dV, and the bytes that they take."""

    @property
    def nbytes(self) -> int:
        return sum(x.nbytes for x in self)


def instance(n: int) -> tuple[list[np.ndarray], float]:
    """Float32 Q, K, V and G, and the radius of the logits."""
    bound, rng = math.log(n) ** 0.25, stream(0, "gradient benchmark", n)
    arrays = [*bounded_entries(n, D, bound, rng), rng.uniform(-1, 1, (n, D))]
    return [x.astype(np.float32) for x in arrays], bound**2


def ours(n: int, workers: int) -> Callable[[], Gradients]:
    arrays, radius = instance(n)
    coefficients = integrated_coefficients(exp_coefficients(radius, exp_degree(radius, -math.log(n))), radius)
    plan = monomial_plan(D, len(coefficients) - 1)

    def call() -> Gradients:
        return Gradients(
            polynomial_attention_vjp(*arrays, coefficients, scale=1 / D, workers=workers, plan=plan)
        )

    return call


def peer(n: int, workers: int, dtype: torch.dtype = torch.float32) -> Callable[[], Gradients]:
    arrays, _ = instance(n)
    q, k, v, g = (torch.from_numpy(x)[None, None].to(dtype) for x in arrays)
    leaves = tuple(x.requires_grad_() for x in (q, k, v))

    def call() -> Gradients:
        torch.set_num_threads(workers)
        out = torch.nn.functional.scaled_dot_product_attention(*leaves, scale=1 / D)
        return Gradients(x[0, 0].numpy() for x in torch.autograd.grad(out, leaves, g))

    return call


def ready(name: str, n: int, workers: int) -> Callable[[], Gradients]:
    """A call of either side, with everything lazily loaded in place."""
    make = {"ours": ours, "peer": peer}[name]
    make(64, workers)()
    return make(n, workers)


def error(found: Gradients, exact: Gradients) -> float:
    largest = max(np.max(np.abs(x)) for x in exact)
    return float(max(np.max(np.abs(x - y)) for x, y in zip(found, exact, strict=True)) / largest)


def row(n: int, workers: int, repeats: int, seconds: float, exact: bool) -> list[str]:
    calls = [ours(n, workers), peer(n, workers)]
    times = interleaved(calls, repeats, seconds)
    errors = ["", ""]
    if exact:
        reference = peer(n, workers, torch.float64)()
        errors = [f"{n * error(call(), reference):.2g}" for call in calls]
    degree = exp_degree(math.sqrt(math.log(n)), -math.log(n))
    return [
        f"2^{n.bit_length() - 1}",
        f"{degree} ({monomial_plan(D, degree + 1).rank})",
        *(f"{1e3 * t:.3g}" for t in times),
        f"**{times[1] / times[0]:.3g}x**",
        *errors,
        *(f"{extra_memory(ready, name, n, workers):.1f}" for name in ("ours", "peer")),
    ]


HEADER = [
    "n",
    "degree (rank)",
    "ours, ms",
    "autograd, ms",
    "speed-up",
    "error × n, ours",
    "error × n, autograd",
    "extra MiB, ours",
    "extra MiB, autograd",
]


def main() -> None:
    parser = argparse.ArgumentParser(description="Gradient of polynomial attention against autograd on CPU.")
    parser.add_argument("--least", type=int, default=12, help="smallest n is 2^LEAST (default 12)")
    parser.add_argument("--most", type=int, default=16, help="largest n is 2^MOST (default 16)")
    parser.add_argument("--exact", type=int, default=16, help="errors up to n = 2^EXACT (default 16)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads of either side")
    parser.add_argument("--repeats", type=int, default=15, help="turns of the interleaved calls")
    parser.add_argument("--seconds", type=float, default=30, help="no more turns after this long, but 3")
    options = parser.parse_args()

    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "torch"))
    print(
        f"Python {platform.python_version()}, {libraries}; {platform.machine()}, {options.workers} threads."
    )
    print(f"Load average at the start: {load_average()}.\n")
    print("| " + " | ".join(HEADER) + " |")
    print("|" + "---:|" * len(HEADER))
    for p in range(options.least, options.most + 1):
        cells = row(2**p, options.workers, options.repeats, options.seconds, p <= options.exact)
        print("| " + " | ".join(cells) + " |", flush=True)
    print(f"\nLoad average at the end: {load_average()}.")


if __name__ == "__main__":
    main()
