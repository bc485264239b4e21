from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from touchstone.evidence import figures
from touchstone.evidence.errors import FigureError
from touchstone.evidence.study import Study

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_OUTPUT", str(tmp_path / "out"))
    return Study("a-paper", device="cpu")


def draw(ax):
    ax.plot([1, 2, 3], [1, 4, 9])
    ax.set(title="grows as $n^2$", xlabel="$n$ (tokens)", ylabel="count")


def drawn(study, name, spoil, **more):
    with study.figure(name, alt="a", **more) as (fig, axes):
        for ax in np.atleast_1d(axes):
            draw(ax)
        spoil(fig, axes)


def stored(study, name="error"):
    return ElementTree.parse(study.output / f"{name}.svg").getroot()


def test_words_for_those_who_cannot_see(study):
    with study.figure("error", alt="Counts & limits: n < 3,\nthree points.") as (_, ax):
        draw(ax)
    root = stored(study)
    assert root.get("role") == "img"
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    assert title.get("id") == "a-paper-error-title"
    assert title.text == "grows as $n^2$"
    assert desc.text == "Counts & limits: n < 3, three points."
    texts = ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]
    assert "count" in texts  # text is kept as text
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert len(ids) == len(set(ids))


def test_no_date_and_no_version(study):
    with study.figure("error", alt="a") as (_, ax):
        draw(ax)
    text = (study.output / "error.svg").read_text()
    assert "<dc:date>" not in text
    assert "Matplotlib" not in text


def test_nothing_of_the_style_stays_behind(study):
    matplotlib.rcParams["lines.linewidth"] = 7.0
    try:
        before = dict(matplotlib.rcParams)
        with study.figure("error", alt="a") as (_, ax):
            assert matplotlib.rcParams["lines.linewidth"] == figures.STYLE["lines.linewidth"]
            draw(ax)
        assert dict(matplotlib.rcParams) == before
        with pytest.raises(ZeroDivisionError), study.figure("other", alt="a"):
            raise ZeroDivisionError
        assert dict(matplotlib.rcParams) == before
    finally:
        matplotlib.rcParams["lines.linewidth"] = matplotlib.rcParamsDefault["lines.linewidth"]


def test_the_users_settings_do_not_reach_the_picture(study):
    with study.figure("one", alt="a") as (_, ax):
        draw(ax)
    loud = {"axes.facecolor": "red", "font.size": 30, "svg.hashsalt": "x"}
    with matplotlib.rc_context(loud), study.figure("two", alt="a") as (_, ax):
        draw(ax)
    one, two = ((study.output / f"{name}.svg").read_text() for name in ("one", "two"))
    assert one.replace("a-paper-one", "") == two.replace("a-paper-two", "")


def test_an_exception_stores_nothing(study):
    with pytest.raises(ZeroDivisionError):
        drawn(study, "error", lambda fig, ax: 1 / 0)
    assert not study.output.exists()
    with study.figure("error", alt="a") as (_, ax):  # and the name is free
        draw(ax)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda fig, ax: ax.set_title(""), "no title"),
        (lambda fig, ax: ax.set_xlabel(" "), "x axis has no label"),
        (lambda fig, ax: ax.set_ylabel(""), "y axis has no label"),
        (lambda fig, ax: ax.remove(), "empty"),
        (lambda fig, ax: ax.twinx().plot([1, 2]), "axes 2: the y axis has no label"),
    ],
)
def test_house_rules(study, spoil, message):
    with pytest.raises(FigureError, match=message):
        drawn(study, "error", spoil)
    assert not study.output.exists()


