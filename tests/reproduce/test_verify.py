import subprocess

import pytest

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.project import Variant
from touchstone.reproduce.register import read_register
from touchstone.reproduce.verify import verify


def git(collection, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, "-C", str(collection.root), *arguments]
    subprocess.run(command, check=True, capture_output=True)


def compare(collection, **options):
    return verify(collection.project, read_register(collection.project).values(), **options)


@pytest.fixture
def committed(collection, make):
    """One paper whose ledger of two checks is committed and fresh."""
    collection.add("paper")
    collection.leave("paper", make.ledger("paper", make.check("c1", x=1.5), make.check("c2", "refuted")))
    (collection.root / ".gitignore").write_text("/build/\n")
    git(collection, "init", "-q")
    git(collection, "add", ".")
    git(collection, "commit", "-q", "-m", "one")
    return collection


def test_nothing_changed(committed):
    [result] = compare(committed)
    assert (result.drift, result.remarks, result.compared, result.source) == ([], [], 2, "full")


def test_a_changed_verdict_with_its_numbers(committed, make):
    ledger = make.ledger("paper", make.check("c1", "refuted", x=2.5), make.check("c2", "refuted"))
    committed.leave("paper", ledger)
    [result] = compare(committed)
    assert result.lines() == ["paper: c1: supported → refuted (x 1.5 → 2.5)."]
    assert result.drift


def test_a_missing_check_and_a_new_one(committed, make):
    committed.leave("paper", make.ledger("paper", make.check("c1", x=1.5), make.check("c3")))
    [result] = compare(committed)
    assert result.drift == ["c2: refuted → missing."]
    assert result.remarks == ["c3: new check, supported."]


def test_numbers_alone_are_no_drift(committed, make):
    committed.leave("paper", make.ledger("paper", make.check("c1", x=1.25), make.check("c2", "refuted")))
    [result] = compare(committed)
    assert result.drift == []
    assert result.remarks == ["same verdicts, other numbers: c1."]


def test_the_quick_run_is_compared_by_its_verdicts(committed, make):
    (committed.root / "requirements.lock").write_text("other\n")  # the full run is stale now
    quick = make.ledger("paper", make.check("c1", x=9), make.check("c2", "refuted"), profile="quick")
    committed.leave("paper", quick, Variant("quick"))
    [result] = compare(committed)
    assert (result.drift, result.remarks, result.source) == ([], [], "quick")
    [result] = compare(committed, profile="full")
    assert "nothing fresh to compare (full: the pinned versions changed)" in result.drift[0]


def test_a_run_on_a_named_processor_is_the_evidence_too(committed, make):
    ledger = make.ledger("paper", make.check("c1", x=1.5), make.check("c2"))
    committed.leave("paper", ledger, Variant(device="cpu"))
    [result] = compare(committed, profile="full")
    assert result.drift == ["c2: refuted → supported."]


def test_nothing_fresh(committed):
    (committed.root / "requirements.lock").write_text("other\n")
    [result] = compare(committed)
    assert result.drift == [
        "nothing fresh to compare (full: the pinned versions changed; quick: it has not been run here). "
        "Run `touchstone reproduce paper` first."
    ]


def test_a_paper_not_committed_is_new(committed, make):
    committed.add("second")
    committed.leave("second", make.ledger("second"))
    results = {result.slug: result for result in compare(committed)}
    assert results["second"].drift == []
    assert results["second"].remarks == ["new: HEAD has no ledger of it (1 checks)."]


def test_a_notebook_that_is_gone(committed):
    committed.notebook("paper").unlink()
    [result] = compare(committed)
    assert "its notebook is gone" in result.drift[0]


def test_papers_without_notebook_or_ledger_are_left_out(committed):
    committed.register("planned")
    assert [result.slug for result in compare(committed)] == ["paper"]


def test_damaged_ledgers(committed, make):
    committed.leave("paper", b"{")
    [result] = compare(committed)
    assert result.drift[0].startswith("figures/paper/ledger.json: ledger.json is not valid JSON")
    git(committed, "commit", "-q", "-a", "-m", "damaged")
    committed.leave("paper", make.ledger("paper"))
    [result] = compare(committed)
    assert result.drift[0].startswith("the committed ledger (HEAD): ledger.json is not valid JSON")
    [result] = compare(committed, against="HEAD~1")
    assert result.drift == ["c2: refuted → missing."]


def test_a_collection_inside_a_larger_repository(committed, make):
    inner = committed.root / ".git"
    outer = committed.root.parent
    inner.rename(outer / ".git")
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@e", "-C", str(outer)]
    subprocess.run([*command, "add", "."], check=True, capture_output=True)
    subprocess.run([*command, "commit", "-q", "-m", "moved"], check=True, capture_output=True)
    [result] = compare(committed)
    assert (result.drift, result.compared) == ([], 2)


@pytest.mark.parametrize("revision", ["nonsense", "--help", "HEAD~9"])
def test_no_such_commit(committed, revision):
    with pytest.raises(ReproductionError, match="is no commit of this checkout"):
        compare(committed, against=revision)


def test_no_git(collection, monkeypatch):
    collection.add("paper")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(collection.root.parent))
    with pytest.raises(ReproductionError, match="no git checkout"):
        compare(collection)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ReproductionError, match="git is needed"):
        compare(collection)
