"""Causal convolution, and attention made of a few convolutions, on CPU beside their peers. Two tables.

    python benchmarks/convolution.py

Needs PyTorch (`pip install ".[bench]"`); reads nothing and writes to standard output only. Calls are taken in
turns, each timed one after an untimed one when it is short, and the median is reported; extra memory is what
the process grows by at its peak during one call, beyond inputs and output, in a process of its own (Linux).

*Convolution*: the product of a lower-triangular Toeplitz matrix, given by its first column, and an (n, 64)
array. Peers: the best dense method that we know of, which forms each Toeplitz block once and applies it with
one matrix product to all places where it stands (block sizes 256 to 2048, the fastest is taken, BLAS with as
many threads as we take); and `scipy.fft` along the long axis as one would write it down, with one thread and
with as many as we take. Errors are
relative to the largest entry, against long double on eight columns.

*Attention*: causal, d = 64, float32, logits that are a sum of k convolutions (rotary positions; the content
of the keys changes at k - 1 places). Ours finds the breaks from the columns it reads (`conv_recover`), then
applies the sum; the search is included and also shown alone. Peers: PyTorch's `scaled_dot_product_attention`
with `is_causal`, the fastest exact attention on CPU that we know of, and the library's own exact attention.
Errors are the largest over all entries against exact attention in float64, on sampled rows; *mean so far* is
that of the trivial answer, in which every token sees the plain mean of the values up to it.
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
from scipy import fft
from scipy.linalg import get_blas_funcs

from _timing import extra_memory, interleaved, load_average
from touchstone.arrays import single_threaded_blas, stream
from touchstone.attention.conv_basis import ConvBasis, conv_attention, conv_recover
from touchstone.attention.exact import attention
from touchstone.linalg.toeplitz import lower_toeplitz_apply

D = 64
SEARCH = {"T": 4, "delta": 0.1, "eps": 1e-5}  # window and size of a break; float32 rounding of a logit

Call = Callable[[], np.ndarray]


# -- convolution -----------------------------------------------------------------------------------------


def convolution(n: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = stream(0, "convolution", n)
    return rng.standard_normal(n).astype(dtype), rng.standard_normal((n, D)).astype(dtype)


def ours(b: np.ndarray, V: np.ndarray, workers: int) -> Call:
    return lambda: lower_toeplitz_apply(b, len(b), V, workers=workers)


def dense(b: np.ndarray, V: np.ndarray, block: int) -> Call:
    """Block I of the result is the sum over J <= I of T_{I-J} V_J: one product for each T, added in place."""
    n, block = len(b), min(block, len(b))
    count = n // block
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([np.zeros(block - 1, b.dtype), b]), block
    )
    gemm = get_blas_funcs("gemm", dtype=b.dtype)

    def call() -> np.ndarray:
        # the blocks of V side by side, (block, count * D), columns contiguous
        side_by_side = V.reshape(count, block, D).transpose(0, 2, 1).reshape(-1, block).T
        total = np.zeros((count * D, block), b.dtype).T
        for k in range(count):
            # entry (r, c) is b[k * block + r - c], and zero where that is negative
            T = np.asfortranarray(windows[k * block : (k + 1) * block, ::-1])
            gemm(1, T, side_by_side[:, : (count - k) * D], beta=1, c=total[:, k * D :], overwrite_c=True)
        return total.T.reshape(count, D, block).transpose(0, 2, 1).reshape(n, D)

    return call


def plain_fft(b: np.ndarray, V: np.ndarray, workers: int) -> Call:
    n = len(b)
    length = fft.next_fast_len(2 * n - 1, real=True)

    def call() -> np.ndarray:
        spectrum = fft.rfft(b, n=length)
        product = spectrum[:, None] * fft.rfft(V, n=length, axis=0, workers=workers)
        return fft.irfft(product, n=length, axis=0, workers=workers)[:n]

    return call


def ready(name: str, n: int, dtype: str, argument: int) -> Call:
    """A call of one side, everything lazily loaded in place."""
    make = {"ours": ours, "dense": dense, "fft": plain_fft}[name]
    make(*convolution(512, dtype), argument)()
    return make(*convolution(n, dtype), argument)


def convolution_row(n: int, dtype: str, options: argparse.Namespace) -> list[str]:
    b, V = convolution(n, dtype)
    blocks = [m for m in (256, 512, 1024, 2048) if m <= n]
    trials = interleaved([dense(b, V, m) for m in blocks], 3, 0)
    block = blocks[int(np.argmin(trials))]
    calls = [
        ours(b, V, options.workers),
        dense(b, V, block),
        plain_fft(b, V, 1),
        plain_fft(b, V, options.workers),
    ]
    times = interleaved(calls, options.repeats, options.seconds)
    few = slice(0, 8)
    exact = plain_fft(b.astype(np.longdouble), V[:, few].astype(np.longdouble), 1)()
    errors = [float(np.max(np.abs(call()[:, few] - exact)) / np.max(np.abs(exact))) for call in calls[:3]]
    sides = [("ours", options.workers), ("dense", block), ("fft", 1)]
    memory = [extra_memory(ready, name, n, dtype, argument) for name, argument in sides]
    return [
        power(n),
        dtype,
        *(f"{1e3 * t:.3g}" for t in times),
        *(f"**{t / times[0]:.3g}x**" for t in times[1:]),
        *(f"{e:.1e}" for e in errors),
        *(f"{m:.1f}" for m in memory),
    ]


# -- attention -------------------------------------------------------------------------------------------


Logits = tuple[np.ndarray, np.ndarray, np.ndarray]


def rotary(content: np.ndarray) -> np.ndarray:
    """Row i of ``content`` (n, D), pairs of its features turned by i steps at D / 2 frequencies."""
    angle = np.arange(len(content))[:, None] * 10_000.0 ** (-2 * np.arange(D // 2) / D)
    a, b = content[:, : D // 2], content[:, D // 2 :]
    return np.hstack([a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)])


def instance(n: int, k: int) -> Logits:
    """Float32 queries, keys and values whose logits, at scale 1, are a sum of ``k`` convolutions."""
    rng = stream(0, "conv attention", n, k)
    q, contents = rng.standard_normal(D), rng.standard_normal((k, D))
    starts = [0, *sorted(rng.choice(np.arange(1, n - SEARCH["T"]), k - 1, replace=False).tolist())]
    segment = np.searchsorted(starts, np.arange(n), side="right") - 1
    Q, K = rotary(np.tile(q, (n, 1))) / math.sqrt(D), rotary(contents[segment])
    return Q.astype("float32"), K.astype("float32"), rng.uniform(-1, 1, (n, D)).astype("float32")


def search(Q: np.ndarray, K: np.ndarray, k: int) -> ConvBasis:
    return conv_recover(lambda j: Q @ K[j], len(Q), k, **SEARCH)


def by_sum(arrays: Logits, k: int, workers: int) -> Call:
    Q, K, V = arrays

    def call() -> np.ndarray:
        with single_threaded_blas():  # the search is products with vectors
            return conv_attention(search(Q, K, k), V, workers=workers)

    return call


def by_peer(arrays: Logits, workers: int) -> Call:
    q, k, v = (torch.from_numpy(x)[None, None] for x in arrays)
    exact = torch.nn.functional.scaled_dot_product_attention

    def call() -> np.ndarray:
        torch.set_num_threads(workers)
        return exact(q, k, v, scale=1.0, is_causal=True)[0, 0].numpy()

    return call


def attention_ready(name: str, n: int, k: int, workers: int) -> Call:
    """A call of one side, everything lazily loaded in place."""
    small, arrays = instance(512, k), instance(n, k)
    if name == "ours":
        by_sum(small, k, workers)()
        return by_sum(arrays, k, workers)
    by_peer(small, workers)()
    return by_peer(arrays, workers)


def checked_rows(n: int) -> np.ndarray:
    """All rows of a short sequence; of a long one the first 64, where a row's sum is least, and others."""
    if n <= 2**12:
        return np.arange(n)
    return np.concatenate([np.arange(64), 64 + stream(0, "rows", n).choice(n - 64, 448, replace=False)])


