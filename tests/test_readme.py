"""The README promises what is there."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PAPERS = tomllib.loads((ROOT / "papers.toml").read_text())["paper"]


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for target in re.findall(r"(?:`|^)make ([a-z]+)", README, re.M):
        assert target in targets, f"make {target}"


def test_help_lists_every_target():
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M):
        assert re.search(rf"make {target}\b", text), target


@pytest.mark.parametrize(
    "path", sorted((ROOT / "figures").glob("*/ledger.json")), ids=lambda p: p.parent.name
)
def test_the_table_of_verdicts_is_that_of_the_ledgers(path):
    ledger = json.loads(path.read_text())
    paper = next(p for p in PAPERS if p["slug"] == ledger["slug"])
    words = ("supported", "refuted", "inconclusive", "out_of_reach")
    counts = [sum(check["verdict"] == word for check in ledger["checks"]) for word in words]
    link = f"[{paper['title']}](notebooks/{paper['topic']}/{paper['slug']}.ipynb)"
    assert f"| {link} | {' | '.join(map(str, counts))} |" in README
