"""A study: the checks of one paper, their pictures and their ledger.

One object a notebook, one call a claim. The same rule object judges the claim and its controls; the verdict
is computed from what it made of them, and ``finish`` writes all of it down.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from touchstone import arrays
from touchstone.evidence import arguments, display, ledger
from touchstone.evidence.arguments import Measure
from touchstone.evidence.errors import CheckError, MeasurementError, StudyError
from touchstone.evidence.host import host_facts
from touchstone.evidence.numbers import encoded
from touchstone.evidence.rules.base import Judgement, Rule
from touchstone.evidence.verdict import Side, Verdict, decide, sentence_for

PROFILES = ("full", "quick", "gpu")
KINDS = (
    "identity",
    "scaling",
    "bound",
    "probability",
    "rate",
    "threshold",
    "hardness",
    "privacy",
    "comparison",
)
READ_IN = ("theorem", "abstract", "reconstructed")
OUTPUT_VARIABLE = "TOUCHSTONE_OUTPUT"

_UNSET: Any = object()


class Study:
    """The checks of the paper ``slug`` under one profile, seed and device.

    ``xp`` is the array namespace of the device. Figures and the ledger go to the folder in the environment
    variable ``TOUCHSTONE_OUTPUT``, or else to ``build/interactive/SLUG`` in the project. Raises
    ``ValueError`` for a bad slug, profile or seed and ``arrays.DeviceError`` for a device that cannot be had.
    """

    def __init__(self, slug: str, *, profile: str = "full", seed: int = 0, device: str = "auto") -> None:
        arguments.require_slug("slug", slug)
        arguments.require_one_of("profile", profile, PROFILES)
        arrays.stream(seed, slug)  # a bad seed is reported here and not in the middle of the run
        self.slug = slug
        self.profile = profile
        self.seed = int(seed)
        self.xp = arrays.open_device(device)
        self.device = "cuda" if "cupy" in self.xp.__name__ else "cpu"
        self.output = _output_folder(slug)
        self._verdicts: dict[str, Verdict] = {}
        self._figures: dict[str, dict[str, Any]] = {}
        self._seconds: dict[str, dict[str, float]] = {}
        self._started = time.perf_counter()
        self._finished = False

    def __repr__(self) -> str:
        state = "finished" if self._finished else "open"
        return (
            f"Study({self.slug!r}, profile={self.profile!r}, seed={self.seed}, device={self.device!r}): "
            f"{state}, {display.count_words(list(self._verdicts.values()))}"
        )

    # -- what measurements need --------------------------------------------------------------------------

    def stream(self, *labels: str | int) -> np.random.Generator:
        """The random generator named by ``labels``: the same on every device, independent of all others."""
        return arrays.stream(self.seed, self.slug, *labels)

    def choose(self, *, full: Any, quick: Any, gpu: Any = _UNSET) -> Any:
        """The value for this study's profile; ``gpu`` is that of ``full`` unless given."""
        return {"full": full, "quick": quick, "gpu": full if gpu is _UNSET else gpu}[self.profile]

    # -- checks ------------------------------------------------------------------------------------------

    def check(
        self,
        id: str,
        *,
        kind: str,
        says: str,
        source: str,
        read_in: str,
        rule: Rule,
        claim: Measure,
        control: tuple[str, Measure] | Sequence[tuple[str, Measure]] | Mapping[str, Measure] | None = None,
        trivial: tuple[str, Measure] | None = None,
        sizes: Mapping[str, Any] | None = None,
        seen: str | None = None,
    ) -> Verdict:
        """Measure the claim and its controls, judge both by ``rule``, and record the verdict.

        ``id`` is a slug; ``kind`` one of ``KINDS``; ``says`` the sentence on trial (Markdown, LaTeX between
        dollar signs); ``source`` where it stands and ``read_in`` how it was read (``READ_IN``). ``claim``
        takes no argument and returns what the rule judges. ``control`` is a (name, measurement) pair, a list
        of pairs or a mapping: the same measurement with the assumption broken, which the rule must reject.
        ``trivial`` is the answer of no method at all, held against the same rule: a claim that it satisfies
        too is called vacuous. ``sizes`` are the grids, for the ledger. ``seen`` tells what happens instead,
        and is shown only when the claim is refuted.

        Raises ``ValueError`` before any measurement for bad arguments or no control; ``CheckError`` when the
        measurement or the judging of any side fails, or when a control is rejected only because it measured
        nothing; then nothing is recorded. ``StudyError`` after ``finish``.
        """
        self._require_open("check")
        self._require_new(id)
        arguments.require_one_of("kind", kind, KINDS)
        arguments.require_one_of("read_in", read_in, READ_IN)
        arguments.require_text(says=says, source=source)
        if seen is not None:
            arguments.require_text(seen=seen)
        if not isinstance(rule, Rule):
            raise ValueError(f"rule={rule!r}: expected a rule (touchstone.evidence.rules)")
        arguments.require_measure("claim", claim)
        controls = arguments.controls_of(control)
        if trivial is not None:
            arguments.require_pair("trivial", trivial)
        sizes = arguments.sizes_of(sizes)
        encoded(rule.described())  # a rule that the ledger cannot hold is a mistake to report before the run

        seconds: dict[str, float] = {}
        claim_side = _measured(id, "the claim", "claim", claim, rule, seconds)
        control_sides = []
        for name, measure in controls.items():
            side = _measured(id, f"the control ‘{name}’", name, measure, rule, seconds)
            _require_earnest(id, side, rule)
            control_sides.append(side)
        trivial_side = None
        if trivial is not None:
            name, measure = trivial
            trivial_side = _measured(id, f"the trivial answer ‘{name}’", name, measure, rule, seconds)

        judged = {side.name: side.judgement for side in control_sides}
        word, reason = decide(claim_side.judgement.outcome, {name: j.outcome for name, j in judged.items()})
        verdict = Verdict(
            id=id,
            kind=kind,
            says=says,
            source=source,
            read_in=read_in,
            verdict=word,
            sentence=sentence_for(word, claim_side.judgement, judged, reason),
            rule=rule,
            sizes=sizes,
            claim_side=claim_side,
            control_sides=tuple(control_sides),
            trivial_side=trivial_side,
            reason=reason,
            seen=seen,
            caveats=_caveats(claim_side.judgement, judged),
        )
        encoded(verdict.entry())
        self._verdicts[id] = verdict
        self._seconds[id] = seconds
        return verdict

    def out_of_reach(
        self, id: str, *, kind: str, says: str, source: str, read_in: str, reason: str
    ) -> Verdict:
        """Record a claim that running cannot decide, and why. The only way to this verdict."""
        self._require_open("check")
        self._require_new(id)
        arguments.require_one_of("kind", kind, KINDS)
        arguments.require_one_of("read_in", read_in, READ_IN)
        arguments.require_text(says=says, source=source, reason=reason)
        verdict = Verdict(
            id=id,
            kind=kind,
            says=says,
            source=source,
            read_in=read_in,
            verdict="out_of_reach",
            sentence=f"Not decided by running: {reason.strip().rstrip('.')}.",
            reason=reason,
        )
        self._verdicts[id] = verdict
        self._seconds[id] = {}
        return verdict

    # -- pictures ----------------------------------------------------------------------------------------

    @contextmanager
    def figure(
        self,
        name: str,
        *,
        alt: str,
        width: str = "full",
        panels: tuple[int, int] = (1, 1),
        height: float | None = None,
        machine: bool = False,
        **subplots: Any,
    ) -> Iterator[tuple[Any, Any]]:
        """Draw in the house style: ``with study.figure("error", alt="…") as (fig, ax):``.

        Yields the figure and its axes (an array of them for several ``panels`` = (rows, columns)). When the
        block ends the picture is stored as ``NAME.svg`` with ``alt`` as its description, shown in Jupyter and
        closed. ``machine=True`` is for pictures of wall clocks: they are stored under ``machine/`` and never
        compared. An exception in the block stores nothing.

        Raises ``ValueError`` for a bad name or no ``alt``, ``FigureError`` for a picture without a title or
        with an unnamed axis, ``StudyError`` after ``finish``.
        """
        from touchstone.evidence import (
            figures,
            svg,
        )  # Matplotlib: half a second, only where pictures are drawn

        self._require_open("draw")
        arguments.require_slug("name", name)
        arguments.require_text(alt=alt)
        if name in self._figures:
            raise ValueError(
                f"name={name!r}: a figure of this name exists already; run the notebook again from the cell "
                "that creates the Study"
            )
        with figures.house_style():
            figure, axes = figures.blank(width, panels, height, **subplots)
            yield figure, axes
            figures.require_labels(figure)
            title = figures.title_of(figure)
            figures.plain_ticks(figure)
            alt = " ".join(alt.split())
            picture = svg.render(figure, f"{self.slug}-{name}", title, alt)
        file = f"{ledger.MACHINE}/{name}.svg" if machine else f"{name}.svg"
        ledger.write_atomically(self.output / file, picture)
        self._figures[name] = {"name": name, "file": file, "title": title, "alt": alt, "width": width}
        _display(picture)

    # -- the end -----------------------------------------------------------------------------------------

    def summary(self) -> Summary:
        """The table of the verdicts so far."""
        return Summary(self.slug, tuple(self._verdicts.values()))

    def finish(self) -> Summary:
        """Write ``ledger.json`` and ``machine/run.json`` and close the study; returns the summary.

        Raises ``StudyError`` when it was finished before or nothing was checked, ``OSError`` when the files
        cannot be written (then neither is left in part, and it may be called again).
        """
        self._require_open("finish")
        if not self._verdicts:
            raise StudyError(f"study {self.slug!r}: nothing was checked, so there is nothing to write down")
        findings = encoded(self._ledger())
        ledger.validate(findings)
        ledger.write_atomically(self.output / ledger.MACHINE / ledger.RUN, ledger.dump(self._run()))
        ledger.write_atomically(self.output / ledger.LEDGER, ledger.dump(findings))
        self._finished = True
        return self.summary()

    def _ledger(self) -> dict[str, Any]:
        return {
            "schema_version": ledger.SCHEMA_VERSION,
            "slug": self.slug,
            "profile": self.profile,
            "seed": self.seed,
            "device": self.device,
            "versions": ledger.versions(),
            "checks": [verdict.entry() for verdict in self._verdicts.values()],
            "figures": [figure for figure in self._figures.values() if not _of_machine(figure)],
        }

    def _run(self) -> dict[str, Any]:
        return {
            "schema_version": ledger.SCHEMA_VERSION,
            "slug": self.slug,
            "profile": self.profile,
            "seed": self.seed,
            "device": self.device,
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": {
                "total": time.perf_counter() - self._started,
                "checks": {
                    id: {"total": sum(sides.values()), "sides": sides} for id, sides in self._seconds.items()
                },
            },
            "figures": [figure for figure in self._figures.values() if _of_machine(figure)],
            "host": host_facts(),
        }

    def _require_open(self, action: str) -> None:
        if self._finished:
            raise StudyError(f"study {self.slug!r} is finished: cannot {action} any more")

    def _require_new(self, id: str) -> None:
        arguments.require_slug("id", id)
        if id in self._verdicts:
            raise ValueError(
                f"id={id!r}: a check of this name exists already; run the notebook again from the cell that "
                "creates the Study"
            )


