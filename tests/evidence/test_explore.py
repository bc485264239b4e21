"""Sliders redraw, refuse what does not fit, and leave a still picture for readers without widgets."""

import pytest

from touchstone.evidence import figures
from touchstone.evidence.explore import explore


def line(slope=2.0, points=3):
    figure, ax = figures.blank(width="half")
    ax.plot(range(points), [slope * x for x in range(points)])
    ax.set(xlabel="x", ylabel="y")
    figures.finding(ax, f"slope {slope:g} on {points} points")
    return figure


def shown(slope=(0.0, 4.0), points=(2, 9)):
    return explore(line, alt="A line through the origin.", slope=slope, points=points)


def test_bounds_and_defaults_make_the_sliders():
    sliders = shown().sliders
    assert (sliders["slope"].min, sliders["slope"].max, sliders["slope"].value) == (0.0, 4.0, 2.0)
    assert type(sliders["slope"]).__name__ == "FloatSlider"
    assert type(sliders["points"]).__name__ == "IntSlider"


def test_moving_a_slider_redraws():
    explorer = shown()
    before = explorer._image.value
    assert "slope 2 on 3 points" in before
    explorer.sliders["slope"].value = 3.0
    assert "slope 3 on 3 points" in explorer._image.value
    assert explorer._image.value != before


def test_a_reader_without_widgets_gets_the_picture_and_its_description():
    bundle = shown()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["image/svg+xml"].lstrip().startswith(("<?xml", "<svg"))
    assert "A line through the origin." in bundle["image/svg+xml"]
    assert "A line through the origin." in bundle["text/plain"]


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"slope": (0.0, 1.0), "points": (2, 9)}, "slope=2.0"),
        ({"slope": (0.0, 4.0)}, "points"),
        ({"slope": (0.0, 4.0), "points": (2, 9), "colour": (0, 1)}, "colour"),
    ],
)
def test_ranges_that_do_not_fit_are_refused(ranges, message):
    with pytest.raises(ValueError, match=message):
        explore(line, alt="A line.", **ranges)


def test_a_drawing_must_return_its_figure():
    with pytest.raises(TypeError, match="expected the Figure"):
        explore(lambda slope=1.0: None, alt="Nothing.", slope=(0.0, 2.0))
