"""The pages besides those of papers and of the library, as MyST Markdown with HTML inside."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from touchstone.reproduce.ledgers import VERDICTS
from touchstone.reproduce.site.collect import CALIBRATION, Collection, Entry, count
from touchstone.reproduce.site.findings import Finding, refuted, repaired, undecided
from touchstone.reproduce.site.parts import css, figure, pill, pills
from touchstone.reproduce.site.text import Typesetter, plain
from touchstone.reproduce.site.verdict_table import verdict_table

EVIDENCE, MUTANTS = "evidence.md", "mutants.md"
_REPOSITORY_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?![a-z]+:|#)([^)\s]+)\)")


def raw(html: str) -> str:
    """HTML as a block of MyST."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", html)), default=0))
    return f"{fence}{{raw}} html\n{html}\n{fence}\n"


def index(collection: Collection, typeset: Typesetter, guides: list[str], modules: bool) -> str:
    """The front page, and in its hidden tree the order of all others."""
    numbers = count(collection.checks)
    tested = [entry for entry in collection.entries if entry.checks]
    tiles = "".join(
        f'<a class="ts-tile {css(verdict)}" href="verdicts.html#verdict={verdict.replace(" ", "+")}">'
        f"<b>{numbers[verdict]}</b> {verdict}</a>"
        for verdict in VERDICTS
        if numbers[verdict]
    )
    told = refuted(collection)
    telling = next((found for found in told if found.figure and found.check.entry["seen"]), None)
    trees = ["verdicts", "findings", "papers", "gallery", "How evidence works <how-evidence-works>"]
    trees += [*(["Library <api/index>"] if modules else []), *guides]
    return "\n".join(
        [
            "# Touchstone",
            "",
            raw(
                '<div class="ts-hero"><p class="ts-motto">A touchstone tests gold by the streak it '
                "leaves.<br>"
                "This collection tests theory by running it.</p>"
                "<p>Every claim of a paper meets a prediction fixed beforehand, an exact measurement, "
                "and a <b>negative "
                "control</b> that the same rule must reject. Verdicts are computed, never typed, and a "
                "refuted claim is "
                "told as prominently as a supported one.</p>"
                f'<p class="ts-sum">{len(collection.checks)} checks of {len(tested)} papers; the '
                "register holds "
                f'{len(collection.entries)}.</p><div class="ts-tiles">{tiles}</div></div>'
            ),
            *(
                [
                    "## A finding",
                    "",
                    raw(_finding(telling, typeset, brief=True)),
                    raw('<p><a href="findings.html">All findings</a></p>'),
                ]
                if telling
                else []
            ),
            "## Papers tested so far",
            "",
            raw(_paper_list(tested, typeset))
            if tested
            else "None yet: `make reproduce` runs the notebooks.\n",
            "## Where to go",
            "",
            raw(
                '<ul class="ts-ways">'
                '<li><a href="verdicts.html">Verdicts</a>: every check in one table, to filter, sort '
                "and link to.</li>"
                '<li><a href="findings.html">Findings</a>: what was refuted, and what holds once it is '
                "repaired.</li>"
                '<li><a href="papers.html">Papers</a>: the notebooks as they ran, by topic.</li>'
                '<li><a href="gallery.html">Gallery</a>: every figure, by topic.</li>'
                '<li><a href="how-evidence-works.html">How evidence works</a>: rules, controls, and '
                "how often they err.</li></ul>"
            ),
            "```{toctree}\n:hidden:\n\n" + "\n".join(trees) + "\n```\n",
        ]
    )


def verdicts(collection: Collection, typeset: Typesetter) -> str:
    """Every check of every paper."""
    pages = {entry.slug for entry in collection.with_pages}
    order = [check for entries in collection.topics.values() for entry in entries for check in entry.checks]
    return (
        "# Verdicts\n\nEvery check of every paper. A verdict is about the sentence printed here, on "
        "the sizes that were run, "
        "and nothing wider; [how evidence works](how-evidence-works.md) says what the four words mean.\n\n"
        + raw(verdict_table(tuple(order), typeset, pages))
    )


