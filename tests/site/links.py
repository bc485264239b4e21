"""Every address on the pages of a site, checked on the disk."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("id", "name") and value and tag != "meta":
                self.ids.add(value)
            elif name in ("href", "src", "action", "data") and value is not None:
                self.links.append((tag, name, value))


def read(site: Path) -> dict[Path, _Page]:
    pages = {}
    for path in sorted(site.rglob("*.html")):
        page = _Page()
        page.feed(path.read_text(encoding="utf-8"))
        pages[path.resolve()] = page
    return pages


def broken(site: Path) -> list[str]:
    """Links to pages, files or places that are not there, and what a page would load from elsewhere."""
    pages, problems = read(site), []
    for path, page in pages.items():
        here = path.relative_to(site.resolve())
        for tag, name, value in page.links:
            parts = urlsplit(value)
            if parts.scheme or parts.netloc:
                if tag != "a" and parts.scheme not in ("data",) and "canonical" not in value:
                    problems.append(f"{here}: <{tag} {name}={value}> leaves the site")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                problems.append(f"{here}: {value} is missing")
                continue
            place = unquote(parts.fragment)
            if (
                place
                and "=" not in place
                and target in pages
                and tag == "a"
                and place not in pages[target].ids
            ):
                problems.append(f"{here}: {value} has no such place")
    return sorted(set(problems))
