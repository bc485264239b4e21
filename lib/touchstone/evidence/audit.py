"""Privacy audits: what repeated runs on two neighbouring inputs prove about ε.

An (ε, δ)-differentially private mechanism satisfies p <= e^ε q + δ for the probabilities p and q of any event
on the two inputs. Runs bound p from below and q from above, so every event proves ε >= ln((p − δ)/q). The
audit chooses the event on a quarter of the runs and certifies it on the rest by Clopper–Pearson bounds:
with confidence ``conf`` the bound holds, whatever the mechanism, the score or the choice. It is a lower
bound, never a proof of privacy: a passed audit says that these runs, this pair and this score show no more.

Gaussian differential privacy is audited in the same way: a μ-private mechanism satisfies
Φ⁻¹(p) − Φ⁻¹(q) <= μ for every event, so an event proves μ at least that, without any assumption on the noise.

Source: Ding, Wang, Wang, Zhang and Kifer 2018 (choose and certify); Jagielski, Ullman and Oprea 2020
(Clopper–Pearson bounds); Dong, Roth and Su 2022 (trade-off curves).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri, rel_entr

from touchstone.arrays import to_host
from touchstone.evidence.audit_events import (
    CHOOSING,
    Certificate,
    Event,
    Objective,
    certificate,
    certify,
    choose_event,
    log_ratio,
    normal_distance,
)
from touchstone.evidence.audit_scores import learn_scores
from touchstone.evidence.privacy_curves import gaussian_dp_epsilon
from touchstone.evidence.proportions import clopper_pearson

LEAST_RUNS = 64
"""With fewer runs there is nothing to choose from."""

Mechanism = Callable[[Any, int, np.random.Generator], Any]


@dataclass(frozen=True)
class Audit:
    """What an audit proves: with confidence ``conf`` the pair needs ε >= ``eps_lower`` at this ``delta``.

    ``certificate`` holds the event, the counts and the two bounds that it rests on. ``eps_ceiling`` is the
    most that as many runs could ever have proved (every run hits on one side, none on the other): a claim
    above it cannot be caught.
    """

    eps_lower: float
    delta: float
    eps_ceiling: float
    certificate: Certificate

    @property
    def event(self) -> Event:
        return self.certificate.event

    @property
    def conf(self) -> float:
        return self.certificate.conf


@dataclass(frozen=True)
class GaussianAudit:
    """What an audit proves about Gaussian differential privacy: μ >= ``mu_lower`` with confidence ``conf``.

    It refutes μ'-Gaussian differential privacy for every μ' < ``mu_lower``, with no assumption: one event
    beats the trade-off curve of μ'. ``mu_ceiling`` is the most that as many runs could prove.
    """

    mu_lower: float
    mu_ceiling: float
    certificate: Certificate

    @property
    def event(self) -> Event:
        return self.certificate.event

    @property
    def conf(self) -> float:
        return self.certificate.conf

    def epsilon_if_gaussian(self, delta: float) -> float:
        """The ε that follows at ``delta`` if the pair's trade-off curve is that of two normal laws.

        That is so for Gaussian noise of fixed covariance on two values (and for a projection of it, and for
        rounds of it whose shifts do not depend on earlier answers). For other noise this is no bound:
        beating the curve of μ at one event does not reach its δ at every ε. Use ``audit`` there.
        """
        return gaussian_dp_epsilon(self.mu_lower, delta) if self.mu_lower > 0 else 0.0


# -- from scores -----------------------------------------------------------------------------------------


def epsilon_lower_bound(losses: Any, losses_neighbour: Any, delta: float, conf: float = 0.99) -> float:
    """A lower bound on ε at ``delta`` that holds with confidence ``conf``; see ``audit_losses``."""
    return audit_losses(losses, losses_neighbour, delta=delta, conf=conf).eps_lower


def audit_losses(losses: Any, losses_neighbour: Any, *, delta: float, conf: float = 0.99) -> Audit:
    """Audit from one score of each run, ``losses`` (n,) on the data and ``losses_neighbour`` (m,).

    Both hold the *same* function of the output, for instance the privacy loss ln(p(y)/q(y)); the sharpest
    is the loss, but any function gives a valid bound. Infinities are welcome (an output that one input
    cannot give), NaN is not. Runs are independent. Every fourth run chooses the event, so sorted input does
    no harm. Raises ``ValueError`` for bad input. Cost: one sort; a second for 10^6 runs.

    What it takes to catch half the noise that a claim needs is written at ``rules.epsilon.EpsilonAtMost``.
    """
    _require_budget(delta, conf)
    return _audit(_certified_scores(losses, losses_neighbour, log_ratio(delta), conf), delta)


def mu_lower_bound(losses: Any, losses_neighbour: Any, conf: float = 0.99) -> float:
    """A lower bound on μ that holds with confidence ``conf``; see ``audit_losses_gaussian``."""
    return audit_losses_gaussian(losses, losses_neighbour, conf=conf).mu_lower


def audit_losses_gaussian(losses: Any, losses_neighbour: Any, *, conf: float = 0.99) -> GaussianAudit:
    """As ``audit_losses``, for the μ of Gaussian differential privacy."""
    _require_budget(0.0, conf)
    return _gaussian_audit(_certified_scores(losses, losses_neighbour, normal_distance, conf))


# -- from a mechanism ------------------------------------------------------------------------------------


def audit(
    mechanism: Mechanism,
    data: Any,
    neighbour: Any,
    *,
    delta: float,
    runs: int,
    rng: np.random.Generator,
    score: Callable[[Any], Any] | None = None,
    conf: float = 0.99,
    block: int | None = None,
) -> Audit:
    """Audit a mechanism as a black box.

    ``mechanism(input, runs, rng)`` gives that many independent outputs at once, along the first axis: a
    number each, or an array. ``score(outputs)`` turns a batch into one number a run (the privacy loss if it
    is known); without it, scores are learnt from outputs of the choosing runs (normal laws, histograms of
    the coordinates with their atoms, ranges, repeated patterns), and the best is taken. ``block`` limits
    the outputs held at once after the choosing runs. ``runs`` is for each input.

    Raises ``ValueError`` for bad arguments, for outputs of the wrong length or shape, NaN (or, without a
    score, infinite) outputs, and for a mechanism that repeats itself instead of drawing from ``rng``.
    Cost: 2 ``runs`` outputs; about a second beside them for 10^6 runs of a scalar mechanism.
    """
    _require_budget(delta, conf)
    found = _certified_runs(mechanism, data, neighbour, log_ratio(delta), runs, rng, score, conf, block)
    return _audit(found, delta)


def audit_gaussian(
    mechanism: Mechanism,
    data: Any,
    neighbour: Any,
    *,
    runs: int,
    rng: np.random.Generator,
    score: Callable[[Any], Any] | None = None,
    conf: float = 0.99,
    block: int | None = None,
) -> GaussianAudit:
    """As ``audit``, for the μ of Gaussian differential privacy. For Gaussian-like noise it is much the
    sharper of the two: it needs no event in a far tail."""
    _require_budget(0.0, conf)
    found = _certified_runs(mechanism, data, neighbour, normal_distance, runs, rng, score, conf, block)
    return _gaussian_audit(found)


# -- hockey sticks ---------------------------------------------------------------------------------------


def hockey_stick(losses: Any, eps: Any) -> Any:
    """Monte Carlo δ(ε) = E (1 − e^{ε − L})₊ from privacy losses L of runs on the data (infinity counts 1).

    ``losses`` must be the true losses ln(p(y)/q(y)), not just any score. ``eps`` a number or an array; the
    result has its shape.
    """
    losses = _scores("losses", losses)
    levels = _eps_levels(eps)
    values = np.asarray([float(np.mean(_excess(losses, level))) for level in levels.ravel()])
    return float(values[0]) if levels.ndim == 0 else values.reshape(levels.shape)


def hockey_stick_interval(losses: Any, eps: float, conf: float = 0.99) -> tuple[float, float]:
    """Bounds for δ(ε) from true losses; each end alone holds with confidence ``conf``.

    From the Chernoff–Hoeffding bound n kl(mean, δ) <= ln(1/(1 − conf)), which holds for any law on [0, 1]:
    no bootstrap, no large sample, and 10^6 runs without an event give δ <= 4.6·10⁻⁶ at 99 %. Source:
    Hoeffding 1963, theorem 1.
    """
    _require_budget(0.0, conf)
    losses = _scores("losses", losses)
    if np.ndim(eps) != 0:
        raise ValueError(f"eps={eps!r}: expected one number")
    mean = float(np.mean(_excess(losses, float(_eps_levels(eps)))))
    allowed = -math.log1p(-conf) / len(losses)

    def surplus(q: float) -> float:
        return float(rel_entr(mean, q) + rel_entr(1 - mean, 1 - q)) - allowed

    inside = np.nextafter(1.0, 0.0)
    low = 0.0 if mean == 0 else math.exp(-allowed) if mean == 1 else brentq(surplus, mean * 1e-300, mean)
    high = 1.0 if mean == 1 else -math.expm1(-allowed) if mean == 0 else brentq(surplus, mean, inside)
    return low, high


def _excess(losses: np.ndarray, eps: float) -> np.ndarray:
    return -np.expm1(np.minimum(eps - losses, 0.0))


# -- choosing and certifying -----------------------------------------------------------------------------


def _audit(found: Certificate, delta: float) -> Audit:
    eps = _proved_epsilon(found.rate_lower, found.rate_upper, delta)
    return Audit(eps, delta, _proved_epsilon(*_perfect(found), delta), found)


def _gaussian_audit(found: Certificate) -> GaussianAudit:
    mu = max(0.0, float(normal_distance(np.float64(found.rate_lower), np.float64(found.rate_upper))))
    return GaussianAudit(mu, float(np.subtract(*ndtri(_perfect(found)))), found)


def _proved_epsilon(rate_lower: float, rate_upper: float, delta: float) -> float:
    return max(0.0, math.log((rate_lower - delta) / rate_upper)) if rate_lower > delta else 0.0


def _perfect(found: Certificate) -> tuple[float, float]:
    """The bounds if the event had happened in every run on one input and in none on the other."""
    each = (1 + found.conf) / 2
    first, second = found.runs
    return clopper_pearson(first, first, each, "lower")[0], clopper_pearson(0, second, each, "upper")[1]


def _certified_scores(losses: Any, neighbour: Any, objective: Objective, conf: float) -> Certificate:
    sides = _scores("losses", losses), _scores("losses_neighbour", neighbour)
    choosing = tuple(side[CHOOSING - 1 :: CHOOSING] for side in sides)
    certifying = tuple(np.delete(side, np.s_[CHOOSING - 1 :: CHOOSING]) for side in sides)
    return certify(choose_event({"given": choosing}, objective, conf), *certifying, conf)


def _certified_runs(
    mechanism: Mechanism,
    data: Any,
    neighbour: Any,
    objective: Objective,
    runs: int,
    rng: np.random.Generator,
    score: Callable[[Any], Any] | None,
    conf: float,
    block: int | None,
) -> Certificate:
    if not callable(mechanism):
        raise ValueError(f"mechanism={mechanism!r}: expected a callable (input, runs, rng) -> outputs")
    if score is not None and not callable(score):
        raise ValueError(f"score={score!r}: expected a callable (outputs) -> one number a run")
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng={rng!r}: expected a numpy.random.Generator")
    _require_count("runs", runs, LEAST_RUNS)
    choosing = runs // CHOOSING
    certifying = runs - choosing
    block = certifying if block is None else block
    _require_count("block", block, 1)

    first = [_draw(mechanism, side, choosing, rng) for side in (data, neighbour)]
    if first[0].shape[1:] != first[1].shape[1:]:
        raise ValueError(
            f"mechanism: outputs of shape {first[0].shape[1:]} on data and {first[1].shape[1:]} on neighbour"
        )
    if score is not None:
        scorers = {"given": lambda outputs: _scored(score, outputs)}
        seen = {"given": tuple(scorers["given"](outputs) for outputs in first)}
    else:
        rows = [_rows(outputs) for outputs in first]
        learnt = learn_scores(*(side[::2] for side in rows))  # the other half picks among them
        seen = {name: tuple(learn(side[1::2]) for side in rows) for name, learn in learnt.items()}
        if rows[0].shape[1] == 1:  # nothing to learn, so all of the choosing runs pick
            learnt["output"] = lambda side: side[:, 0]
            seen["output"] = tuple(side[:, 0] for side in rows)
        scorers = {name: lambda outputs, learn=learn: learn(_rows(outputs)) for name, learn in learnt.items()}
    event = choose_event(seen, objective, conf)

    hits = [0, 0]
    for side, source in enumerate((data, neighbour)):
        for size in _block_sizes(certifying, block):
            outputs = _draw(mechanism, source, size, rng)
            _require_fresh(first[side], outputs)
            hits[side] += int(np.count_nonzero(event.holds(scorers[event.score](outputs))))
    return certificate(event, (hits[0], hits[1]), (certifying, certifying), conf)


def _block_sizes(total: int, block: int) -> Iterator[int]:
    for start in range(0, total, block):
        yield min(block, total - start)


def _draw(mechanism: Mechanism, source: Any, runs: int, rng: np.random.Generator) -> Any:
    outputs = mechanism(source, runs, rng)
    if not hasattr(outputs, "shape"):
        outputs = np.asarray(outputs)
    if outputs.ndim == 0 or outputs.shape[0] != runs:
        raise ValueError(f"mechanism: outputs of shape {outputs.shape}, expected {runs} along the first axis")
    return outputs


def _rows(outputs: Any) -> np.ndarray:
    host = np.asarray(to_host(outputs))
    if host.dtype.kind not in "biuf":
        raise ValueError(f"mechanism: outputs of dtype {host.dtype}, expected real numbers (or give a score)")
    rows = host.reshape(len(host), -1).astype(np.float64)
    if rows.shape[1] == 0:
        raise ValueError("mechanism: outputs of no entries, expected at least one a run")
    if not np.all(np.isfinite(rows)):
        raise ValueError("mechanism: outputs that are not finite; give a score that says what they mean")
    return rows


def _scored(score: Callable[[Any], Any], outputs: Any) -> np.ndarray:
    values = np.asarray(to_host(score(outputs)))
    if values.shape != (outputs.shape[0],):
        raise ValueError(f"score: shape {values.shape}, expected ({outputs.shape[0]},), one number a run")
    return _numbers("score", values)


def _require_fresh(earlier: Any, later: Any) -> None:
    """Raise when a mechanism gives the same many values again: it does not draw from the generator."""
    size = min(earlier.shape[0], later.shape[0], LEAST_RUNS)
    before, after = (np.asarray(to_host(outputs[:size, ...])) for outputs in (earlier, later))
    if np.array_equal(before, after) and len(np.unique(before.reshape(size, -1)[:, 0])) > 8:
        raise ValueError("mechanism: a second call repeats the first; expected fresh draws from rng")


def _scores(name: str, scores: Any) -> np.ndarray:
    values = np.asarray(to_host(scores))
    if values.ndim != 1 or len(values) < LEAST_RUNS:
        raise ValueError(
            f"{name} of shape {values.shape}: expected one score a run, at least {LEAST_RUNS} runs"
        )
    return _numbers(name, values)


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} of dtype {values.dtype}: expected real numbers")
    values = values.astype(np.float64)
    if np.any(np.isnan(values)):
        raise ValueError(f"{name}: {int(np.isnan(values).sum())} of {len(values)} are not numbers")
    return values


def _eps_levels(eps: Any) -> np.ndarray:
    levels = np.asarray(eps, dtype=np.float64)
    if levels.size == 0 or not np.all(np.isfinite(levels)):
        raise ValueError(f"eps={eps!r}: expected finite numbers")
    return levels


def _require_budget(delta: Any, conf: Any) -> None:
    for name, value, low in (("delta", delta, 0.0), ("conf", conf, 0.5)):
        real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not real or not low <= value < 1:
            raise ValueError(f"{name}={value!r}: expected a number in [{low:g}, 1)")


def _require_count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}={value!r}: expected an integer >= {least}")