def attention_row(n: int, k: int, options: argparse.Namespace) -> list[str]:
    arrays = instance(n, k)
    Q, K, V = arrays

    def own() -> np.ndarray:
        return attention(Q, K, V, scale=1, mask="causal", workers=options.workers)

    def only_search() -> ConvBasis:
        with single_threaded_blas():
            return search(Q, K, k)

    calls = [by_sum(arrays, k, options.workers), by_peer(arrays, options.workers)]
    ours, peer, t_own, t_search = interleaved([*calls, own, only_search], options.repeats, options.seconds)
    rows = checked_rows(n)
    wide = [x.astype("float64") for x in arrays]
    seen = np.arange(n)[None, :] <= rows[:, None]
    exact = attention(wide[0][rows], wide[1], wide[2], scale=1, mask=seen, block=256)
    errors = [float(np.max(np.abs(call()[rows] - exact))) for call in calls]
    mean_so_far = np.cumsum(wide[2], axis=0)[rows] / (1 + rows[:, None])
    memory = [extra_memory(attention_ready, name, n, k, options.workers) for name in ("ours", "peer")]
    return [
        power(n),
        f"{k} ({len(search(Q, K, k).sizes)})",
        *(f"{1e3 * t:.3g}" for t in (ours, t_search, peer, t_own)),
        f"**{peer / ours:.3g}x**",
        f"{t_own / ours:.3g}x",
        *(f"{e:.1e}" for e in errors),
        f"{np.max(np.abs(mean_so_far - exact)):.2g}",
        *(f"{m:.1f}" for m in memory),
    ]


