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


def blocks() -> list:
    found = re.finditer(r"^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    lines = [(match.group(1), TEXT[: match.start(1)].count("\n")) for match in found]
    return [pytest.param(code, line, id=f"line {line}") for code, line in lines]


def rule_names() -> list[str]:
    public = {name: getattr(rules, name) for name in rules.__all__}
    return [name for name, each in public.items() if isinstance(each, type) and issubclass(each, Rule)]


@pytest.mark.parametrize(("code", "line"), blocks())
def test_example_runs(code, line, monkeypatch, tmp_path):
    monkeypatch.setenv(OUTPUT_VARIABLE, str(tmp_path))
    assert "assert" in code, "an example that asserts nothing shows nothing"
    # blank lines in front, so that a traceback names the line of the page
    exec(compile("\n" * line + code, str(PAGE), "exec"), {"__name__": "example"})


@pytest.mark.parametrize("name", [name for name in rule_names() if name != "Rule"])
def test_every_rule_has_a_row_and_an_example(name):
    table = TEXT[TEXT.index("## Which rule") : TEXT.index("## Identities")]
    examples = "".join(param.values[0] for param in blocks())
    if name != "MuAtMost":  # used like EpsilonAtMost
        assert f"{name}(" in examples
    assert f"`{name}`" in table
