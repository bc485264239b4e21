"""Every example of docs/evidence.md runs as it stands, and no rule is left out of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from touchstone.evidence import rules
from touchstone.evidence.rules import Rule
from touchstone.evidence.study import OUTPUT_VARIABLE

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = [
    pytest.param(
        match.group(1), TEXT[: match.start(1)].count("\n"), id=f"line {TEXT[: match.start(1)].count(chr(10))}"
    )
    for match in re.finditer(r"^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
]
EVERY = [
    name
    for name in rules.__all__
    if isinstance(getattr(rules, name), type) and issubclass(getattr(rules, name), Rule)
]


@pytest.mark.parametrize(("code", "line"), BLOCKS)
def test_example_runs(code, line, monkeypatch, tmp_path):
    monkeypatch.setenv(OUTPUT_VARIABLE, str(tmp_path))
    assert "assert" in code, "an example that asserts nothing shows nothing"
    # blank lines in front, so that a traceback names the line of the page
    exec(compile("\n" * line + code, str(PAGE), "exec"), {"__name__": "example"})


@pytest.mark.parametrize("name", [name for name in EVERY if name != "Rule"])
def test_every_rule_has_a_row_and_an_example(name):
    table = TEXT[TEXT.index("## Which rule") : TEXT.index("## Identities")]
    examples = "".join(param.values[0] for param in BLOCKS)
    if name != "MuAtMost":  # used like EpsilonAtMost
        assert f"{name}(" in examples
    assert f"`{name}`" in table