class Summary:
    """The verdicts of a study as a table, in Jupyter and in plain text."""

    def __init__(self, slug: str, verdicts: tuple[Verdict, ...]) -> None:
        self.slug = slug
        self.verdicts = verdicts

    def __repr__(self) -> str:
        return display.summary_text(self.verdicts, self.slug)

    def _repr_html_(self) -> str:
        return display.summary_html(self.verdicts, self.slug)


# -- measuring -------------------------------------------------------------------------------------------


def _measured(id: str, side: str, name: str, measure: Measure, rule: Rule, seconds: dict[str, float]) -> Side:
    """Run one side of a check and judge it; whatever goes wrong is an error that names the side."""
    start = time.perf_counter()
    try:
        measurement = measure()
    except Exception as error:
        raise CheckError(f"check {id!r}: {side} could not be measured: {_named(error)}") from error
    finally:
        seconds[side] = time.perf_counter() - start
    try:
        judgement = rule.judge(measurement)
    except MeasurementError as error:
        raise CheckError(f"check {id!r}: {side} gave a measurement that cannot be judged: {error}") from error
    except Exception as error:
        raise CheckError(f"check {id!r}: {rule.name} failed on {side}: {_named(error)}") from error
    return Side(name, measurement, judgement)


def _require_earnest(id: str, side: Side, rule: Rule) -> None:
    """A control that is rejected must be so for what it measured."""
    if side.judgement.outcome != "rejects":
        return
    reason = rule.triviality(side.measurement)
    if reason is not None:
        raise CheckError(
            f"check {id!r}: the control ‘{side.name}’ is rejected trivially ({reason}), which proves nothing "
            "about the rule"
        )


def _caveats(claim: Judgement, controls: Mapping[str, Judgement]) -> tuple[str, ...]:
    """The parts of a compound rule that no control puts to the test."""
    untested = [
        name
        for name in claim.parts
        if not any(control.parts[name].outcome == "rejects" for control in controls.values())
    ]
    if not untested:
        return ()
    return (
        f"no control is rejected by the part {' or '.join(f'‘{name}’' for name in untested)} of the rule",
    )


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


# -- places ----------------------------------------------------------------------------------------------


def _output_folder(slug: str) -> Path:
    given = os.environ.get(OUTPUT_VARIABLE)
    if given:
        return Path(given).absolute()
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / "pyproject.toml").is_file()), here)
    return root / "build" / "interactive" / slug


def _of_machine(figure: Mapping[str, Any]) -> bool:
    return figure["file"].startswith(f"{ledger.MACHINE}/")


def _display(picture: bytes) -> None:
    """Show the picture if a notebook is listening."""
    if "IPython" not in sys.modules:
        return
    from IPython import get_ipython
    from IPython.display import SVG
    from IPython.display import display as show

    shell = get_ipython()
    if shell is not None and getattr(shell, "kernel", None) is not None:
        show(SVG(data=picture.decode("utf-8")))
