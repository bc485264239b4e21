"""John's ellipsoid of |A x| <= 1 to ξ = 0.01, on CPU, beside its peers. One table.

    python benchmarks/john_ellipsoid.py

Needs CVXPY with Clarabel, which the test suite needs too; reads nothing and writes to standard output only.
Every method returns weights that sum to d, and every answer is checked on all rows: the largest h − 1, the
*violation*, must be at most ξ. Calls are taken in turns and the median is reported; CVXPY runs once.

*Ours* is `john_ellipsoid`: multiplicative updates on a few working rows, of which the last iterate is taken,
screening, a certificate on all rows; `--workers` threads in the passes over all rows. Peers:

- *Khachiyan*: coordinate ascent from uniform weights, one row a step, with rank-one updates of the inverse
  and of all h, one product of A with a vector a step.
- *With away steps*: the same with Wolfe's away steps and the start of Kumar and Yıldırım (d rows, each
  extreme in a direction orthogonal to those before). On these inputs the better one, and the one to beat.
- *Last iterate*: multiplicative updates on all rows, the textbook ones, without any of our parts.
- *Averaged*: the iteration that the paper analyses, `john_weights`, for as many rounds as its mean needs.
- *CVXPY*: maximise log det X subject to a_iᵀ X a_i <= 1, by Clarabel with tolerances 10⁻⁴, as more would be
  wasted at this ξ. The weights are the multipliers. *fails*: the solver gave up.

BLAS is held to one thread on every side but CVXPY: for matrices this narrow that is faster than two.
"""

from __future__ import annotations

import argparse
import os
import platform
import warnings
from importlib.metadata import version
from time import perf_counter

import cvxpy
import numpy as np

from _timing import interleaved, load_average
from touchstone.arrays import single_threaded_blas, stream
from touchstone.geometry.john_ellipsoid import john_violation, john_weights, squared_widths
from touchstone.geometry.john_solver import john_ellipsoid
from touchstone.instances.matrices import random_rows

XI = 0.01
REFRESHED_EVERY = 1000  # steps after which a peer starts its inverse afresh, as rounding adds up

Weights = np.ndarray


# -- peers -----------------------------------------------------------------------------------------------


def by_cvxpy(A: np.ndarray) -> Weights:
    d = A.shape[1]
    X = cvxpy.Variable((d, d), PSD=True)
    inside = cvxpy.sum(cvxpy.multiply(A @ X, A), axis=1) <= 1
    problem = cvxpy.Problem(cvxpy.Maximize(cvxpy.log_det(X)), [inside])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on formulations
        problem.solve(solver="CLARABEL", tol_gap_abs=1e-4, tol_gap_rel=1e-4, tol_feas=1e-4)
    weights = np.maximum(inside.dual_value, 0)
    return weights * (d / weights.sum())


def ascent(A: np.ndarray, away: bool) -> tuple[Weights, int]:
    """Khachiyan's ascent, or with ``away`` Todd and Yıldırım's: weights that sum to d, and the steps."""
    n, d = A.shape
    u = start(A) if away else np.full(n, 1 / n)  # sums to 1
    support = np.flatnonzero(u)
    inverse, g = fresh(A, u)
    steps, squares = 0, np.empty(n)
    while True:
        i = int(np.argmax(g))
        above = g[i] / d - 1
        if above <= XI:
            return u * d, steps
        if away:
            j = int(support[np.argmin(g[support])])
            if 1 - g[j] / d > above:
                i = j
        # the exact maximiser of log det (1 − t) M + t a aᵀ, but no weight below zero
        t = (g[i] / d - 1) / (g[i] - 1) if g[i] > 1 else -np.inf
        t = max(t, -u[i] / (1 - u[i]))
        image = inverse @ A[i]
        factor = t / (1 - t) / (1 + t / (1 - t) * g[i])
        np.dot(A, image, out=squares)
        np.multiply(squares, squares, out=squares)
        squares *= factor
        g -= squares
        g /= 1 - t
        inverse -= np.outer(factor * image, image)
        inverse /= 1 - t
        u *= 1 - t
        new = u[i] == 0
        u[i] = max(u[i] + t, 0.0)
        if new:
            support = np.append(support, i)
        elif u[i] < 1e-15:
            u[i] = 0.0
            support = support[support != i]
        steps += 1
        if steps % REFRESHED_EVERY == 0:
            inverse, g = fresh(A, u)


