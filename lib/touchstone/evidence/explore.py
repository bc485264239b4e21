"""Sliders for the *Explore* section: a picture that answers at once, a still one where nothing listens."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from touchstone.evidence import figures, svg


class Explorer:
    """A drawing function and one slider for each of its parameters; made by ``explore``.

    Shown in a notebook it offers two forms at once: live sliders, for a front end with a widget manager, and
    the picture at the present values, for every other reader (a static page, a terminal-less viewer).
    """

    def __init__(self, draw: Callable[..., Figure], alt: str, sliders: dict[str, Any], key: str) -> None:
        import ipywidgets  # only where someone explores: half a second

        self._draw, self._alt, self._key = draw, alt, key
        self.sliders = sliders
        self._image = ipywidgets.HTML()
        self._image.value = self.picture().decode("utf-8")
        self.widget = ipywidgets.VBox([*sliders.values(), self._image])
        for slider in sliders.values():
            slider.observe(self._changed, names="value")

    @property
    def values(self) -> dict[str, Any]:
        """The present value of every slider."""
        return {name: slider.value for name, slider in self.sliders.items()}

    def picture(self) -> bytes:
        """The SVG at the present values."""
        with figures.house_style():
            figure = self._draw(**self.values)
            if not isinstance(figure, Figure):
                raise TypeError(
                    f"{self._draw.__name__} returned {type(figure).__name__}: expected the Figure it drew"
                )
            return svg.render(figure, self._key, figures.title_of(figure), self._alt)

    def _changed(self, _change: Any) -> None:
        self._image.value = self.picture().decode("utf-8")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle = dict(self.widget._repr_mimebundle_(include=include, exclude=exclude) or {})
        bundle["image/svg+xml"] = self._image.value
        bundle["text/plain"] = f"{self._alt} (at {self.values})"
        return bundle


def explore(draw: Callable[..., Figure], *, alt: str, **ranges: tuple[float, ...]) -> Explorer:
    """Sliders over ``ranges`` = ``name=(low, high[, step])`` that redraw ``draw(name=value, ...)``.

    Every parameter of ``draw`` needs a default, where its slider starts; whole bounds and default make a
    whole slider. ``draw`` returns the figure it drew (``figures.blank``), titled, in well under a second; it
    runs when a slider is let go. ``alt`` says what the picture shows. Raises ``ValueError`` for ranges that
    do not match the parameters of ``draw`` or do not hold their defaults.
    """
    import ipywidgets

    if not alt.strip():
        raise ValueError("alt='': expected what the picture shows")
    parameters = inspect.signature(draw).parameters
    if set(parameters) != set(ranges):
        raise ValueError(f"ranges for {sorted(ranges)}: expected one for each of {sorted(parameters)}")
    sliders = {}
    for name, parameter in parameters.items():
        low, high, *step = ranges[name]
        start = parameter.default
        if start is inspect.Parameter.empty or not low <= start <= high:
            raise ValueError(f"{name}={start!r}: expected a default within [{low}, {high}]")
        whole = all(isinstance(value, int) for value in (low, high, start, *step))
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        sliders[name] = kind(
            value=start,
            min=low,
            max=high,
            step=step[0] if step else 1 if whole else (high - low) / 50,
            description=name,
            continuous_update=False,
        )
    return Explorer(draw, alt, sliders, f"explore-{draw.__name__}")