def test_panels(study):
    with study.figure("three", alt="a", panels=(1, 3), sharey=True) as (fig, axes):
        assert axes.shape == (3,)
        for ax in axes:
            ax.plot([1, 2], [1, 2])
            ax.set_xlabel("$n$")
        axes[0].set_ylabel("error")  # shared, so it names the others too
        figures.finding(fig, "all three collapse")
    assert stored(study, "three").find(f"{SVG}title").text == "all three collapse"
    with pytest.raises(FigureError, match="axes 2: the x axis"):
        drawn(study, "two", lambda fig, axes: axes[1].set_xlabel(""), panels=(1, 2))
    with study.figure("grid", alt="a", panels=(2, 2)) as (_, axes):
        assert axes.shape == (2, 2)
        for i, ax in enumerate(axes.flat):
            draw(ax)
            ax.set_title(f"finding {i}")
    assert stored(study, "grid").find(f"{SVG}title").text == "finding 0 · finding 1 · finding 2 · finding 3"


def test_insets_and_colour_bars(study):
    with study.figure("map", alt="a") as (fig, ax):
        draw(ax)
        ax.inset_axes([0.1, 0.6, 0.3, 0.3]).plot([1, 2])
        image = ax.imshow([[1, 2], [3, 4]])
        fig.colorbar(image, label="error")
    with pytest.raises(FigureError, match="colour bar"):
        drawn(study, "bare", lambda fig, ax: fig.colorbar(ax.imshow([[1, 2], [3, 4]])))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "Bad Name", "alt": "a"}, "name="),
        ({"name": "../up", "alt": "a"}, "name="),
        ({"name": "ok", "alt": " "}, "alt="),
        ({"name": "ok", "alt": "a", "width": "double"}, "width='double'"),
        ({"name": "ok", "alt": "a", "panels": (0, 1)}, "panels="),
        ({"name": "ok", "alt": "a", "height": -1.0}, "height="),
    ],
)
def test_refusals(study, arguments, message):
    with pytest.raises(ValueError, match=message):
        study.figure(**arguments).__enter__()


def test_same_name_twice(study):
    with study.figure("error", alt="a") as (_, ax):
        draw(ax)
    with pytest.raises(ValueError, match="exists already"):
        study.figure("error", alt="a").__enter__()


def test_order_of_drawing(study):
    with study.figure("error", alt="a") as (_, ax):
        x = [1, 2, 3]
        first, second = figures.data(ax, x, x, "one"), figures.data(ax, x, x, "two")
        grey = figures.control(ax, x, x, "control")
        theory, level = figures.prediction(ax, x, x, "theory"), figures.limit(ax, 1.0, "limit")
        assert max(theory.get_zorder(), level.get_zorder()) < grey.get_zorder() < first.get_zorder()
        assert {theory.get_linestyle(), level.get_linestyle()} == {"--"}
        assert grey.get_color() == figures.CONTROL
        assert first.get_color() != second.get_color()
        assert first.get_marker() != second.get_marker()
        draw(ax)


def test_labels_stand_at_the_ends_and_apart(study):
    with study.figure("error", alt="a") as (_, ax):
        x = np.geomspace(1, 100, 5)
        for i in range(4):
            figures.data(ax, x, x * (1 + 1e-3 * i), f"line {i}")
        figures.limit(ax, 50.0, "limit")
        draw_labels = {"xscale": "log", "xlabel": "x", "ylabel": "y", "title": "t"}
        ax.set(**draw_labels)
        figures.label_lines(ax)
        heights = sorted(text.xy[1] for text in ax.texts)
    assert [
        text.get_text() for text in sorted(ax.texts, key=lambda t: t.xy[1]) if "line" in text.get_text()
    ] == [f"line {i}" for i in range(4)]
    assert len(heights) == 5
    assert np.min(np.diff(heights)) > 0.04


def test_pushing_apart():
    assert figures._apart([], 0.1) == []
    assert figures._apart([0.5], 0.1) == [0.5]
    assert figures._apart([0.1, 0.5], 0.1) == [0.1, 0.5]
    assert figures._apart([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.4, 0.5, 0.6])
    spread = figures._apart([0.2, 0.21, 0.3, 0.31], 0.1)
    assert np.all(np.diff(spread) > 0.1 - 1e-12)