# -- tables ----------------------------------------------------------------------------------------------


def power(n: int) -> str:
    return f"2^{n.bit_length() - 1}"


def table(header: list[str], rows: list[tuple], row: Callable[..., list[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---:|" * len(header))
    for arguments in rows:
        print("| " + " | ".join(row(*arguments)) + " |", flush=True)
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Causal convolution and conv-basis attention on CPU.")
    parser.add_argument("--least", type=int, default=8, help="smallest n is 2^LEAST (default 8)")
    parser.add_argument("--most", type=int, default=16, help="largest n is 2^MOST (default 16)")
    parser.add_argument("--terms", type=int, nargs="*", default=[1, 4, 16], help="k (default 1 4 16)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads of either side")
    parser.add_argument("--repeats", type=int, default=15, help="turns of the interleaved calls")
    parser.add_argument("--seconds", type=float, default=20, help="no more turns after this long, but 3")
    options = parser.parse_args()
    sizes = [2**p for p in range(options.least, options.most + 1, 2)]

    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "torch"))
    print(
        f"Python {platform.python_version()}, {libraries}; {platform.machine()}, {options.workers} threads."
    )
    print(f"Load average at the start: {load_average()}.\n")
    wide = f"{options.workers} threads"
    times = ["ours, ms", "dense, ms", "scipy.fft, ms", f"scipy.fft, {wide}, ms"]
    against = ["against dense", "against scipy.fft", f"against scipy.fft, {wide}"]
    found = ["error, ours", "error, dense", "error, scipy.fft"]
    memory = ["extra MiB, ours", "extra MiB, dense", "extra MiB, scipy.fft"]
    table(
        ["n", "dtype", *times, *against, *found, *memory],
        [(n, dtype, options) for dtype in ("float64", "float32") for n in sizes],
        convolution_row,
    )
    times = ["ours, ms", "of this the search, ms", "exact peer, ms", "own exact, ms"]
    found = ["error, ours", "error, peer", "error, mean so far"]
    table(
        [
            "n",
            "k (found)",
            *times,
            "against the peer",
            "against own exact",
            *found,
            "extra MiB, ours",
            "extra MiB, peer",
        ],
        [(n, k, options) for k in options.terms for n in sizes],
        attention_row,
    )
    print(f"Load average at the end: {load_average()}.")


if __name__ == "__main__":
    main()
