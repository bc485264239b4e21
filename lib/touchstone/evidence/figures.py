"""The house style: one claim a figure, the prediction first, the control in grey, the finding as title.

Figures are drawn on bare ``matplotlib.figure.Figure`` objects under a context of settings, so that nothing
of the style stays behind in the process and no window system is needed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter

from touchstone.evidence.errors import FigureError

# Okabe and Ito's palette, without the yellow that vanishes on white and the black that is the prediction's
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
PREDICTION = "#000000"
CONTROL = "#767676"
AXIS_INCHES = 0.8  # what tick labels and the name of the y axis take from a panel
WIDTHS = {"full": 7.2, "half": 4.6}  # inches; half is set larger than half, to stay readable when shrunk

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "touchstone",
    "svg.id": None,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
    "mathtext.fontset": "dejavusans",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "figure.titlesize": 11.0,
    "figure.titleweight": "bold",
    "axes.labelsize": 10.0,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "image.cmap": "viridis",
    # a white card: the same on a light and on a dark page
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.edgecolor": "none",
    "savefig.bbox": None,
    "figure.dpi": 100.0,
    "figure.constrained_layout.w_pad": 0.12,
    "figure.constrained_layout.h_pad": 0.12,
    "text.usetex": False,
    "path.simplify": True,
    "axes.unicode_minus": True,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's defaults with the house style on top, for the length of the block."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # leaves the backend alone; the context brings the user's settings back
        matplotlib.rcParams.update(STYLE)
        yield


def blank(
    width: str = "full", panels: tuple[int, int] = (1, 1), height: float | None = None, **subplots: Any
) -> tuple[Figure, Any]:
    """An empty figure and its axes (one, or an array for several ``panels`` = (rows, columns)).

    ``width`` is ``"full"`` or ``"half"`` of a page, ``height`` inches (by default from the panels' number).
    Raises ``ValueError`` for other values.
    """
    if width not in WIDTHS:
        raise ValueError(f"width={width!r}: expected one of {', '.join(map(repr, WIDTHS))}")
    rows, columns = panels
    if rows < 1 or columns < 1:
        raise ValueError(f"panels={panels!r}: expected two integers >= 1")
    inches = WIDTHS[width]
    if height is None:
        height = 0.6 + rows * min(3.4, 0.75 * inches / columns + 0.4)
    if not height > 0:
        raise ValueError(f"height={height!r}: expected a positive number of inches")
    figure = Figure(figsize=(inches, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **subplots)


# -- what is drawn ---------------------------------------------------------------------------------------


def prediction(ax: Axes, x: Any, y: Any, label: str | None = None, **style: Any) -> Line2D:
    """What the theory says: a dashed black line under everything else."""
    settings = {"color": PREDICTION, "linestyle": "--", "linewidth": 1.4, "zorder": 1.5, "marker": ""}
    return _plot(ax, x, y, label, settings | style)


def limit(ax: Axes, y: float, label: str | None = None, **style: Any) -> Line2D:
    """The rule's limit: a dashed level line across the axes."""
    settings = {"color": PREDICTION, "linestyle": "--", "linewidth": 1.4, "zorder": 1.5}
    return ax.axhline(y, label=label, **(settings | style))


def control(ax: Axes, x: Any, y: Any, label: str | None = None, **style: Any) -> Line2D:
    """What the rule must reject: grey, with open markers, under the data."""
    settings = {"color": CONTROL, "marker": "x", "linewidth": 1.2, "zorder": 2.0}
    return _plot(ax, x, y, label, settings | style)


def data(ax: Axes, x: Any, y: Any, label: str | None = None, *, interval: Any = None, **style: Any) -> Line2D:
    """What was measured: its own colour and marker each call; ``interval`` = (low, high) adds a band."""
    drawn = sum(line.get_gid() == "data" for line in ax.get_lines())
    settings = {
        "color": PALETTE[drawn % len(PALETTE)],
        "marker": MARKERS[drawn % len(MARKERS)],
        "zorder": 3.0,
        "gid": "data",
    } | style
    line = _plot(ax, x, y, label, settings)
    if interval is not None:
        low, high = (np.asarray(end, dtype=float) for end in interval)
        ax.fill_between(np.asarray(x, dtype=float), low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    return line


def finding(target: Axes | Figure, title: str) -> None:
    """Set the title of an axes or of a whole figure: what was found, not what is drawn."""
    figure = target if isinstance(target, Figure) else target.get_figure()
    inches = figure.get_figwidth()
    if isinstance(target, Figure):
        target.suptitle(_wrapped(title, inches - 0.2), x=0.01, ha="left")
        return
    spec = target.get_subplotspec()
    if spec is not None:
        inches /= spec.get_gridspec().ncols
    target.set_title(_wrapped(title, inches - AXIS_INCHES), loc="left")


def label_lines(ax: Axes, *, size: float = 9.0) -> None:
    """Write each labelled line's label at its right end, in its colour, instead of a legend.

    Call it last: it fixes the limits of the axes. Labels that would overlap are moved apart.
    """
    ax.set_xlim(ax.get_xlim())
    ax.set_ylim(ax.get_ylim())
    to_axes = ax.transData + ax.transAxes.inverted()
    spec = ax.get_subplotspec()
    rows = spec.get_gridspec().nrows if spec is not None else 1
    step = 1.25 * size / 72 / (0.75 * ax.get_figure().get_figheight() / rows)
    ends = []
    for line in ax.get_lines():
        if str(line.get_label()).startswith("_"):
            continue
        x, y = (np.asarray(values, dtype=float) for values in line.get_data())
        if line.get_transform() != ax.transData:  # a level line: its x runs over the axes
            x = np.full(len(y), ax.get_xlim()[1])
        points = to_axes.transform(np.column_stack([x, y]))
        points = points[np.all(np.isfinite(points), axis=1)]
        if len(points):
            across, up = points[np.argmax(points[:, 0])]
            ends.append((min(max(up, 0.0), 1.0), min(across, 1.0), line))
    ends.sort(key=lambda end: end[0])
    heights = _apart([end[0] for end in ends], step)
    for height, (_, across, line) in zip(heights, ends, strict=True):
        ax.annotate(
            str(line.get_label()),
            (across, height),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            ha="left",
            color=line.get_color(),
            fontsize=size,
            annotation_clip=False,
        )


def plain_ticks(figure: Figure) -> None:
    """On logarithmic axes of less than two decades write 0.2, 0.5, 1, 2, 5 … and nothing between.

    Axes whose formatter was chosen by hand are left alone.
    """
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            if axis.get_scale() == "log" and low > 0 and high < 100 * low:
                _plain(axis, few=high >= 50 * low)


def _plain(axis: Axis, few: bool) -> None:
    kept = (1,) if few else (1, 2, 5)

    def written(x: float, _: int | None = None) -> str:
        power = math.floor(math.log10(x) + 1e-9)
        return f"{x:g}" if round(x / 10**power) in kept else ""

    if axis.isDefault_majfmt:
        axis.set_major_formatter(FuncFormatter(written))
    if axis.isDefault_minfmt:
        axis.set_minor_formatter(FuncFormatter(written))


def title_of(figure: Figure) -> str:
    """The figure's finding in one line: its own title, or those of its axes. Raises ``FigureError``."""
    titles = [figure.get_suptitle()]
    if not titles[0].strip():
        titles = [ax.get_title(loc) for ax in figure.axes for loc in ("left", "center", "right")]
    title = " · ".join(" ".join(text.split()) for text in titles if text.strip())
    if not title:
        raise FigureError("the figure has no title: expected the finding (figures.finding)")
    return title


def require_labels(figure: Figure) -> None:
    """Raise ``FigureError`` unless every visible axis of ``figure`` is named.

    An axis that shares its scale with another one of the same figure may leave the name to that one.
    """
    visible = [ax for ax in figure.axes if ax.get_visible() and ax.axison]
    if not visible:
        raise FigureError("the figure is empty: expected at least one visible axes")
    for at, ax in enumerate(visible):
        if ax.get_label() == "<colorbar>":
            if not (ax.get_xlabel() or ax.get_ylabel()):
                raise FigureError("the colour bar has no label: expected symbol and unit")
            continue
        for which, named, shared in (
            ("x", ax.get_xlabel, ax.get_shared_x_axes()),
            ("y", ax.get_ylabel, ax.get_shared_y_axes()),
        ):
            siblings = [other for other in visible if other is not ax and shared.joined(ax, other)]
            names = [getattr(other, f"get_{which}label")() for other in siblings]
            super_label = getattr(figure, f"get_sup{which}label")()
            if not (named().strip() or super_label.strip() or any(name.strip() for name in names)):
                raise FigureError(f"axes {at + 1}: the {which} axis has no label: expected symbol and unit")


def _plot(ax: Axes, x: Any, y: Any, label: str | None, style: dict[str, Any]) -> Line2D:
    (line,) = ax.plot(x, y, label=label, **style)
    return line


def _apart(heights: list[float], step: float) -> list[float]:
    """Sorted ``heights`` pushed apart to at least ``step``, each run of neighbours around its own middle."""
    groups: list[tuple[list[float], float]] = []  # members, middle
    for height in heights:
        members, middle = [height], height
        while groups:
            others, centre = groups[-1]
            if middle - centre >= step * (len(members) + len(others)) / 2:
                break
            groups.pop()
            members = others + members
            middle = sum(members) / len(members)
        groups.append((members, middle))
    return [
        middle + (i - (len(members) - 1) / 2) * step
        for members, middle in groups
        for i in range(len(members))
    ]


def _wrapped(text: str, inches: float) -> str:
    """``text`` in lines of at most ``inches``, as titles are set, never broken inside a formula."""
    whole = re.sub(r"\$[^$]*\$", lambda formula: formula.group(0).replace(" ", "\0"), " ".join(text.split()))
    lines: list[str] = []
    for word in whole.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _fits(longer.replace("\0", " "), inches):
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines).replace("\0", " ")


def _fits(text: str, inches: float) -> bool:
    """Whether ``text`` is at most so wide in the face and size of a title."""
    face = FontProperties(family="DejaVu Sans", weight="bold")
    path = TextPath((0, 0), text, size=STYLE["axes.titlesize"], prop=face)
    # curves lie between their control points, and where these fit nobody has to find the curves' own ends
    return np.ptp(path.vertices[:, 0]) <= 72 * inches or path.get_extents().width <= 72 * inches