def test_long_findings_wrap_outside_formulas(study):
    with study.figure("error", alt="a", width="half") as (_, ax):
        draw(ax)
        figures.finding(ax, r"cost over length grows like $n^{1.04 \pm 0.02} \log n$ and never faster here")
        lines = ax.get_title("left").splitlines()
        assert len(lines) >= 2
        assert all(line.count("$") % 2 == 0 for line in lines)
    title = stored(study).find(f"{SVG}title").text
    assert r"$n^{1.04 \pm 0.02} \log n$" in title
    assert "\n" not in title


@pytest.mark.parametrize("title", ["word " * 30, "averyverylongwordwithoutanyend" * 4, "$n^2$ " * 40])
@pytest.mark.parametrize("inches", [1.0, 3.0, 7.0])
def test_wrapping_keeps_every_word_and_the_width(title, inches):
    lines = figures._wrapped(title, inches).splitlines()
    assert " ".join(lines).split() == title.split()
    for line, below in itertools.zip_longest(lines, lines[1:]):
        assert width(line) <= inches or len(line.split()) == 1
        if below is not None:  # and no line ends before it has to
            assert width(f"{line} {below.split()[0]}") > inches


def width(text):
    face = FontProperties(family="DejaVu Sans", weight="bold")
    return TextPath((0, 0), text, size=figures.STYLE["axes.titlesize"], prop=face).get_extents().width / 72


def test_stretched_signs_are_drawn_and_everything_else_stays_text(study):
    def name(fig, ax):
        ax.set_xlabel(r"$B / \sqrt{\ln n}$ and $\left(\frac{a}{b}\right)$", color="red")
        ax.set_ylabel(r"$\sqrt{n}$")  # a root of the ordinary size, which every face has

    drawn(study, "roots", name)
    text = (study.output / "roots.svg").read_text()
    assert "STIXSize" not in text
    assert "DejaVu Sans Display" not in text
    formulas = [g for g in stored(study, "roots").iter(f"{SVG}g") if g.find(f"{SVG}text") is not None]
    (stretched,) = [g for g in formulas if g.find(f"{SVG}path") is not None]
    assert len(stretched.findall(f"{SVG}path")) == 3  # one root, two brackets
    assert "fill: #ff0000" in stretched.get("style")  # which the outlines inherit
    letters = "".join("".join(stretched.find(f"{SVG}text").itertext()).split())
    assert sorted(letters) == sorted("B/lnnandab")
    # the root stands where Matplotlib put it: left of its bar and on the line
    bar = stretched.find(f"{SVG}rect")
    outline = stretched.findall(f"{SVG}path")[0].get("d")
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", outline)]
    assert max(numbers[::2]) == pytest.approx(float(bar.get("x")), abs=1.0)
    assert -15 < min(numbers[1::2]) < max(numbers[1::2]) < 5


def test_short_logarithmic_axes_are_labelled_plainly(study):
    def stretch(x):
        def change(fig, ax):
            ax.clear()
            ax.plot(x, x)
            ax.set(xscale="log", title="t", xlabel="x", ylabel="y", xlim=(x[0], x[-1]))

        return change

    def labels(name):
        group = next(g for g in stored(study, name).iter(f"{SVG}g") if g.get("id") == "matplotlib.axis_1")
        return {"".join(node.itertext()).strip() for node in group.iter(f"{SVG}text")}

    drawn(study, "short", stretch([0.3, 6.0]))
    assert labels("short") == {"0.5", "1", "2", "5", "x"}
    drawn(study, "middle", stretch([200.0, 15000.0]))
    assert labels("middle") == {"1000", "10000", "x"}
    drawn(study, "long", stretch([1.0, 1e5]))
    assert not labels("long") & {"1", "1000"}  # powers of ten, as Matplotlib writes them


def test_shown_once_in_a_notebook(study, monkeypatch):
    import IPython
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: type("Shell", (), {"kernel": object()})())
    monkeypatch.setattr(IPython.display, "display", shown.append)
    with study.figure("error", alt="a") as (_, ax):
        draw(ax)
    assert len(shown) == 1
    assert "a-paper-error-title" in shown[0]._repr_svg_()
