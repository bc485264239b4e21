"""HyperAttention against PyTorch's exact attention on CPU. Two tables.

    python benchmarks/hyper_attention.py            # --most 14 for a short run

Needs PyTorch (`pip install ".[bench]"`); reads nothing and writes to standard output only. Float32, d = 64, a
standard Gaussian V of 64 columns, logits <q, k> without a scale, blocks of 256, m = 256 and m = 1024 samples,
hyperplanes and samples drawn in every call. Ours is `sorted_block_attention` with the mask of
`sorted_lsh_mask`: hash, sort, blocks exactly, all other keys by the same m samples. The peer is
`scaled_dot_product_attention`, the fastest exact attention on CPU that we know of, with as many threads as we
take. Calls are taken in turns, each timed one after an untimed one when it is short, and the median is
reported.

*Planted*: keys on the unit sphere, q_i = ln n times its partner. The partner's weight is about
1/(1 + e^((ln n)^2 / 128)), which is 0.37 at n = 2^12 and 0.25 at 2^17: neither sampling alone nor the mean of
V will do. *Gaussian*: logits of deviation 1/2, nothing to find.

Errors are root mean squares over all entries, against exact attention in float64 on 1024 random rows. An
entry of V has the size 1, one of the exact answer that of the column *answer 0*. *mean of V* is the other
trivial answer. *Pairs found* is the share of queries whose partner lies in their block, with log2 n bits in
the hash and with 8 bits at any n. Extra memory is what the process grows by at its peak during one call with
m = 1024, beyond inputs and output, in a process of its own (Linux).
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
from touchstone.attention.exact import attention
from touchstone.attention.sorted_blocks import sorted_block_attention
from touchstone.attention.sorted_mask import SortedMask, sorted_lsh_mask
from touchstone.instances.planted_pairs import planted_pairs
from touchstone.sketching.hashing import hyperplane_hash

D = 64
BLOCK = 256
SAMPLES = (256, 1024)
FEW_BITS = 8
CHECKED = 1024

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
Call = Callable[[], np.ndarray]


def instance(n: int, kind: str) -> tuple[Arrays, np.ndarray | None]:
    """Float32 queries, keys and values, and the partner of each query."""
    rng = stream(0, "benchmark", kind, n)
    partner = None
    if kind == "planted":
        Q, K, partner = planted_pairs(n, D, math.log(n), rng)
    else:
        Q, K = math.sqrt(1 / 2) * D ** (-1 / 4) * rng.standard_normal((2, n, D))
    V = rng.standard_normal((n, D))
    return tuple(x.astype(np.float32) for x in (Q, K, V)), partner


def hashed(Q: np.ndarray, K: np.ndarray, bits: int, rng: np.random.Generator) -> SortedMask:
    return sorted_lsh_mask(Q, K, hyperplane_hash(D, bits, rng, like=Q), BLOCK)


def ours(arrays: Arrays, m: int, workers: int, bits: int | None = None) -> Call:
    Q, K, V = arrays
    bits = (len(Q) - 1).bit_length() if bits is None else bits

    def call() -> np.ndarray:
        rng = stream(0, "call")
        return sorted_block_attention(Q, K, V, hashed(Q, K, bits, rng), m, rng, workers=workers)

    return call


def peer(arrays: Arrays, workers: int) -> Call:
    q, k, v = (torch.from_numpy(x)[None, None] for x in arrays)
    exact = torch.nn.functional.scaled_dot_product_attention

    def call() -> np.ndarray:
        torch.set_num_threads(workers)
        return exact(q, k, v, scale=1.0)[0, 0].numpy()

    return call


def ready(name: str, n: int, workers: int) -> Call:
    """A call of one side, with everything lazily loaded in place."""
    for size in (512, n):
        arrays, _ = instance(size, "planted")
        call = ours(arrays, SAMPLES[-1], workers) if name == "ours" else peer(arrays, workers)
        if size < n:
            call()
    return call


def root_mean_square(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype="float64"))))


def errors(arrays: Arrays, calls: list[Call]) -> list[float]:
    """Of each call, then of the mean of V and of the answer 0."""
    rows = stream(0, "rows").permutation(len(arrays[0]))[:CHECKED]
    Q, K, V = (x.astype("float64") for x in arrays)
    exact = attention(Q[rows], K, V, scale=1, block=128)
    found = [root_mean_square(call()[rows] - exact) for call in calls]
    return [*found, root_mean_square(V.mean(axis=0) - exact), root_mean_square(exact)]


def pairs_found(arrays: Arrays, partner: np.ndarray, bits: int) -> float:
    mask = hashed(arrays[0], arrays[1], bits, stream(0, "call"))
    return float(np.mean(mask.query_blocks == mask.key_blocks[partner]))


def planted_row(n: int, options: argparse.Namespace) -> list[str]:
    arrays, partner = instance(n, "planted")
    bits, workers = (n - 1).bit_length(), options.workers
    calls = [ours(arrays, m, workers) for m in SAMPLES]
    exact = peer(arrays, workers)
    *times, t_exact = interleaved([*calls, exact], options.repeats, options.seconds)
    found = errors(arrays, [*calls, ours(arrays, SAMPLES[-1], workers, FEW_BITS), exact])
    return [
        f"2^{bits}",
        *(f"{1e3 * t:.3g}" for t in (*times, t_exact)),
        *(f"**{t_exact / t:.3g}x**" for t in times),
        *(f"{e:.2g}" for e in found),
        *(f"{pairs_found(arrays, partner, b):.1%}" for b in (bits, FEW_BITS)),
        *(f"{extra_memory(ready, name, n, workers):.1f}" for name in ("ours", "peer")),
    ]


def gaussian_row(n: int, options: argparse.Namespace) -> list[str]:
    arrays, _ = instance(n, "gaussian")
    found = errors(arrays, [ours(arrays, m, options.workers) for m in SAMPLES])
    return [f"2^{n.bit_length() - 1}", *(f"{e:.2g}" for e in found)]


OURS = [f"m = {m}" for m in SAMPLES]
PLANTED = [
    "n",
    *(f"{name}, ms" for name in (*OURS, "exact")),
    *(f"speed-up, {name}" for name in OURS),
    *(f"error, {name}" for name in (*OURS, f"{FEW_BITS} bits", "exact")),
    "error, mean of V",
    "error, answer 0",
    "pairs found, log2 n bits",
    f"pairs found, {FEW_BITS} bits",
    "extra MiB, ours",
    "extra MiB, exact",
]
GAUSSIAN = ["n", *(f"error, {name}" for name in (*OURS, "mean of V", "answer 0"))]


def table(header: list[str], row: Callable[..., list[str]], options: argparse.Namespace) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---:|" * len(header))
    for p in range(options.least, options.most + 1):
        print("| " + " | ".join(row(2**p, options)) + " |", flush=True)
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="HyperAttention against exact attention on CPU.")
    parser.add_argument("--least", type=int, default=12, help="smallest n is 2^LEAST (default 12)")
    parser.add_argument("--most", type=int, default=17, help="largest n is 2^MOST (default 17)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads of either side")
    parser.add_argument("--repeats", type=int, default=9, help="turns of the interleaved calls")
    parser.add_argument("--seconds", type=float, default=20, help="no more turns after this long, but 3")
    options = parser.parse_args()

    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "torch"))
    print(
        f"Python {platform.python_version()}, {libraries}; {platform.machine()}, {options.workers} threads."
    )
    print(f"Load average at the start: {load_average()}.\n")
    print("Planted logits of size ln n:\n")
    table(PLANTED, planted_row, options)
    print("Gaussian logits of deviation 1/2:\n")
    table(GAUSSIAN, gaussian_row, options)
    print(f"Load average at the end: {load_average()}.")


if __name__ == "__main__":
    main()