def findings(collection: Collection, typeset: Typesetter) -> str:
    """What was refuted, what holds once repaired, and what was not decided."""
    chapters = (
        (
            "Refuted",
            refuted(collection),
            "The rule rejects the claim although it also rejects every control, as it should.",
        ),
        (
            "Repaired",
            repaired(collection),
            "Sentences that hold where the printed one does not, or that say more than it: the "
            "constant that is sharp, the "
            "region that is enough, the formula with its term put right.",
        ),
        (
            "Undecided",
            undecided(collection),
            "A control was not rejected, or the interval straddles the limit.",
        ),
    )
    parts = [
        "# Findings\n",
        "What running the papers has brought to light beyond agreement. First we doubt our instance, "
        "then our code, then our "
        "reading; what is left stands here. Every text on this page comes from the ledgers.\n",
    ]
    for title, found, lead in chapters:
        if found or title == "Refuted":
            parts += [f"## {title}\n", lead if found else "Nothing so far.", ""]
            parts += [raw(_finding(each, typeset)) for each in found]
    return "\n".join(parts)


def _finding(found: Finding, typeset: Typesetter, *, brief: bool = False) -> str:
    check, entry = found.check, found.check.entry
    page = f"papers/{check.paper.slug}.html"
    link = f'<a href="{page}#check-{escape(check.id)}">{typeset.sentence(check.paper.title)}</a>'
    told = entry["seen"] or entry["sentence"]
    lead = {"refuted": "Seen instead.", "supported": "Found."}.get(check.verdict, "Seen.")
    drawing = (
        figure(found.entry, found.figure, root="", caption=typeset.sentence(found.figure["title"]))
        if found.figure
        else ""
    )
    measured = (
        f'<p class="ts-found">{typeset.sentence(entry["sentence"])}</p>'
        if entry["seen"] and not brief
        else ""
    )
    beside = ""
    if found.beside and not brief:
        names = ", ".join(
            f'<a href="{page}#check-{escape(other.id)}">{escape(other.id)}</a> ({other.verdict})'
            for other in found.beside
        )
        beside = f'<p class="ts-where">Beside it: {names}.</p>'
    word = (
        pill(check.verdict)
        if check.verdict != "supported"
        else '<span class="ts-pill ts-supported">✓ holds</span>'
    )
    return (
        f'<article class="ts-finding {css(check.verdict)}" id="{escape(check.key)}" '
        f'aria-label="{escape(check.id)}">'
        f'<div class="ts-telling"><p class="ts-head">{word} {link}</p>'
        f'<p class="ts-says"><b>Claim.</b> {typeset.sentence(_stop(entry["says"]))} '
        f'<span class="ts-where">({typeset.sentence(entry["source"])})</span></p>'
        f'<p class="ts-seen"><b>{lead}</b> '
        f"{typeset.sentence(_stop(told))}</p>{measured}{beside}</div>{drawing}</article>"
    )


def papers(collection: Collection, typeset: Typesetter) -> str:
    """All papers of the register by topic, those with a page first."""
    parts = [
        "# Papers\n",
        f"The register holds {len(collection.entries)} papers; {len(collection.with_pages)} have a "
        "notebook.\n",
    ]
    for topic, entries in collection.topics.items():
        there = [entry for entry in entries if entry.has_page]
        parts.append(f"## {_title(topic)}\n")
        if there:
            parts.append(raw(_paper_list(there, typeset)))
        waiting = "".join(
            f"<li>{typeset.sentence(entry.paper.title)} "
            f'<span class="ts-where">{escape(_short(entry))}</span></li>'
            for entry in entries
            if not entry.has_page
        )
        if waiting:
            fold = f"<details><summary>Not tested yet</summary><ul>{waiting}</ul></details>"
            parts.append(raw(fold))
    names = [entry.slug for entries in collection.topics.values() for entry in entries if entry.has_page]
    parts.append("```{toctree}\n:hidden:\n\n" + "\n".join(f"papers/{name}" for name in names) + "\n```\n")
    return "\n".join(parts)


