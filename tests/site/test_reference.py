"""The library's reference is read off the sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from touchstone.reproduce.site.reference import escaped, read_modules, reference_pages

SOURCE = '''
"""Sums of numbers.

More about them.
"""
import cupy  # is not there, and is not imported

LIMIT: int = 3
"""The largest number of terms."""
quiet = 4


def total(x: list[float], /, y=1, *args: int, start: float = 0.0, **more) -> float:
    r"""The sum :math:`|x|` of ``|x|``, at most |x|."""


def _hidden():
    """Nobody sees this."""


class Sum(Base):
    """A sum."""

    shape: tuple[int, int]
    undescribed = 1

    def __init__(self, terms: int) -> None:
        pass

    @property
    def size(self) -> int:
        """How many."""

    @classmethod
    def of(cls, terms): ...

    @staticmethod
    def free(terms): ...

    def add(self, term: float = 1e-3) -> "Sum":
        """Adds."""
'''


@pytest.fixture
def library(tmp_path: Path) -> Path:
    package = tmp_path / "touchstone" / "sums"
    package.mkdir(parents=True)
    (tmp_path / "touchstone" / "__init__.py").write_text('"""All."""')
    (package / "__init__.py").write_text('"""Sums."""')
    (package / "plain.py").write_text(SOURCE)
    (package / "_private.py").write_text('"""Hidden."""')
    (package / "broken.py").write_text("def")
    return tmp_path


def test_public_modules_are_found(library: Path) -> None:
    names = [module.name for module in read_modules(library, "touchstone")]
    assert names == ["touchstone", "touchstone.sums", "touchstone.sums.plain"]
    assert read_modules(library, "nothing") == []
    assert reference_pages([]) == {}


def test_a_page_a_module(library: Path) -> None:
    pages = reference_pages(read_modules(library, "touchstone"))
    text = pages["api/touchstone.sums.plain"]
    assert ".. py:module:: touchstone.sums.plain" in text
    assert (
        ".. py:function:: total(x: list[float], /, y=1, *args: int, start: float=0.0, **more) -> float"
        in text
    )
    assert ".. py:data:: LIMIT\n   :type: int\n   :value: 3" in text
    assert "The largest number of terms." in text
    assert ".. py:class:: Sum(terms: int)" in text
    assert "   .. py:attribute:: shape\n      :type: tuple[int, int]" in text
    assert "   .. py:property:: size\n      :type: int" in text
    assert "   .. py:method:: of(terms)\n      :classmethod:" in text
    assert "   .. py:method:: free(terms)\n      :staticmethod:" in text
    assert "   .. py:method:: add(term: float=0.001) -> 'Sum'" in text
    for absent in ("quiet", "_hidden", "undescribed", "__init__", "cupy"):
        assert absent not in text


def test_packages_lead_to_their_modules(library: Path) -> None:
    pages = reference_pages(read_modules(library, "touchstone"))
    assert ":doc:`plain <touchstone.sums.plain>`\n    Sums of numbers." in pages["api/touchstone.sums"]
    assert ":doc:`sums <touchstone.sums>`" in pages["api/index"]
    assert "   plain <touchstone.sums.plain>" in pages["api/touchstone.sums"].split("toctree")[1]


def test_bars_are_no_substitutions() -> None:
    assert escaped("|x| and ``|x|`` and :math:`|x|`") == "\\|x\\| and ``|x|`` and :math:`|x|`"
