"""HyperAttention against PyTorch's exact attention on CPU: one table of time, error and memory.

    pip install ".[bench]"        # or: PyTorch's CPU build beside the project's own dependencies
    python benchmarks/hyper_attention.py

Float32, d = 64 columns of keys and of values, values Gaussian. First *planted* inputs: keys uniform on the
sphere, every query ln n times the key of its partner, so that the partner's weight is 0.25 to 0.37. Then
*Gaussian* ones, logits of standard deviation 1, where there is nothing to find. The peer is
`scaled_dot_product_attention`, the fastest exact attention on CPU that we know of, with as many threads as we
take. It never holds the n x n matrix either.

*Ours* is `sorted_block_attention`: blocks of 256 keys from the sorted hash, and 256 or 1024 shared samples
for all other pairs. Hashing and sorting are inside the clock. The hash has log2(n) bits. *recall* is the
share of the queries whose partner is in their block. Two columns show why the bits must grow: with a fixed
number of 8, buckets grow with n beyond the blocks, the planted pairs are lost, and the error grows.

Errors are root mean squares over the entries, whose values have size 1, on all rows up to n = 2^14 and on 512
random ones beyond, against exact attention in float64. *mean of V* is the error of the trivial answer. Calls
are taken in turns, after one that does not count, and the median is reported; from n = 2^17 on the peer is
called once. Extra memory is what the process grows by at its peak during one call, beyond inputs and output,
in a process of its own (Linux).
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
import torch

from _timing import extra_memory, interleaved, load_average
from touchstone.arrays import single_threaded_blas, stream
from touchstone.attention.exact import attention
from touchstone.attention.sorted_blocks import sorted_block_attention
from touchstone.attention.sorted_mask import SortedMask, sorted_lsh_mask
from touchstone.instances.planted_pairs import planted_pairs
from touchstone.sketching.hashing import hyperplane_hash

D, BLOCK, SAMPLES = 64, 256, (256, 1024)
FIXED_BITS = 8
SAMPLED_FROM = 2**14  # beyond, errors are measured on sampled rows
ONCE_FROM = 2**17  # from here on the peer takes most of a minute

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def instance(kind: str, n: int) -> tuple[Arrays, np.ndarray | None]:
    """Float32 queries, keys and values, and each query's partner where there is one."""
    rng = stream(0, "hyper attention", kind, n)
    if kind == "planted":
        Q, K, partner = planted_pairs(n, D, math.log(n), rng)
    else:
        Q, K, partner = rng.standard_normal((n, D)) / math.sqrt(D), rng.standard_normal((n, D)), None
    V = rng.standard_normal((n, D))
    return tuple(x.astype(np.float32) for x in (Q, K, V)), partner


def masked(Q: np.ndarray, K: np.ndarray, bits: int | None = None) -> SortedMask:
    n = Q.shape[0]
    hash = hyperplane_hash(D, bits or n.bit_length() - 1, stream(0, "hash", n), like=Q)
    return sorted_lsh_mask(Q, K, hash, BLOCK)


def ours(arrays: Arrays, m: int, workers: int, bits: int | None = None) -> Callable[[], np.ndarray]:
    Q, K, V = arrays

    def call() -> np.ndarray:
        with single_threaded_blas():  # a pool of BLAS threads would go on spinning on our threads' cores
            mask = masked(Q, K, bits)
        return sorted_block_attention(Q, K, V, mask, m, stream(0, "samples", len(Q), m), workers=workers)

    return call


def peer(arrays: Arrays, workers: int) -> Callable[[], np.ndarray]:
    q, k, v = (torch.from_numpy(x)[None, None] for x in arrays)
    exact = torch.nn.functional.scaled_dot_product_attention

    def call() -> np.ndarray:
        torch.set_num_threads(workers)
        return exact(q, k, v, scale=1)[0, 0].numpy()

    return call


