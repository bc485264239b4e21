from __future__ import annotations

import copy
import json
import subprocess
import sys

import jsonschema
import pytest

from touchstone.evidence import ledger
from touchstone.evidence.errors import LedgerError
from touchstone.evidence.numbers import encoded
from touchstone.evidence.rules import RatioAtMost
from touchstone.evidence.study import Study


@pytest.fixture
def good(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_OUTPUT", str(tmp_path))
    study = Study("a-paper", device="cpu")
    settings = {"kind": "bound", "says": "s", "source": "s", "read_in": "theorem"}
    study.check(
        "c1", **settings, rule=RatioAtMost(1, why="w"), claim=lambda: 0.5, control=("worse", lambda: 7.0)
    )
    study.out_of_reach("c2", **settings, reason="conditional")
    study.finish()
    return json.loads((tmp_path / "ledger.json").read_text())


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(ledger.schema())


def test_a_good_ledger_passes(good):
    ledger.validate(good)
    assert ledger.parse(json.dumps(good)) == good


def set_at(*path_and_value):
    *path, key, value = path_and_value

    def change(found):
        for step in path:
            found = found[step]
        if value is KeyError:
            del found[key]
        else:
            found[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (set_at("schema_version", 2), "schema_version"),
        (set_at("seed", KeyError), "top level"),
        (set_at("extra", 1), "top level"),
        (set_at("slug", "Not A Slug"), "slug"),
        (set_at("checks", []), "checks"),
        (set_at("checks", 0, "verdict", "proved"), "checks/0"),
        (set_at("checks", 0, "verdict", "out_of_reach"), "checks/0"),
        (set_at("checks", 0, "control", []), "checks/0/control"),
        (set_at("checks", 0, "rule", None), "checks/0/rule"),
        (set_at("checks", 0, "control", 0, "rejected", False), "checks/0/control/0/rejected"),
        (set_at("checks", 0, "control", 0, "outcome", "accepts"), "checks/0/control/0"),
        (set_at("checks", 0, "numbers", KeyError), "checks/0"),
        (set_at("checks", 0, "interval", [1.0]), "checks/0/interval"),
        (set_at("checks", 0, "verdict", "inconclusive"), "checks/0/reason"),
        (set_at("checks", 1, "reason", None), "checks/1/reason"),
        (set_at("checks", 1, "id", "c1"), "listed twice: c1"),
        (set_at("figures", [{"name": "x"}]), "figures/0"),
    ],
)
def test_every_bad_ledger_is_named(good, change, where):
    bad = copy.deepcopy(good)
    change(bad)
    with pytest.raises(LedgerError, match=where):
        ledger.validate(bad, "figures/a-paper/ledger.json")


def test_unreadable_ledgers(tmp_path):
    with pytest.raises(LedgerError, match="cannot be read"):
        ledger.read(tmp_path / "none.json")
    path = tmp_path / "ledger.json"
    for content in (b"", b"{", b'{"x": NaN}', b"[1, 2]", b"3"):
        path.write_bytes(content)
        with pytest.raises(LedgerError, match=r"ledger\.json"):
            ledger.read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(LedgerError, match="cannot be read"):
        ledger.read(path)


def test_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "file.json"
    ledger.write_atomically(path, b"one")
    ledger.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_dump_ends_in_a_newline_and_is_plain_json():
    content = ledger.dump({"b": 1, "a": float("inf"), "é": 2**80})
    assert content.endswith(b"}\n")
    assert json.loads(content) == encoded({"b": 1, "a": float("inf"), "é": 2**80})
    assert list(json.loads(content)) == ["b", "a", "é"]


def test_a_ledger_is_judged_without_the_grammars_of_addresses():
    """They take more than a second to build, in every kernel; afterwards they can be had as ever."""
    script = (
        "import sys; from touchstone.evidence import ledger; ledger._validator(); "
        "assert 'jsonschema' in sys.modules and 'lark' not in sys.modules; "
        "assert sys.modules.get('rfc3987_syntax', 0) is not None"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
