"""Verdicts under many seeds: what counts as stable, what is reported, what is kept."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from touchstone.reproduce.ledgers import LEDGER
from touchstone.reproduce.register import read_register, select
from touchstone.reproduce.run import Summary
from touchstone.reproduce.seeds import Stability, lines_of, report_file, verify_seeds


@pytest.fixture
def verify(collection, make):
    """verify(verdicts_of, seeds=…) runs the papers by a stand-in that leaves the ledgers it is told to."""

    def verify(verdicts_of, seeds=range(1, 5), slugs=("one",), summaries=None, **options):
        for slug in slugs:
            collection.register(slug)
        calls = []

        def run(project, papers, variants, **more):
            calls.append((variants, [paper.slug for paper in papers], more))
            return {variant: leave(variant, papers) for variant in variants}

        def leave(variant, papers):
            summary = (summaries or {}).get(variant.seed, Summary())
            for paper in papers:
                if paper.slug in summary.failures or paper.slug in summary.stopped:
                    continue
                folder = variant.outputs(collection.project) / paper.slug
                folder.mkdir(parents=True, exist_ok=True)
                found = verdicts_of(paper.slug, variant.seed)
                checks = [make.check(name, verdict, seed=variant.seed) for name, verdict in found.items()]
                content = make.ledger(paper.slug, *checks, profile=variant.profile, seed=variant.seed)
                (folder / LEDGER).write_text(json.dumps(content))
            return summary

        papers = select(read_register(collection.project), slugs)
        console = Console(file=io.StringIO())
        results, signal = verify_seeds(collection.project, papers, seeds, console=console, run=run, **options)
        return results, signal, calls

    return verify


def test_the_same_verdicts_under_every_seed_are_stable(verify):
    [result], signal, calls = verify(lambda slug, seed: {"c1": "supported", "c2": "refuted"})
    assert signal is None
    assert result.stable
    assert (result.unstable, result.agreeing) == ([], 4)
    assert result.counts("c1") == {"supported": 4}
    assert result.counts("c2") == {"refuted": 4}
    [(variants, _, _)] = calls
    assert [(variant.seed, variant.profile, variant.device) for variant in variants] == [
        (seed, "quick", "auto") for seed in (1, 2, 3, 4)
    ]
    assert lines_of(result)[0] == "one (quick): stable, 4 of 4 seeds agree."


def test_a_verdict_that_changes_is_named_with_its_seed_and_numbers(verify):
    def verdicts_of(slug, seed):
        return {"c1": "supported", "c2": "inconclusive" if seed == 3 else "supported"}

    [result], _, _ = verify(verdicts_of)
    assert not result.stable
    assert (result.unstable, result.agreeing) == (["c2"], 3)
    assert result.counts("c2") == {"supported": 3, "inconclusive": 1}
    assert result.exceptions("c2") == {3: "inconclusive"}
    text = "\n".join(lines_of(result))
    assert "NOT STABLE, 3 of 4 seeds agree" in text
    assert 'seed 3: inconclusive; {"seed": 3}' in text
    assert text.count("UNSTABLE") == 1
    report = result.report()
    assert report["checks"]["c2"]["numbers"]["3"] == {"seed": 3}
    assert report["checks"]["c1"]["numbers"] == {}
    assert report["checks"]["c2"]["verdicts"] == {
        "1": "supported",
        "2": "supported",
        "3": "inconclusive",
        "4": "supported",
    }


def test_a_check_that_a_seed_lacks_is_no_stable_check(verify):
    [result], _, _ = verify(
        lambda slug, seed: {"c1": "supported"} | ({"c2": "supported"} if seed < 3 else {})
    )
    assert result.unstable == ["c2"]
    assert result.counts("c2") == {"supported": 2, "missing": 2}
    assert result.exceptions("c2") == {3: "missing", 4: "missing"}
    assert result.agreeing == 2


def test_a_seed_under_which_the_notebook_fails_is_not_stable(verify):
    summaries = {2: Summary(failures={"one": "cell 3 failed\nlong trace"})}
    [one, two], _, _ = verify(
        lambda slug, seed: {"c1": "supported"}, slugs=("one", "two"), summaries=summaries
    )
    assert one.failures == {2: "cell 3 failed\nlong trace"}
    assert one.unstable == []
    assert not one.stable
    assert one.agreeing == 3
    assert "  seed 2 failed: cell 3 failed" in lines_of(one)
    assert two.stable


def test_a_notebook_that_fails_under_every_seed_is_not_stable(verify):
    summaries = {seed: Summary(failures={"one": "broken"}) for seed in range(1, 5)}
    [result], _, _ = verify(lambda slug, seed: {}, summaries=summaries)
    assert not result.stable
    assert result.agreeing == 0
    assert lines_of(result)[1:] == ["  seeds 1, 2, 3, 4 failed: broken"]


def test_a_signal_ends_the_runs_and_leaves_no_seed_out_in_silence(verify):
    summaries = {seed: Summary(stopped=["one"] if seed > 1 else [], signal=2) for seed in range(1, 5)}
    [result], signal, _ = verify(lambda slug, seed: {"c1": "supported"}, summaries=summaries)
    assert signal == 2
    assert set(result.failures) == {2, 3, 4}
    assert not result.stable


def test_a_damaged_ledger_is_a_failure_of_that_seed(verify, collection):
    def verdicts_of(slug, seed):
        return {"c1": "supported" if seed != 2 else "marvellous"}

    [result], _, _ = verify(verdicts_of)
    assert set(result.failures) == {2}
    assert "marvellous" in result.failures[2]


def test_the_report_is_kept_and_figures_are_not_touched(verify, collection):
    [result], _, calls = verify(lambda slug, seed: {"c1": "supported"}, profile="full", seeds=(1, 2, 2))
    [(variants, _, _)] = calls
    assert [variant.seed for variant in variants] == [1, 2]
    assert json.loads(report_file(collection.project, "full", "auto", "one").read_text()) == result.report()
    assert not (collection.root / "figures").exists()


def test_options_reach_the_runs(verify):
    _, _, calls = verify(
        lambda slug, seed: {"c1": "supported"}, seeds=[7], device="cpu", workers=3, limit=9.0, wait=True
    )
    [([variant], _, more)] = calls
    assert variant.device == "cpu"
    assert {name: more[name] for name in ("workers", "limit", "wait")} == {
        "workers": 3,
        "limit": 9.0,
        "wait": True,
    }


def test_no_seeds(verify):
    with pytest.raises(ValueError, match="at least one seed"):
        verify(lambda slug, seed: {}, seeds=[])


def test_no_verdicts_at_all_are_not_stable():
    assert not Stability("one", "quick", (1, 2)).stable


# -- from the command line ---------------------------------------------------------------------------------


def moody(slug, make):
    """Cells that leave a ledger with one check whose verdict depends on the seed."""
    source = make.finish(slug, make.check("steady"), make.check("moody"))
    turn = 'ledger["checks"][1]["verdict"] = "refuted" if seed == 2 and profile == "quick" else "supported"'
    return source.replace("ledger |= {", f"{turn}\nledger |= {{")


def test_the_command_names_what_is_unstable_and_reuses_what_is_fresh(collection, make):
    collection.add("one", moody("one", make), finished=False)
    done = collection.run("verify", "--seeds", "3", "one")
    assert done.returncode == 1, done.stderr
    assert "one (quick): NOT STABLE, 2 of 3 seeds agree." in done.stdout
    assert "2 supported, 1 refuted  UNSTABLE" in done.stdout
    assert (
        "0 of 1 papers have the same verdicts under 3 seeds; not one. Reports: build/seeds/quick/."
        in done.stdout
    )
    assert sorted(path.name for path in (collection.root / "build" / "runs").iterdir()) == [
        "quick-seed1",
        "quick-seed2",
        "quick-seed3",
    ]
    assert not (collection.root / "figures").exists()
    report = collection.root / "seeds.md"
    again = collection.run("verify", "--seeds", "1..3", "one", "--report", str(report))
    assert again.returncode == 1
    assert "`moody`: 2 supported, 1 refuted" in report.read_text()
    assert "started" not in again.stdout
    assert again.stdout.splitlines()[-3:] == done.stdout.splitlines()[-3:]


def test_the_command_refuses_what_it_cannot_do(collection):
    collection.register("one")
    for arguments, message in [
        (("--seeds", "3", "one"), "there is no notebook to run of one."),
        (("--seeds", "3"), "there is no notebook to run."),
        (("--seeds", "1", "one"), "--seeds: expected two or more"),
        (("--seeds", "5..3", "one"), "'5..3' names no seeds"),
        (("--seeds", "1..9999", "one"), "more than 1000"),
        (("--seeds", "-1..3", "one"), "expected A..B, such as 1..20, or N for 1..N"),
    ]:
        done = collection.run("verify", *arguments)
        assert done.returncode == 2
        assert message in done.stderr
