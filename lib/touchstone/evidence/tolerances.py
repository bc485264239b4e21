"""How far two correct computations of one thing may lie apart: tolerances that are derived, not typed.

The argument. Floating-point arithmetic of unit roundoff u computes, for all the algorithms that the
collection calls stable, the exact result for data that are perturbed relatively by at most

    γ_N = N u / (1 - N u),        N the number of roundings that pile up on one path,

(N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., 2002, Lemma 3.1 and §3.5). A
relative perturbation η of the data moves the result relatively by at most κ η, with κ the relative condition
number (Higham §1.6). Both sides of an identity are computed so: their gap is at most 2 κ γ_N, plus what is
known of the reference's own error. Nothing in this depends on the numbers that the check will see, save κ.

The worst case assumes that all roundings push one way. Where they act like independent ones of mean zero,
which is a model and not a theorem, N may be replaced by about λ √N (N. J. Higham, T. Mary, *A new approach
to probabilistic rounding error analysis*, 2019, Theorem 2.4): γ̃_N = exp(λ √N u + N u² / (1 - u)) - 1, which
fails with probability at most 2 N exp(-λ² (1 - u)² / 2).

κ is a property of the problem, and γ_N κ holds for a formula that is stable. One that cancels inside (a
softmax that saturates, f - f² with f near 1) loses more than its data explain: then κ has to be multiplied by
``condition_of_sum`` of the terms that cancel. ``condition_of_solve`` knows κ for linear systems,
``measured_condition`` probes it for any function of its data, and ``measured_amplification`` takes a formula
with all that happens inside it, by running it at half the width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import Array, namespace, to_host
from touchstone.counting.leaves import numpy_dtype
from touchstone.evidence.errors import MeasurementError

MODELS = ("worst", "random")


def unit_roundoff(dtype: Any = "float64") -> float:
    """The largest relative error of one rounding: 2^-53 for float64, 2^-24 for float32.

    ``dtype`` is a name or a dtype of any namespace; complex types have the roundoff of their parts. Raises
    ``ValueError`` for a type without one.
    """
    try:
        resolved = numpy_dtype(dtype)
    except TypeError:
        resolved = None
    if resolved is None or resolved.kind not in "fc":
        raise ValueError(f"dtype={dtype!r}: expected a floating-point type")
    return float(np.finfo(resolved).eps) / 2


def rounding_error(
    operations: int, dtype: Any = "float64", *, model: str = "worst", failure: float = 1e-9
) -> float:
    """γ of the module's head: the relative error that ``operations`` successive roundings can amount to.

    ``model`` is ``"worst"`` (γ_N, a bound) or ``"random"`` (γ̃_N, exceeded with probability at most
    ``failure`` if roundings are independent). Raises ``ValueError`` for a bad argument or where N u >= 1/2
    leaves no digit.
    """
    if isinstance(operations, bool) or not isinstance(operations, int | np.integer) or operations < 1:
        raise ValueError(f"operations={operations!r}: expected an integer >= 1")
    if model not in MODELS:
        raise ValueError(f"model={model!r}: expected one of {', '.join(map(repr, MODELS))}")
    if not 0 < failure < 1:
        raise ValueError(f"failure={failure!r}: expected a number between 0 and 1")
    u, n = unit_roundoff(dtype), int(operations)
    if n * u >= 0.5:
        raise ValueError(f"operations={operations!r}: expected fewer than {0.5 / u:.3g} in {dtype}")
    worst = n * u / (1 - n * u)
    if model == "worst":
        return worst
    spread = math.sqrt(2 * math.log(2 * n / failure)) / (1 - u)
    return min(worst, math.expm1(spread * math.sqrt(n) * u + n * u * u / (1 - u)))


def identity_tolerance(
    condition: float,
    dtype: Any = "float64",
    operations: int = 1,
    *,
    reference_error: float = 0.0,
    exact_reference: bool = False,
    model: str = "worst",
    failure: float = 1e-9,
    ceiling: float = 1e-3,
) -> float:
    """The largest relative gap that rounding allows between a formula and an independent computation.

    tolerance = (1 or 2) κ γ_N + reference error, as derived in the module's head.

    - ``condition``: κ, the relative condition number of the quantity in the norm that the gap is measured
      in (at least 1 is used, because the result itself is rounded).
    - ``operations``: N, the roundings on the longest path from data to one entry of the result, *not* the
      total work: the lengths of the inner products along the path added up, one for each elementwise
      operation, a few for each exponential. For a product of matrices with inner dimensions n and d: n + d.
    - ``reference_error``: relative error of the reference beyond rounding, such as the error estimate of a
      central difference over the size of its value. Complex step, mpmath and SymPy have none.
    - ``exact_reference``: True when the reference was computed to more digits and rounded once (mpmath,
      SymPy): then only the formula's side is charged.
    - ``model``, ``failure``: see ``rounding_error``.
    - ``ceiling``: a tolerance above it decides nothing and raises, so that an identity is never "confirmed"
      because the problem was too ill-conditioned to tell.

    Raises ``ValueError`` for a bad argument or a tolerance above ``ceiling``.
    """
    if not (condition > 0 and math.isfinite(condition)):
        raise ValueError(f"condition={condition!r}: expected a positive finite number")
    if not (reference_error >= 0 and math.isfinite(reference_error)):
        raise ValueError(f"reference_error={reference_error!r}: expected a finite number >= 0")
    if not ceiling > 0:
        raise ValueError(f"ceiling={ceiling!r}: expected a positive number")
    gamma = rounding_error(operations, dtype, model=model, failure=failure)
    sides = 1 if exact_reference else 2
    tolerance = sides * max(float(condition), 1.0) * gamma + float(reference_error)
    if tolerance > ceiling:
        raise ValueError(
            f"tolerance {tolerance:.3g} (condition {condition:.3g}, {operations} operations in {dtype}):"
            f" expected at most {ceiling:.3g}; take a wider dtype or a better-conditioned instance"
        )
    return tolerance


def condition_of_sum(*terms: Array) -> float:
    """κ of adding ``terms`` (arrays of one shape) up: max of Σ|terms| over max of |Σ terms|.

    The condition number of a sum whose terms cancel (Higham, §4.1), in the norm of ``relative_gap``. Raises
    ``ValueError`` without terms, ``MeasurementError`` when they are not finite, of different shapes, or
    cancel altogether.
    """
    if not terms:
        raise ValueError("terms=(): expected at least one array")
    wide = [_finite(f"terms[{i}]", term) for i, term in enumerate(terms)]
    if any(term.shape != wide[0].shape for term in wide):
        raise MeasurementError(f"terms of shapes {[term.shape for term in wide]}: expected one shape")
    parts, total = np.max(sum(np.abs(term) for term in wide)), np.max(np.abs(sum(wide)))
    if total == 0:
        raise MeasurementError("terms: expected a sum that is not zero")
    return float(parts / total)


def condition_of_solve(A: Array) -> float:
    """κ₂ of the matrix ``A`` (m, n): largest over smallest singular value; infinite for a singular one.

    The condition number of solving with ``A`` (Higham, §7.1); for AᵀA it is the square. Raises
    ``MeasurementError`` for entries that are not finite, ``ValueError`` when ``A`` is not a matrix.
    Cost: one SVD on the host.
    """
    wide = _finite("A", A)
    if wide.ndim != 2 or wide.size == 0:
        raise ValueError(f"A of shape {wide.shape}: expected a matrix with entries")
    singular = np.linalg.svd(wide, compute_uv=False)
    return float(singular[0] / singular[-1]) if singular[-1] > 0 else math.inf


def measured_condition(
    f: Callable[..., Any], *inputs: Array, rng: np.random.Generator, trials: int = 16
) -> float:
    """A probe of κ: the largest amplification of relative perturbations of the ``inputs`` by ``f``.

    Every entry of the floating-point arrays ``inputs`` is multiplied by 1 + η or 1 - η at random, with
    η = u^(1/3): large against rounding, small against curvature. Returned is the largest
    max|change of f| / (η max|f|) over ``trials`` draws, at least 1. Random signs show what random roundings
    do; a conspiracy of signs can be worse by up to the square root of the number of entries, so that this
    is an estimate from below of the worst case and fits the ``"random"`` model; the factor N of the
    ``"worst"`` model covers the difference whenever N is no smaller than that root.

    Raises ``ValueError`` for bad arguments, ``MeasurementError`` where ``f`` is not finite or zero. Cost:
    ``trials + 1`` evaluations.
    """
    if not inputs:
        raise ValueError("inputs=(): expected at least one array")
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise ValueError(f"trials={trials!r}: expected an integer >= 1")
    hosts = [_finite(f"inputs[{i}]", x, wide=False) for i, x in enumerate(inputs)]
    if not all(host.dtype.kind in "fc" for host in hosts):
        raise ValueError("inputs: expected floating-point arrays")
    here = _finite("f", f(*inputs))
    size = float(np.max(np.abs(here)))
    if size == 0:
        raise MeasurementError("f is zero at the inputs: it has no relative condition number")
    eta = max(unit_roundoff(host.dtype) for host in hosts) ** (1 / 3)
    worst = 1.0
    for _ in range(trials):
        moved = []
        for host, x in zip(hosts, inputs, strict=True):
            sign = 2.0 * rng.integers(0, 2, host.shape) - 1.0
            moved.append(_placed(np.asarray(host * (1 + eta * sign), dtype=host.dtype), x))
        change = np.max(np.abs(_finite("f", f(*moved)) - here))
        worst = max(worst, float(change) / (eta * size))
    return worst


def measured_amplification(f: Callable[..., Any], *inputs: Array) -> float:
    """How many units of roundoff the formula ``f`` loses, data and inner cancellation together.

    ``f`` is evaluated on ``inputs`` rounded to float32, once in float32 and once in float64: returned is
    max|difference| / (2^-24 max|value|), at least 1. Used as ``condition``, it stands for κ times whatever
    the formula adds to it; the operations N remain as the margin for one run not being the worst.

    Raises ``ValueError`` when ``f`` widens its result (it has float64 data that it was not passed as an
    input) or an input is not floating-point; ``MeasurementError`` when float32 loses every digit, so that
    the loss in float64 cannot be told, or a value is not finite or zero. Cost: two evaluations.
    """
    if not inputs:
        raise ValueError("inputs=(): expected at least one array")
    hosts = [_finite(f"inputs[{i}]", x, wide=False) for i, x in enumerate(inputs)]
    if not all(host.dtype.kind in "fc" for host in hosts):
        raise ValueError("inputs: expected floating-point arrays")
    values = []
    for real, complex_ in ((np.float32, np.complex64), (np.float64, np.complex128)):
        narrow = [host.astype(np.complex64 if host.dtype.kind == "c" else np.float32) for host in hosts]
        cast = [x.astype(complex_ if x.dtype.kind == "c" else real) for x in narrow]
        value = np.asarray(to_host(f(*(_placed(c, x) for c, x in zip(cast, inputs, strict=True)))))
        if value.dtype not in (real, complex_):
            raise ValueError(f"f returned {value.dtype} for {np.dtype(real)}: expected it to keep the width")
        values.append(_finite("f", value))
    size, loss = float(np.max(np.abs(values[1]))), float(np.max(np.abs(values[0] - values[1])))
    if size == 0:
        raise MeasurementError("f is zero at the inputs: it has no relative error")
    if loss > 0.1 * size:
        raise MeasurementError(
            f"float32 loses the result (relative gap {loss / size:.2g}): take other inputs"
        )
    return max(1.0, loss / size / unit_roundoff("float32"))


def _finite(name: str, x: Any, *, wide: bool = True) -> np.ndarray:
    host = np.asarray(to_host(x))
    if host.dtype.kind not in "biufc":
        raise ValueError(f"{name} of dtype {host.dtype}: expected numbers")
    if host.size == 0:
        raise ValueError(f"{name} of shape {host.shape}: expected at least one entry")
    if not np.all(np.isfinite(host)):
        raise MeasurementError(f"{name}: expected finite entries")
    return host.astype(np.result_type(host.dtype, np.float64)) if wide else host


def _placed(host: np.ndarray, x: Array) -> Array:
    if not hasattr(x, "dtype") or isinstance(x, np.ndarray | np.generic):
        return host
    return namespace(x).asarray(host, device=array_api_compat.device(x))