def fresh(A: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    inverse = np.linalg.inv(A.T @ (u[:, None] * A))
    return inverse, np.vecdot(A @ inverse, A)


def start(A: np.ndarray) -> np.ndarray:
    """Equal weights on at most d rows, each the longest along a direction orthogonal to those before."""
    n, d = A.shape
    rng, basis, chosen = stream(0, "start"), np.zeros((d, 0)), []
    for _ in range(d):
        direction = rng.standard_normal(d)
        direction -= basis @ (basis.T @ direction)
        chosen.append(int(np.argmax(np.abs(A @ direction))))
        rest = A[chosen[-1]] - basis @ (basis.T @ A[chosen[-1]])
        basis = np.column_stack([basis, rest / np.linalg.norm(rest)])
    u = np.zeros(n)
    u[chosen] = 1 / d
    return u


def exact(A: np.ndarray, w: np.ndarray) -> np.ndarray:
    return w * squared_widths(A, w)


def rounds_of_the_mean(A: np.ndarray) -> int:
    """Rounds after which the mean of the iterates is good enough, by looking at each."""
    most = int(np.ceil(np.log(A.shape[0] / A.shape[1]) / np.log1p(XI)))  # the theorem's

    def violation(_k: int, _w: np.ndarray, u: np.ndarray) -> float:
        return john_violation(A, u * (A.shape[1] / u.sum()))

    seen = john_weights(A, most, scores=exact, record=violation).trace
    return next(k for k, excess in enumerate(seen, 1) if excess <= XI)


def last_iterate(A: np.ndarray) -> tuple[Weights, int]:
    """Multiplicative updates on all rows until the last iterate is good enough."""
    w, steps = np.full(A.shape[0], A.shape[1] / A.shape[0]), 0
    while (h := squared_widths(A, w)).max() > 1 + XI:
        w = w * h
        w[w < 1e-150] = 0.0  # denormals are slow
        steps += 1
    return w, steps


# -- table -----------------------------------------------------------------------------------------------


def row(n: int, d: int, law: str, options: argparse.Namespace) -> list[str]:
    A = random_rows(n, d, law, stream(0, "john ellipsoid", n, d, law))
    with single_threaded_blas():
        T = rounds_of_the_mean(A)
        calls = [
            lambda: john_ellipsoid(A, XI, workers=options.workers)[0],
            lambda: ascent(A, away=False)[0],
            lambda: ascent(A, away=True)[0],
            lambda: last_iterate(A)[0],
            lambda: john_weights(A, T, scores=exact).average,
        ]
        times = interleaved(calls, options.repeats, options.seconds)
        answers = [call() for call in calls]
        steps = [
            john_ellipsoid(A, XI)[1].steps,
            ascent(A, away=False)[1],
            ascent(A, away=True)[1],
            last_iterate(A)[1],
            T,
        ]
    cone = ["", "", ""]
    if options.cvxpy:
        begin = perf_counter()
        try:
            weights = by_cvxpy(A)
        except cvxpy.SolverError:
            cone = ["fails", "", ""]
        else:
            seconds = perf_counter() - begin
            answers.append(weights)
            gain, violation = seconds / times[0], john_violation(A, weights)
            cone = [f"{1e3 * seconds:.4g}", f"**{gain:.3g}x**", f"{violation:.2g}"]
    for weights in answers:
        assert abs(weights.sum() - d) < 1e-6 * d
        assert john_violation(A, weights) <= XI * (1 + 1e-6)
    names = [f"{n} × {d}", law.replace("_", " ")]
    return [
        *names,
        *(f"{1e3 * t:.3g} ({k})" for t, k in zip(times, steps, strict=True)),
        cone[0],
        f"**{times[1] / times[0]:.3g}x**",
        f"**{times[2] / times[0]:.3g}x**",
        f"{times[3] / times[0]:.3g}x",
        f"{times[4] / times[0]:.3g}x",
        cone[1],
        f"{john_violation(A, answers[0]):.2g}",
        cone[2],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="John's ellipsoid to 1 % on CPU.")
    parser.add_argument("--quick", action="store_true", help="one small size, to see that it runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads of our passes")
    parser.add_argument("--repeats", type=int, default=15, help="turns of the interleaved calls")
    parser.add_argument("--seconds", type=float, default=60, help="no more turns after this long, but 3")
    parser.add_argument("--no-cvxpy", dest="cvxpy", action="store_false", help="leave out the slowest peer")
    options = parser.parse_args()
    sizes = [(500, 5)] if options.quick else [(2000, 10), (10_000, 20)]
    laws = ["gaussian"] if options.quick else ["gaussian", "student", "two_clusters"]

    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "cvxpy", "clarabel"))
    print(
        f"Python {platform.python_version()}, {libraries}; {platform.machine()}, {options.workers} threads."
    )
    print(f"Load average at the start: {load_average()}.\n")
    methods = ("ours", "Khachiyan", "with away steps", "last iterate", "averaged")
    rivals = ("Khachiyan", "away steps", "last iterate", "averaged", "CVXPY")
    header = [
        "n × d",
        "rows",
        *(f"{name}, ms (steps)" for name in methods),
        "CVXPY, ms",
        *(f"against {name}" for name in rivals),
        "violation, ours",
        "violation, CVXPY",
    ]
    print("| " + " | ".join(header) + " |")
    print("|" + "---:|" * len(header))
    for law in laws:
        for n, d in sizes:
            print("| " + " | ".join(row(n, d, law, options)) + " |", flush=True)
    print(f"\nLoad average at the end: {load_average()}.")


if __name__ == "__main__":
    main()
