"""Building the site: pages from the collection, HTML from the pages, and the old site replaced as a whole."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import shutil
import time
from dataclasses import dataclass
from importlib import resources, util
from pathlib import Path
from typing import Any

from touchstone.reproduce.artefacts import put_in_place
from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.lock import run_lock
from touchstone.reproduce.project import PACKAGE, Project, Variant
from touchstone.reproduce.site import pages
from touchstone.reproduce.site.collect import CALIBRATION, Collection, collect
from touchstone.reproduce.site.paper_page import PaperPage
from touchstone.reproduce.site.reference import read_modules, reference_pages
from touchstone.reproduce.site.text import Typesetter

NEEDED = ("sphinx", "myst_nb", "pydata_sphinx_theme", "latex2mathml")
# left by the theme and the generator, wanted by nobody who reads: maps of compressed scripts, fonts that the
# style sheets hold by then, the inventory of names
_UNWANTED = (
    "_static/**/*.map",
    "_static/**/*.LICENSE.txt",
    "_static/vendor",
    "_static/*.woff2",
    "_static/webpack-macros.html",
    "_sources",
    "objects.inv",
    ".buildinfo",
)
_FONT = re.compile(r"""@font-face\s*\{[^}]*?(?P<url>url\(["']?(?P<address>[^)"']+\.woff2)["']?\))[^}]*\}""")
_SOURCE_MAP = re.compile(r"\n?(?://|/\*)# sourceMappingURL=\S+?(?: ?\*/)?\s*$")
# a formula and the punctuation after it, between which no line may end
_TAIL = re.compile(r'(<math display="inline">(?:(?!</math>).)*</math>[.,;:!?)\]’”%]+)', re.S)
# the theme gives its folds no name that could be read aloud
_NAMELESS = (
    '<summary><span class="toctree-toggle"',
    '<summary aria-label="Pages below"><span class="toctree-toggle"',
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Site:
    """A site that was built."""

    folder: Path
    pages: int
    size: int
    """Bytes."""
    seconds: float
    remarks: list[str]
    """What is missing or damaged in the collection: the site is built without it."""
    warnings: list[str]
    """What the generator could not make sense of."""


def build_site(project: Project, variant: Variant | None = None) -> Site:
    """Render the collection to ``build/site/``; nothing is executed and nothing downloaded.

    Raises ``ReproductionError`` where the generator is not installed, another build is at work, or the disk
    refuses. The old site stays until the new one is whole.
    """
    missing = [name for name in NEEDED if util.find_spec(name) is None]
    if missing:
        raise ReproductionError(
            f"the site needs {', '.join(missing)}: `make site` sets it up, or `pip install "
            f"'{PACKAGE}[site]'`."
        )
    started = time.perf_counter()
    work = project.build / "site.work"
    with run_lock(project.build / "site.lock"):
        try:
            shutil.rmtree(work, ignore_errors=True)
            collection = collect(project, variant or Variant())
            typeset = Typesetter()
            write_sources(collection, typeset, work / "source", work / "extra")
            warnings = _render(work)
            _tidy(work / "html")
            put_in_place(work / "html", project.build / "site")
        except OSError as error:
            reason = error.strerror or str(error)
            raise ReproductionError(
                f"the site could not be written: {reason} ({error.filename or work})."
            ) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
    files = [path for path in (project.build / "site").rglob("*") if path.is_file()]
    return Site(
        project.build / "site",
        sum(path.suffix == ".html" for path in files),
        sum(path.stat().st_size for path in files),
        time.perf_counter() - started,
        collection.remarks,
        typeset.problems + warnings,
    )


def write_sources(collection: Collection, typeset: Typesetter, source: Path, extra: Path) -> None:
    """Write what the generator reads under ``source``, and what it only copies under ``extra``."""
    project = collection.project
    slugs = {entry.slug for entry in collection.with_pages}
    texts: dict[str, str] = {}
    for entry in collection.with_pages:
        page = PaperPage(entry, typeset, slugs)
        texts[f"papers/{entry.slug}.ipynb"] = json.dumps(page.notebook())
        copies = {f"figures/{entry.slug}/{name}": content for name, content in entry.figures.items()}
        copies |= page.pictures
        copies[f"downloads/{entry.slug}.ipynb"] = (entry.source or "").encode()
        if entry.ledger_text is not None:
            copies[f"downloads/{entry.slug}.ledger.json"] = entry.ledger_text
        for name, content in copies.items():
            _write(extra / name, content)
    guides = _guides(project, source)
    calibration = pages.calibration(project.figures)
    if calibration is not None:
        texts["calibration.md"] = calibration
        with contextlib.suppress(OSError):
            drawing = (project.figures / CALIBRATION / "calibration.svg").read_bytes()
            _write(source / "calibration.svg", drawing)
    readme = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        readme = (project.root / "README.md").read_text(encoding="utf-8")
    reading = pages.section(pages.guide(readme, project.root, project.root), "How to read a verdict")
    texts["how-evidence-works.md"] = pages.how_evidence_works(
        guides.pop(pages.EVIDENCE, None), list(guides), calibration is not None, reading
    )
    texts |= guides
    modules = read_modules(project.library, PACKAGE)
    texts |= {f"{name}.rst": text for name, text in reference_pages(modules).items()}
    others = sorted(Path(name).stem for name in guides if name != pages.MUTANTS)
    texts["index.md"] = pages.index(collection, typeset, others, bool(modules))
    texts["verdicts.md"] = pages.verdicts(collection, typeset)
    texts["findings.md"] = pages.findings(collection, typeset)
    texts["papers.md"] = pages.papers(collection, typeset)
    texts["gallery.md"] = pages.gallery(collection, typeset)
    for name, text in texts.items():
        _write(source / name, text.encode())


def _guides(project: Project, source: Path) -> dict[str, str]:
    """The pages of docs/ by file name; the pictures beside them are copied."""
    folder, guides = project.root / "docs", {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.suffix == ".md":
            guides[path.name] = pages.guide(path.read_text(encoding="utf-8"), project.root, folder)
        elif path.suffix in (".png", ".svg"):
            _write(source / path.name, path.read_bytes())
    return guides


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _render(work: Path) -> list[str]:
    """Run the generator; returns its warnings, one a line, with paths from the folder of sources."""
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError

    warning = io.StringIO()
    with resources.as_file(resources.files("touchstone.reproduce.site") / "look") as look:
        try:
            app = Sphinx(
                srcdir=work / "source",
                confdir=None,
                outdir=work / "html",
                doctreedir=work / "doctrees",
                buildername="html",
                confoverrides=settings(look, work / "extra"),
                status=None,
                warning=warning,
                freshenv=True,
            )
            app.build()
        except SphinxError as error:
            raise ReproductionError(f"the site could not be rendered: {error}.") from None
    lines = _COLOUR.sub("", warning.getvalue()).splitlines()
    return [line.replace(f"{work / 'source'}{os.sep}", "") for line in lines if line.strip()]


def settings(look: Path, extra: Path) -> dict[str, Any]:
    """The generator's configuration."""
    return {
        "project": "Touchstone",
        "author": "The Touchstone authors",
        "copyright": "The Touchstone authors, MIT licence",
        "language": "en",
        "extensions": ["myst_nb", "touchstone.reproduce.site.extension"],
        "html_math_renderer": "mathml",
        "suppress_warnings": ["myst.header", "mystnb.unknown_mime_type", "ref.python"],
        # notebooks: as they are, their code folded
        "nb_execution_mode": "off",
        "nb_ipywidgets_js": {},
        "nb_code_prompt_show": "Show the code",
        "nb_code_prompt_hide": "Hide the code",
        "myst_enable_extensions": ["dollarmath", "amsmath"],
        "myst_dmath_double_inline": True,
        "myst_heading_anchors": 3,
        # the library's reference
        "add_module_names": False,
        "toc_object_entries_show_parents": "hide",
        "default_role": "code",
        # the look
        "html_theme": "pydata_sphinx_theme",
        "html_title": "Touchstone",
        "html_short_title": "Touchstone",
        "html_static_path": [str(look)],
        "html_extra_path": [str(extra)] if extra.is_dir() else [],
        "html_css_files": ["touchstone.css"],
        "html_js_files": [("touchstone.js", {"defer": "defer"})],
        "html_favicon": str(look / "touchstone.svg"),
        "html_copy_source": False,
        "html_show_sourcelink": False,
        "html_show_search_summary": False,  # it would fetch each page found, which browsers refuse for files
        "html_use_index": False,
        "html_domain_indices": False,
        "html_permalinks_icon": "#",
        "html_context": {"default_mode": "auto"},
        "html_sidebars": {name: [] for name in ("index", "verdicts", "findings", "gallery", "search")},
        "html_theme_options": {
            "logo": {
                "text": "Touchstone",
                "image_light": "_static/touchstone.svg",
                "image_dark": "_static/touchstone.svg",
                "alt_text": "",
            },
            "search_bar_text": "Search the site …",
            "header_links_before_dropdown": 6,
            "navbar_align": "left",
            "show_prev_next": False,
            "show_nav_level": 1,
            "navigation_depth": 2,
            "collapse_navigation": True,
            "back_to_top_button": True,
            "primary_sidebar_end": [],
            "secondary_sidebar_items": {"**": ["page-toc"], "index": [], "verdicts": [], "search": []},
            "footer_start": ["copyright"],
            "footer_end": [],
        },
    }


def _tidy(html: Path) -> None:
    """Remove what is of no use to a reader, and put the fonts where every browser takes them."""
    for path in sorted((html / "_static").rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        path.write_text(
            _FONT.sub(lambda face, path=path: _embedded(face, path.parent), text), encoding="utf-8"
        )
    for path in html.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        text = _TAIL.sub(r'<span class="ts-keep">\1</span>', text).replace(*_NAMELESS)
        path.write_text(text, encoding="utf-8")
    for pattern in _UNWANTED:
        for path in list(html.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in sorted((html / "_static").rglob("*")):
        if path.suffix in (".js", ".css"):
            text = path.read_text(encoding="utf-8")
            path.write_text(_SOURCE_MAP.sub("\n", text), encoding="utf-8")


def _embedded(face: re.Match[str], folder: Path) -> str:
    """A font as part of its style sheet: some browsers refuse a page from the disk any other font.

    The theme's fonts of trademarks and of outlined icons, which no page uses, are left out.
    """
    path = folder / face["address"]
    if path.stem.startswith(("fa-brands", "fa-regular")):
        return ""
    content = base64.b64encode(path.read_bytes()).decode()
    return face[0].replace(face["url"], f"url(data:font/woff2;base64,{content})")