def ready(name: str, kind: str, n: int, m: int, workers: int) -> Callable[[], np.ndarray]:
    """A call of either side, with everything lazily loaded in place."""
    (arrays, _), (small, _) = instance(kind, n), instance(kind, 512)
    if name == "ours":
        ours(small, m, workers)()
        return ours(arrays, m, workers)
    peer(small, workers)()
    return peer(arrays, workers)


def recall(arrays: Arrays, partner: np.ndarray | None, bits: int | None = None) -> str:
    if partner is None:
        return ""
    mask = masked(*arrays[:2], bits)
    return f"{np.mean(mask.key_blocks[partner] == mask.query_blocks):.3f}"


def rows_of(kind: str, n: int, workers: int, repeats: int, seconds: float) -> list[list[str]]:
    """A row for each number of samples."""
    arrays, partner = instance(kind, n)
    calls = [ours(arrays, m, workers) for m in SAMPLES]
    if n < ONCE_FROM:
        *times, exact_time = interleaved([*calls, peer(arrays, workers)], repeats, seconds)
    else:
        times = interleaved(calls, repeats, seconds)
        begin = perf_counter()
        peer(arrays, workers)()
        exact_time = perf_counter() - begin
    rows = np.arange(n) if n <= SAMPLED_FROM else stream(0, "rows", n).choice(n, 512, replace=False)
    Q, K, V = (x.astype(np.float64) for x in arrays)
    exact = attention(Q[rows], K, V, scale=1, block=256)

    def error(found: np.ndarray) -> str:
        return f"{math.sqrt(np.mean((found - exact) ** 2)):.2g}"

    exact_memory = extra_memory(ready, "peer", kind, n, SAMPLES[0], workers)
    found = [recall(arrays, partner, bits) for bits in (None, FIXED_BITS)]
    return [
        [
            kind,
            f"2^{n.bit_length() - 1}",
            str(m),
            f"{1e3 * time:.3g}",
            f"{1e3 * exact_time:.3g}",
            f"**{exact_time / time:.3g}x**",
            error(call()[rows]),
            error(V.mean(axis=0)),
            found[0],
            found[1],
            error(ours(arrays, m, workers, FIXED_BITS)()[rows]),
            f"{extra_memory(ready, 'ours', kind, n, m, workers):.1f}",
            f"{exact_memory:.1f}",
        ]
        for m, time, call in zip(SAMPLES, times, calls, strict=True)
    ]


HEADER = [
    "input",
    "n",
    "samples",
    "ours, ms",
    "exact peer, ms",
    "speed-up",
    "error",
    "error, mean of V",
    "recall",
    f"recall, {FIXED_BITS} bits",
    f"error, {FIXED_BITS} bits",
    "extra MiB, ours",
    "extra MiB, peer",
]


def main() -> None:
    parser = argparse.ArgumentParser(description="HyperAttention against exact attention on CPU.")
    parser.add_argument("--least", type=int, default=12, help="smallest n is 2^LEAST (default 12)")
    parser.add_argument("--most", type=int, default=17, help="largest n is 2^MOST (default 17)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads of either side")
    parser.add_argument("--repeats", type=int, default=7, help="turns of the interleaved calls")
    parser.add_argument("--seconds", type=float, default=20, help="no more turns after this long, but 3")
    options = parser.parse_args()

    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "torch"))
    print(
        f"Python {platform.python_version()}, {libraries}; {platform.machine()}, {options.workers} threads."
    )
    print(f"Load average at the start: {load_average()}.\n")
    print("| " + " | ".join(HEADER) + " |")
    print("|:---|" + "---:|" * (len(HEADER) - 1))
    for kind, most in (("planted", options.most), ("Gaussian", min(16, options.most))):
        for p in range(options.least, most + 1, 1 if kind == "planted" else 2):
            for cells in rows_of(kind, 2**p, options.workers, options.repeats, options.seconds):
                print("| " + " | ".join(cells) + " |", flush=True)
    print(f"\nLoad average at the end: {load_average()}.")


if __name__ == "__main__":
    main()
