"""Building: what it refuses, what it leaves when it fails, and that the old site goes as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.lock import run_lock
from touchstone.reproduce.site import build as site_build
from touchstone.reproduce.site.collect import collect
from touchstone.reproduce.site.text import Typesetter


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """In place of the generator: one page that says which sources there were."""
    calls: list[Path] = []

    def render(work: Path) -> list[str]:
        calls.append(work)
        (work / "html/_static").mkdir(parents=True)
        names = sorted(
            path.relative_to(work / "source").as_posix() for path in (work / "source").rglob("*.*")
        )
        (work / "html/index.html").write_text("\n".join(names))
        return []

    monkeypatch.setattr(site_build, "_render", render)
    return calls


def test_every_source_is_written(specimen: Any, build: Any, rendered: list[Path]) -> None:
    made = site_build.build_site(build.fill(specimen).project)
    names = (made.folder / "index.html").read_text().splitlines()
    pages = "index verdicts findings papers gallery how-evidence-works mutants cluster calibration"
    for name in [f"{page}.md" for page in pages.split()] + ["papers/alpha-paper.ipynb", "api/index.rst"]:
        assert name in names
    assert "evidence.md" not in names
    assert made.pages == 1
    assert any("delta-paper" in remark for remark in made.remarks)
    assert made.warnings == []


def test_an_older_site_goes_as_a_whole(specimen: Any, build: Any, rendered: list[Path]) -> None:
    old = specimen.root / "build/site"
    old.mkdir(parents=True)
    (old / "stale.html").write_text("old")
    site_build.build_site(build.fill(specimen).project)
    assert [path.name for path in old.glob("*.html")] == ["index.html"]
    assert sorted(path.name for path in old.parent.iterdir()) == ["executed", "site", "site.lock"]


def test_a_build_that_fails_leaves_the_old_site(
    specimen: Any, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = specimen.root / "build/site"
    old.mkdir(parents=True)
    (old / "index.html").write_text("old")

    def full(work: Path) -> list[str]:
        raise OSError(28, "No space left on device", str(work / "html"))

    monkeypatch.setattr(site_build, "_render", full)
    with pytest.raises(ReproductionError, match="No space left on device"):
        site_build.build_site(build.fill(specimen).project)
    assert (old / "index.html").read_text() == "old"
    assert not (specimen.root / "build/site.work").exists()


def test_two_builds_at_once_are_refused(specimen: Any, build: Any, rendered: list[Path]) -> None:
    project = build.fill(specimen).project
    with run_lock(project.build / "site.lock"), pytest.raises(ReproductionError, match="at work"):
        site_build.build_site(project)
    assert rendered == []


def test_a_missing_generator_is_named(specimen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_build, "NEEDED", ("sphinx", "no_such_package"))
    with pytest.raises(ReproductionError, match=r"needs no_such_package: .*touchstone\[site\]"):
        site_build.build_site(specimen.project)


def test_a_collection_without_anything(specimen: Any, rendered: list[Path]) -> None:
    made = site_build.build_site(specimen.project)
    names = (made.folder / "index.html").read_text().splitlines()
    assert names == [
        "findings.md",
        "gallery.md",
        "how-evidence-works.md",
        "index.md",
        "papers.md",
        "verdicts.md",
    ]


def test_pictures_of_a_run_are_copied_beside_the_figures(specimen: Any, build: Any, tmp_path: Path) -> None:
    collection = collect(build.fill(specimen).project, site_build.Variant())
    site_build.write_sources(collection, Typesetter(), tmp_path / "source", tmp_path / "extra")
    names = {path.relative_to(tmp_path / "extra").as_posix() for path in (tmp_path / "extra").rglob("*.*")}
    assert {
        "figures/alpha-paper/error.svg",
        "figures/alpha-paper/run/explore-f.svg",
        "downloads/alpha-paper.ledger.json",
    } <= names
    assert "downloads/delta-paper.ledger.json" not in names


class TestTidying:
    def test_fonts_become_part_of_their_style_sheet(self, tmp_path: Path) -> None:
        static = tmp_path / "_static"
        (static / "vendor/fonts").mkdir(parents=True)
        (static / "styles").mkdir()
        for name in ("fa-solid-900", "fa-brands-400"):
            (static / f"vendor/fonts/{name}.woff2").write_bytes(name.encode())
        faces = "".join(
            f"@font-face{{font-family:A;src:url(../vendor/fonts/{name}.woff2)}}b{{}}"
            for name in ("fa-solid-900", "fa-brands-400")
        )
        (static / "styles/theme.css").write_text(faces + "\n/*# sourceMappingURL=theme.css.map*/")
        (static / "styles/theme.css.map").write_text("{}")
        site_build._tidy(tmp_path)
        text = (static / "styles/theme.css").read_text()
        assert (
            text.strip() == "@font-face{font-family:A;src:url(data:font/woff2;base64,ZmEtc29saWQtOTAw)}b{}b{}"
        )
        assert not (static / "vendor").exists()
        assert list(static.rglob("*.map")) == []

    def test_punctuation_stays_with_its_formula(self, tmp_path: Path) -> None:
        page = tmp_path / "a.html"
        page.write_text(
            '<p><math display="inline"><mi>x</mi></math>, <math display="inline"><mi>y</mi></math> z</p>'
        )
        (tmp_path / "_static").mkdir()
        site_build._tidy(tmp_path)
        assert page.read_text() == (
            '<p><span class="ts-keep"><math display="inline"><mi>x</mi></math>,</span> <math '
            'display="inline"><mi>y</mi></math> z</p>'
        )