def _paper_list(entries: list[Entry], typeset: Typesetter) -> str:
    rows = "".join(
        f'<li><a href="papers/{entry.slug}.html">{typeset.sentence(entry.paper.title)}</a> '
        "<span "
        f'class="ts-where">{escape(_short(entry))}</span><br>{pills(entry.counts) or "not run yet"}</li>'
        for entry in entries
    )
    return f'<ul class="ts-papers">{rows}</ul>'


def _short(entry: Entry) -> str:
    """First author and year."""
    authors = entry.paper.authors
    names = (
        authors[0]
        if len(authors) == 1
        else " and ".join(authors)
        if len(authors) == 2
        else f"{authors[0]} et al."
    )
    return f"{names}, {entry.paper.year}"


def gallery(collection: Collection, typeset: Typesetter) -> str:
    """Every figure that a ledger lists, by topic."""
    parts = ["# Gallery\n", "One claim, one figure; the title states the finding, the control is grey.\n"]
    for topic, entries in collection.topics.items():
        pictures = [
            figure(
                entry,
                {**drawing, "width": "half"},
                root="",
                caption=f"{typeset.sentence(drawing['title'])} "
                f'<a href="papers/{entry.slug}.html">{typeset.sentence(entry.paper.title)}</a>',
            )
            for entry in entries
            if entry.has_page
            for drawing in entry.drawings
        ]
        if pictures:
            parts += [f"## {_title(topic)}\n", raw(f'<div class="ts-gallery">{"".join(pictures)}</div>')]
    if len(parts) == 2:
        parts.append("No notebook has been run yet.\n")
    return "\n".join(parts)


def how_evidence_works(text: str | None, guides: list[str], calibrated: bool, reading: str = "") -> str:
    """The guide to evidence, with what belongs to it in the tree; ``reading`` is the part for readers."""
    body = text if text is not None else "# How evidence works\n\nThe guide is missing.\n"
    below = [name for name, there in (("calibration", calibrated), ("mutants", MUTANTS in guides)) if there]
    if not below:
        head, _, rest = body.partition("\n")
        return f"{head}\n\n{reading}\n{rest}" if reading else body
    titles = {
        "calibration": "[how often each rule errs](calibration.md)",
        "mutants": "[which mistakes would be noticed](mutants.md)",
    }
    lead = "Measured besides: " + " and ".join(titles[name] for name in below) + ".\n"
    head, _, rest = body.partition("\n")
    return (
        f"{head}\n\n{lead}\n{reading}\n{rest}\n\n```{{toctree}}\n:hidden:\n\n" + "\n".join(below) + "\n```\n"
    )


def section(text: str, title: str) -> str:
    """A section of Markdown with its heading, up to the next of its rank; empty when there is none."""
    found = re.search(rf"^## {re.escape(title)}$.*?(?=^## |\Z)", text, re.S | re.M)
    return found[0].rstrip() + "\n" if found else ""


def calibration(folder: Path) -> str | None:
    """The report of ``touchstone calibrate`` with its figure; None when it is not there."""
    try:
        text = (folder / CALIBRATION / "calibration.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return text


def guide(text: str, project_root: Path, place: Path) -> str:
    """A page of docs/: links to files that are no page of the site become their names."""

    def link(match: re.Match[str]) -> str:
        words, target = match.groups()
        name = target.partition("#")[0]
        if (
            (place / name).suffix == ".md"
            and (place / name).is_file()
            and place.resolve() == (place / name).resolve().parent
        ):
            return match[0].replace(EVIDENCE, "how-evidence-works.md")
        return words if words.startswith("`") else f"{words} (`{_relative(place / name, project_root)}`)"

    pieces = re.split(r"(^```.*?^```)", text, flags=re.S | re.M)
    return "".join(
        piece if piece.startswith("```") else _REPOSITORY_LINK.sub(link, piece) for piece in pieces
    )


def _relative(path: Path, root: Path) -> str:
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.name


def _title(topic: str) -> str:
    return plain(topic.replace("-", " ")).capitalize()


def _stop(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?")) else text.rstrip() + "."
