"""The picture of a calibration: one panel a rule, rejection against effect."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from touchstone.evidence.calibration.measure import CONFIDENCE, Calibration, worst
from touchstone.evidence.calibration.scenario import OFTEN, RARELY
from touchstone.evidence.figures import MARKERS, PALETTE, blank, finding, house_style
from touchstone.evidence.proportions import clopper_pearson
from touchstone.evidence.svg import render

COLUMNS = 3
EDGE = 4e-4  # what the probability axis leaves out at either end: a rate of 0 is drawn there
TICKS = {0.001: "0.1 %", 0.01: "1 %", 0.5: "50 %", 0.99: "99 %", 0.999: "99.9 %"}
MISSED = "#B00020"
SMALL = 7.0


def draw(rules: Mapping[str, Sequence[Calibration]], title: str, alt: str) -> bytes:
    """The figure as SVG; ``rules`` maps each rule's name to its calibrations."""
    with house_style():
        rows = -(-len(rules) // COLUMNS)
        figure, axes = blank(
            "full", (rows, COLUMNS), height=0.9 + 1.75 * rows, sharex=True, sharey=True, squeeze=False
        )
        figure.get_layout_engine().set(w_pad=0.03, h_pad=0.05)
        panels = list(axes.flat)
        for ax, (name, calibrations) in zip(panels, rules.items(), strict=False):
            _panel(ax, name, calibrations)
        for ax in panels[len(rules) :]:
            ax.set_visible(False)
        _explain(panels[0], figure)
        finding(figure, title)
        return render(figure, "calibration", title, alt)


def _panel(ax: Axes, name: str, calibrations: Sequence[Calibration]) -> None:
    missed = worst(c.verdict for c in calibrations) == "beyond"
    ax.set_yscale("logit", nonpositive="clip")
    ax.set_ylim(EDGE, 1 - EDGE)
    ax.set_xlim(-1.08, 1.58)
    ax.minorticks_off()
    ax.set_yticks(list(TICKS), list(TICKS.values()))
    ax.set_xticks([-1, -0.5, 0, 0.5, 1, 1.5], ["−1", "", "0", "", "1", ""])
    ax.tick_params(labelsize=SMALL, length=2, labelbottom=True)
    # where a rule may be at 0 and at 1
    ax.fill_between([-1.08, 0], EDGE, RARELY, color="#000000", alpha=0.06, linewidth=0)
    ax.fill_between([1, 1.58], OFTEN, 1 - EDGE, color="#000000", alpha=0.06, linewidth=0)
    for y in (RARELY, OFTEN):
        ax.axhline(y, color="#000000", linestyle="--", linewidth=0.9, zorder=1.5)
    ax.axvline(1, color="#000000", linestyle="--", linewidth=0.9, zorder=1.5)
    for at, calibration in enumerate(calibrations):
        _curve(ax, calibration, PALETTE[at % len(PALETTE)], MARKERS[at % len(MARKERS)])
    legend = ax.legend(
        loc="lower right",
        fontsize=SMALL - 1,
        handlelength=0.7,
        handletextpad=0.3,
        borderpad=0.2,
        borderaxespad=0.1,
        labelspacing=0.15,
        frameon=True,
        facecolor="white",
        edgecolor="none",
        framealpha=0.7,
    )
    legend.set_zorder(3.5)  # above the curves, below the points that count
    ax.set_title(name, fontsize=8.5, pad=3, color=MISSED if missed else "#000000")
    ax.set_xlabel("\n".join(textwrap.wrap(_axis(calibrations), 44)), fontsize=SMALL, labelpad=1)


def _axis(calibrations: Sequence[Calibration]) -> str:
    """What the effects 0 and 1 are in the docstring's own measure, for all curves of a panel."""
    ranges: dict[str, list[str]] = {}
    for scenario in (calibration.scenario for calibration in calibrations):
        between = f"{_short(scenario.hardest)} to {_short(scenario.stated)}"
        if between not in ranges.setdefault(scenario.measure, []):
            ranges[scenario.measure].append(between)
    return "; ".join(f"{measure}, {' or '.join(betweens)}" for measure, betweens in ranges.items())


def _curve(ax: Axes, calibration: Calibration, colour: str, marker: str) -> None:
    shown = [p for p in calibration.points if -1.05 <= p.effect <= 1.55]
    x = [p.effect for p in shown]
    rates = np.clip([p.rejects / p.trials for p in shown], EDGE, 1 - EDGE)
    ends = [
        (
            clopper_pearson(p.rejects, p.trials, CONFIDENCE, "lower")[0],
            clopper_pearson(p.rejects, p.trials, CONFIDENCE, "upper")[1],
        )
        for p in shown
    ]
    low, high = np.clip(np.transpose(ends), EDGE, 1 - EDGE)
    name = "\n".join(textwrap.wrap(calibration.scenario.name, 24))
    ax.plot(x, rates, color=colour, linewidth=1.2, label=name, zorder=3)
    ax.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)
    for found in calibration.findings:
        if found.promise.kind in ("false alarm", "power"):
            missed = found.verdict == "beyond"
            ax.plot(
                [found.effect],
                [np.clip(found.rate, EDGE, 1 - EDGE)],
                marker="X" if missed else marker,
                markersize=6.5 if missed else 3.5,
                color=MISSED if missed else colour,
                markeredgecolor="white",
                markeredgewidth=0.5,
                linestyle="",
                zorder=4 + missed,
                clip_on=False,
            )


def _explain(ax: Axes, figure: Figure) -> None:
    figure.supylabel("probability that the rule rejects", fontsize=9)
    figure.supxlabel(
        "effect, in units of what the docstring states: 0 is the claim true at its hardest, 1 the stated "
        "effect",
        fontsize=9,
    )
    words = {"fontsize": SMALL - 1, "va": "center"}
    ax.annotate("false alarms ≤ 1 %", (-1.03, 0.0032), **words)
    ax.annotate("power ≥ 99 %", (-1.03, 0.9965), **words)
    ax.annotate("stated effect", (0.97, 0.13), ha="right", rotation=90, **words)


def _short(number: float) -> str:
    return f"{number:.3g}".replace("-", "−")
