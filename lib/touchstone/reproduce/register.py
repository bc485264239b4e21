"""The register of papers: reading and checking ``papers.toml``."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.project import Project

TOPICS = (
    "attention", "data-structures", "linear-algebra", "optimization", "overparameterization", "privacy",
    "regression", "society", "transformers",
)  # fmt: skip

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ARXIV = re.compile(r"\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7}")
_REQUIRED = {"slug": str, "title": str, "authors": list, "year": int, "topic": str, "summary": str}
_OPTIONAL = {"arxiv": str, "doi": str, "venue": str, "also": str}


@dataclass(frozen=True)
class Paper:
    """One entry of the register."""

    slug: str
    title: str
    authors: tuple[str, ...]
    year: int
    topic: str
    summary: str
    arxiv: str | None = None
    doi: str | None = None
    venue: str | None = None
    also: str | None = None
    """Another title under which the paper has appeared, and where."""

    def notebook(self, project: Project) -> Path:
        """Where this paper's notebook is, or would be."""
        return project.notebooks / self.topic / f"{self.slug}.ipynb"

    @property
    def citation(self) -> str:
        """Authors, year, title, venue and identifiers in one line of Markdown."""
        names = list(self.authors)
        written = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
        parts = [f"{written} ({self.year})", f"*{self.title}*"]
        if self.venue:
            parts.append(self.venue)
        if self.arxiv:
            parts.append(f"arXiv:{self.arxiv}")
        if self.doi:
            parts.append(f"doi:{self.doi}")
        if self.also:
            parts.append(f"Also: {self.also}")
        return ". ".join(parts) + "."


def read_register(project: Project) -> dict[str, Paper]:
    """All papers by slug, in the order of the file.

    Raises ``ReproductionError`` for a missing or malformed file and for an entry that lacks a field, has
    one of the wrong kind, an unknown topic, or a slug that is taken.
    """
    try:
        with open(project.register, "rb") as stream:
            content = tomllib.load(stream)
    except FileNotFoundError:
        raise ReproductionError(f"there is no register: {project.register} is missing.") from None
    except OSError as error:
        raise ReproductionError(f"papers.toml cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReproductionError(f"papers.toml is not valid TOML: {error}.") from None
    unknown = set(content) - {"paper"}
    entries = content.get("paper", [])
    if unknown or not isinstance(entries, list):
        raise ReproductionError("papers.toml: expected nothing but [[paper]] tables.")
    papers: dict[str, Paper] = {}
    for number, entry in enumerate(entries, start=1):
        paper = _paper(number, entry)
        if paper.slug in papers:
            raise ReproductionError(f"papers.toml: the slug {paper.slug!r} is used twice.")
        papers[paper.slug] = paper
    return papers


def select(papers: dict[str, Paper], slugs: Iterable[str]) -> list[Paper]:
    """The papers named by ``slugs``, each once, in the order given; all of them when none is named.

    Raises ``ReproductionError`` with the nearest names for a slug that is not in the register.
    """
    wanted = list(dict.fromkeys(slugs))
    for slug in wanted:
        if slug not in papers:
            near = difflib.get_close_matches(slug, papers, n=2, cutoff=0.75)
            near = near or difflib.get_close_matches(slug, papers, n=1, cutoff=0.5)
            hint = f" Did you mean {' or '.join(near)}?" if near else " `touchstone list` shows them all."
            raise ReproductionError(f"{slug!r} is not a paper of the register.{hint}")
    return [papers[slug] for slug in wanted] if wanted else list(papers.values())


def unregistered(project: Project, papers: dict[str, Paper]) -> list[str]:
    """Notebooks that no entry of the register leads to, relative to the root: they would never run."""
    known = {paper.notebook(project) for paper in papers.values()}
    found = sorted(project.notebooks.glob("*/*.ipynb"))
    return [project.relative(path) for path in found if path not in known]


def _paper(number: int, entry: Any) -> Paper:
    where = f"papers.toml, paper {number}"
    if not isinstance(entry, dict):
        raise ReproductionError(f"{where}: expected a table.")
    if isinstance(entry.get("slug"), str):
        where += f" ({entry['slug']})"
    for name, kind in _REQUIRED.items():
        if name not in entry:
            raise ReproductionError(f"{where}: {name} is missing.")
        _check_kind(where, name, entry[name], kind)
    for name, value in entry.items():
        if name in _OPTIONAL:
            _check_kind(where, name, value, _OPTIONAL[name])
        elif name not in _REQUIRED:
            raise ReproductionError(f"{where}: unknown field {name!r}.")
    if not _SLUG.fullmatch(entry["slug"]):
        raise ReproductionError(f"{where}: a slug is lower-case words and digits joined by hyphens.")
    authors = entry["authors"]
    if not authors or not all(isinstance(name, str) and name.strip() for name in authors):
        raise ReproductionError(f"{where}: authors is a list of names, at least one.")
    if entry["topic"] not in TOPICS:
        near = difflib.get_close_matches(entry["topic"], TOPICS, n=1)
        hint = f" Did you mean {near[0]}?" if near else f" Topics: {', '.join(TOPICS)}."
        raise ReproductionError(f"{where}: unknown topic {entry['topic']!r}.{hint}")
    if "arxiv" in entry and not _ARXIV.fullmatch(entry["arxiv"]):
        raise ReproductionError(
            f"{where}: arxiv={entry['arxiv']!r} is not an arXiv identifier such as '2302.13214'."
        )
    return Paper(**{**entry, "authors": tuple(authors)})


def _check_kind(where: str, name: str, value: Any, kind: type) -> None:
    words = {str: "a text", int: "an integer", list: "a list"}
    empty = kind is str and isinstance(value, str) and not value.strip()
    if not isinstance(value, kind) or isinstance(value, bool) or empty:
        raise ReproductionError(
            f"{where}: {name}={value!r}, expected {words[kind]}{' that is not empty' * empty}."
        )
