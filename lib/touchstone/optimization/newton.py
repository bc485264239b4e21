"""Newton's method from many starts at once: plain, damped, or with an approximate Hessian.

A start whose last step is below the tolerance is frozen, and from then on costs nothing: gradients and
Hessians are asked for the moving ones only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from touchstone.arrays import Array, holds_data, namespace

Solve = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class NewtonTrace:
    """``iterates`` (t + 1, ..., d), the starts first; ``step_lengths`` (t, ...), 0 where a start was frozen;
    ``converged`` (...), whether a start's last step was below the tolerance; ``steps``, t.
    """

    iterates: Array
    step_lengths: Array
    converged: Array

    @property
    def steps(self) -> int:
        return self.step_lengths.shape[0]


@dataclass(frozen=True)
class ArmijoDamping:
    """Newton steps that descend on ``loss``, for functions that are not convex.

    Shift: none where the least eigenvalue of the Hessian is above ``definite`` times the largest absolute
    one, else 1.5 times what would make it zero, plus ``lift`` times the largest absolute one. Search: the
    step is halved until the loss falls by ``slope`` times what the gradient promises, with ``slack`` for
    rounding; a start that still does not descend after ``halvings`` halvings stays where it is.

    ``loss`` maps points (m, d) to (m,), or one point (d,) to a scalar, as ``newton`` was called with. Cost of
    a step: d^3 for eigenvalues, one solve, and a loss for each halving of a start that still needs it.

    Source: L. Armijo, *Minimization of functions having Lipschitz continuous first partial derivatives*
    (1966); J. Nocedal, S. Wright, *Numerical Optimization* (2006), chapter 3.
    """

    loss: Callable[[Array], Array]
    definite: float = 1e-10
    lift: float = 1e-3
    slope: float = 1e-4
    halvings: int = 20
    slack: float = 0.0

    def __post_init__(self) -> None:
        for name in ("definite", "lift", "slack"):
            if not (getattr(self, name) >= 0 and math.isfinite(getattr(self, name))):
                raise ValueError(f"{name}={getattr(self, name)!r}: expected a finite number >= 0")
        if not 0 < self.slope < 1:
            raise ValueError(f"slope={self.slope!r}: expected a number between 0 and 1")
        _check_count("halvings", self.halvings)

    def __call__(self, x: Array, gradient: Array, hessian: Array, solve: Solve) -> Array:
        """The step from ``x``; zero where the search fails."""
        xp = namespace(x)
        direction = -solve(self.shifted(hessian), gradient)
        promised = self.slope * xp.sum(gradient * direction, axis=-1)
        start = self.loss(x)
        step = direction
        failed = ~self._falls(start, x, step, promised)
        size = 1.0
        for _ in range(self.halvings):
            if holds_data(failed) and not bool(xp.any(failed)):
                break
            size /= 2
            step = xp.where(failed[..., None], direction * size, step)
            failed = self._still_failed(failed, start, x, step, promised * size)
        return xp.where(failed[..., None], xp.zeros_like(step), step)

    def shifted(self, hessian: Array) -> Array:
        """``hessian`` (..., d, d) plus the multiple of the identity that makes it positive definite."""
        xp = namespace(hessian)
        values = xp.linalg.eigvalsh(hessian)
        least, size = values[..., 0], xp.max(xp.abs(values), axis=-1)
        needed = 1.5 * xp.where(least < 0, -least, xp.zeros_like(least)) + self.lift * size
        shift = xp.where(least > self.definite * size, xp.zeros_like(least), needed)
        # a Hessian of zeros: any multiple will do
        shift = xp.where(size == 0, xp.ones_like(shift), shift)
        return hessian + shift[..., None, None] * xp.eye(hessian.shape[-1], dtype=hessian.dtype)

    def _falls(self, start: Array, x: Array, step: Array, promised: Array) -> Array:
        return self.loss(x + step) <= start + promised + self.slack

    def _still_failed(self, failed: Array, start: Array, x: Array, step: Array, promised: Array) -> Array:
        """``failed`` after another try, which only those that failed are asked to make."""
        xp = namespace(x)
        if failed.ndim == 0 or not holds_data(failed):
            return failed & ~self._falls(start, x, step, promised)
        (at,) = xp.nonzero(failed)
        again = [xp.take(v, at, axis=0) for v in (start, x, step, promised)]
        return _spread(~self._falls(*again), failed, failed)


def newton(
    grad: Callable[[Array], Any],
    hess: Callable[[Array], Array] | None,
    x0: Array,
    *,
    solve: Solve | None = None,
    damping: Callable[[Array, Array, Array, Solve], Array] | None = None,
    tol: float = 1e-12,
    steps: int = 100,
) -> tuple[Array, NewtonTrace]:
    """``x <- x - hess(x)^{-1} grad(x)`` from each of the starts ``x0`` (..., d), at most ``steps`` times.

    ``grad`` maps points (m, d) to gradients (m, d) and ``hess`` to Hessians (m, d, d); for a single start
    ``x0`` (d,) they are called on (d,). They must treat points alike: frozen ones are not among those that
    they are called on. Where both come from one computation pass ``hess=None`` and let ``grad`` return the
    pair. A ``hess`` that samples makes it the approximate method, one that ignores its argument the chord
    method.

    ``solve(H, g)`` solves systems (..., d, d) (the array library's by default). ``damping(x, g, H, solve)``
    gives the step instead of ``-solve(H, g)``: ``ArmijoDamping``. A start is frozen, where it stands, after a
    step of length below ``tol``, and before one that is not finite (which leaves it unconverged).

    Returns the last points (..., d) and the ``NewtonTrace``. Shape-only arrays never freeze.

    Cost of a step, for each moving start: gradient, Hessian, one solve. Raises ``ValueError`` for an ``x0``
    without axes, a negative ``tol`` or ``steps``, or results of the wrong shape; what ``solve`` raises at a
    singular Hessian.
    """
    if x0.ndim < 1 or 0 in x0.shape:
        raise ValueError(f"x0 of shape {tuple(x0.shape)}: expected (..., d), not empty")
    if not tol >= 0:
        raise ValueError(f"tol={tol!r}: expected a number >= 0")
    _check_count("steps", steps)
    xp = namespace(x0)
    single = x0.ndim == 1
    lead = x0.shape[:-1]
    x = x0 if single else xp.reshape(x0, (-1, x0.shape[-1]))
    moving = xp.ones(x.shape[:-1], dtype=xp.bool)
    converged = ~moving
    iterates, lengths = [x], []
    for _ in range(steps):
        step = _steps(grad, hess, x, moving, solve or _solve, damping)
        length = xp.sqrt(xp.sum(step * step, axis=-1))
        finite = xp.isfinite(length)
        length = xp.where(finite, length, xp.zeros_like(length))
        x = x + xp.where(finite[..., None], step, xp.zeros_like(step))
        converged = converged | (moving & finite & (length < tol))
        moving = moving & finite & ~converged
        iterates.append(x)
        lengths.append(length)
        if holds_data(moving) and not bool(xp.any(moving)):
            break
    none = xp.zeros((0, *x.shape[:-1]), dtype=x.dtype)
    trace = NewtonTrace(
        xp.reshape(xp.stack(iterates), (-1, *x0.shape)),
        xp.reshape(xp.stack(lengths) if lengths else none, (len(lengths), *lead)),
        xp.reshape(converged, lead),
    )
    return xp.reshape(x, x0.shape), trace


def _steps(
    grad: Callable[[Array], Any],
    hess: Callable[[Array], Array] | None,
    x: Array,
    moving: Array,
    solve: Solve,
    damping: Callable[[Array, Array, Array, Solve], Array] | None,
) -> Array:
    """The steps of the moving points, zero for the others."""
    xp = namespace(x)
    some = x.ndim > 1 and holds_data(moving)
    points = xp.take(x, xp.nonzero(moving)[0], axis=0) if some else x
    gradient, hessian = grad(points) if hess is None else (grad(points), hess(points))
    d = x.shape[-1]
    at = tuple(points.shape)
    for name, value, shape in (("grad(x)", gradient, at), ("hess(x)", hessian, (*at, d))):
        if tuple(value.shape) != shape:
            raise ValueError(f"{name} of shape {tuple(value.shape)}: expected {shape} at x of shape {at}")
    step = -solve(hessian, gradient) if damping is None else damping(points, gradient, hessian, solve)
    return _spread(step, moving, xp.zeros_like(x)) if some else step


def _spread(values: Array, mask: Array, elsewhere: Array) -> Array:
    """``elsewhere`` with the k-th row of ``values`` at the k-th place where ``mask`` (m,) holds."""
    xp = namespace(mask)
    position = xp.cumulative_sum(xp.astype(mask, xp.int64)) - 1
    position = xp.where(mask, position, xp.zeros_like(position))
    at = xp.reshape(mask, (-1, *[1] * (values.ndim - 1)))
    return xp.where(at, xp.take(values, position, axis=0), elsewhere)


def _solve(hessian: Array, gradient: Array) -> Array:
    return namespace(hessian).linalg.solve(hessian, gradient[..., None])[..., 0]


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}={value!r}: expected an integer >= 0")
