from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from touchstone import arrays
from touchstone.evidence import ledger
from touchstone.evidence.errors import CheckError, MeasurementError, StudyError
from touchstone.evidence.rules import AllCorrect, Decisions, ExponentAtMost, GapAtMost, RatioAtMost
from touchstone.evidence.series import Series
from touchstone.evidence.study import KINDS, Study

SETTINGS = {"kind": "bound", "says": "the error is small", "source": "Lemma 1", "read_in": "theorem"}
RULE = RatioAtMost(1, why="the lemma's constant")


@pytest.fixture
def output(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_OUTPUT", str(tmp_path / "out"))
    return tmp_path / "out"


@pytest.fixture
def study(output):
    return Study("a-paper", profile="quick", seed=0, device="cpu")


def check(study, id="c1", **changes):
    settings = SETTINGS | {"rule": RULE, "claim": lambda: 0.5, "control": ("worse", lambda: 7.0)}
    return study.check(id, **settings | changes)


# -- set-up ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"slug": "Not A Slug"}, "slug="),
        ({"slug": "-a"}, "slug="),
        ({"slug": "a\n"}, "slug="),
        ({"profile": "fast"}, "profile='fast'"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, r"seed=1\.5"),
        ({"device": "tpu"}, "device='tpu'"),
    ],
)
def test_bad_studies(output, arguments, message):
    with pytest.raises(ValueError, match=message):
        Study(**{"slug": "a-paper"} | arguments)


def test_streams_are_those_of_the_library(study):
    expected = arrays.stream(0, "a-paper", "c1", 3).random(4)
    np.testing.assert_array_equal(study.stream("c1", 3).random(4), expected)
    assert study.xp is arrays.open_device("cpu")
    assert study.device == "cpu"


@pytest.mark.parametrize(("profile", "value"), [("full", 1), ("quick", 2), ("gpu", 3)])
def test_choose(output, profile, value):
    study = Study("a-paper", profile=profile, device="cpu")
    assert study.choose(full=1, quick=2, gpu=3) == value
    assert study.choose(full=1, quick=2) == (2 if profile == "quick" else 1)
    assert study.choose(full=1, quick=2, gpu=None) == (None if profile == "gpu" else value)


def test_output_folder_without_a_runner(tmp_path, monkeypatch):
    monkeypatch.delenv("TOUCHSTONE_OUTPUT", raising=False)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks" / "topic").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks" / "topic")
    study = Study("a-paper", device="cpu")
    assert study.output == tmp_path / "build" / "interactive" / "a-paper"
    assert not study.output.exists()  # nothing is made before there is something to write


# -- arguments of a check --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "C1"}, "id='C1'"),
        ({"id": "a_b"}, "id='a_b'"),
        ({"id": ""}, "id=''"),
        ({"id": 3}, "id=3"),
        ({"kind": "vibe"}, "kind='vibe'"),
        ({"read_in": "a dream"}, "read_in='a dream'"),
        ({"says": " "}, "says="),
        ({"source": None}, "source="),
        ({"seen": ""}, "seen="),
        ({"rule": "small"}, "rule='small'"),
        ({"claim": 0.5}, "claim=0.5"),
        ({"control": None}, "control: expected at least one"),
        ({"control": []}, "control: expected at least one"),
        ({"control": {}}, "control: expected at least one"),
        ({"control": ("worse", 7.0)}, "control 'worse'=7.0"),
        ({"control": ("", lambda: 7.0)}, "control name ''"),
        ({"control": lambda: 7.0}, "control="),
        ({"control": "worse"}, "control="),
        ({"control": [("a", lambda: 7.0), ("a", lambda: 8.0)]}, "expected different"),
        ({"control": ["ab"]}, "control='ab'"),
        ({"trivial": lambda: 1.0}, "trivial="),
        ({"sizes": [1, 2]}, "sizes="),
        ({"sizes": {"n": object()}}, "sizes"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(study, changes, message):
    ran = []
    settings = {"claim": lambda: ran.append(1) or 0.5} | changes
    with pytest.raises(ValueError, match=message):
        check(study, **settings)
    assert not ran
    assert not study.summary().verdicts


def test_a_check_without_a_control_does_not_run(study):
    ran = []
    with pytest.raises(ValueError, match="a check that cannot fail proves nothing"):
        study.check("c1", **SETTINGS, rule=RULE, claim=lambda: ran.append(1))
    assert not ran


@pytest.mark.parametrize(
    "control",
    [
        ("worse", lambda: 7.0),
        [("worse", lambda: 7.0), ("worst", lambda: 9.0)],
        (("worse", lambda: 7.0), ("worst", lambda: 9.0)),
        {"worse": lambda: 7.0, "worst": lambda: 9.0},
    ],
)
def test_forms_of_control(study, control):
    verdict = check(study, control=control)
    assert list(verdict.controls.items())[0] == ("worse", 7.0)  # noqa: RUF015
    assert verdict.verdict == "supported"


def test_same_id_twice(study):
    check(study)
    with pytest.raises(ValueError, match="exists already"):
        check(study)
    with pytest.raises(ValueError, match="exists already"):
        study.out_of_reach("c1", **SETTINGS, reason="r")


def test_every_kind_is_known_to_the_schema():
    assert tuple(ledger.schema()["$defs"]["check"]["properties"]["kind"]["enum"]) == KINDS


# -- errors are never verdicts ---------------------------------------------------------------------------


def fails():
    raise ZeroDivisionError("by zero")


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({"claim": fails}, "the claim"),
        ({"control": ("worse", fails)}, "the control ‘worse’"),
        ({"trivial": ("zero", fails)}, "the trivial answer ‘zero’"),
    ],
)
def test_an_exception_is_an_error_of_its_side(study, changes, side):
    with pytest.raises(
        CheckError, match=f"check 'c1': {side} could not be measured: ZeroDivisionError: by zero"
    ) as e:
        check(study, **changes)
    assert isinstance(e.value.__cause__, ZeroDivisionError)
    assert not study.summary().verdicts
    assert check(study).verdict == "supported"  # the id is free once the fault is mended


@pytest.mark.parametrize("bad", [np.nan, [], [1.0, np.inf], None, "0.5", -0.5])
@pytest.mark.parametrize("side", ["claim", "control", "trivial"])
def test_a_measurement_that_cannot_be_judged_is_an_error(study, side, bad):
    broken = {"claim": lambda: bad, "control": ("worse", lambda: bad), "trivial": ("zero", lambda: bad)}[side]
    with pytest.raises(CheckError, match="cannot be judged") as e:
        check(study, **{side: broken})
    assert isinstance(e.value.__cause__, MeasurementError)


def test_interruption_passes_through(study):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(study, claim=interrupt)


def test_a_control_rejected_for_measuring_nothing_is_an_error(study):
    with pytest.raises(CheckError, match="rejected trivially"):
        check(study, control=("worse", lambda: [7.0, 7.0, 7.0]))
    n = np.geomspace(10, 1e4, 8)
    with pytest.raises(CheckError, match="rejected trivially"):
        check(
            study,
            rule=ExponentAtMost(-1, why="w"),
            claim=lambda: Series(n, n**-1.5),
            control=("level", lambda: Series(n, np.ones(8))),
        )
    # one number, or one answer to everything, is a measurement all the same
    assert check(study, control=("worse", lambda: [7.0])).verdict == "supported"
    truth = [True, False]
    verdict = check(
        study,
        id="c2",
        rule=AllCorrect(why="w"),
        claim=lambda: Decisions(truth, truth),
        control=("below the threshold", lambda: Decisions([False, False], truth)),
    )
    assert verdict.verdict == "supported"


def test_claim_and_control_meet_the_same_rule_object(study):
    judged_by = []

    class Watching(GapAtMost):
        def judge(self, measurement):
            judged_by.append(id(self))
            return super().judge(measurement)

    rule = Watching(0.1, why="w")
    check(study, rule=rule, claim=lambda: 0.05, control=("c", lambda: 0.5), trivial=("t", lambda: 1.0))
    assert judged_by == [id(rule)] * 3


# -- the end ---------------------------------------------------------------------------------------------


def test_order_of_calls(study, output):
    with pytest.raises(StudyError, match="nothing was checked"):
        study.finish()
    check(study)
    study.finish()
    for late in (study.finish, lambda: check(study, id="c2"), lambda: study.figure("f", alt="a").__enter__()):
        with pytest.raises(StudyError, match="is finished"):
            late()
    with pytest.raises(StudyError, match="is finished"):
        study.out_of_reach("c3", **SETTINGS, reason="r")
    assert sorted(p.name for p in output.iterdir()) == ["ledger.json", "machine"]


def test_ledger_holds_what_was_found(study, output):
    check(study, sizes={"n": [2**8, 2**320]}, trivial=("zero", lambda: 0.75))
    check(study, id="c2", claim=lambda: 3.0, seen="three times as much")
    check(study, id="c3", control=("worse", lambda: 0.5))
    study.out_of_reach("c4", **SETTINGS | {"kind": "hardness"}, reason="it holds unless SETH fails")
    with study.figure("error", alt="The error, level at one half.", width="half") as (_, ax):
        ax.plot([1, 2], [1, 2])
        ax.set(title="the error is level", xlabel="$n$", ylabel="error")
    study.finish()

    found = ledger.read(output / "ledger.json")
    assert [c["verdict"] for c in found["checks"]] == ["supported", "refuted", "inconclusive", "out_of_reach"]
    first, second, third, last = found["checks"]
    assert first["rule"] == {
        "name": "RatioAtMost",
        "says": "every ratio of measured to bound is at most 1",
        "why": "the lemma's constant",
        "parameters": {"limit": 1, "roundoff": 0.0},
    }
    assert first["sizes"] == {"n": [256, {"log2": 320.0}]}
    assert first["numbers"] == {"largest_ratio": 0.5, "ratios": 1}
    assert first["limit"] == 1
    assert first["control"] == [
        {
            "name": "worse",
            "numbers": {"largest_ratio": 7.0, "ratios": 1},
            "interval": None,
            "rejected": True,
            "outcome": "rejects",
            "sentence": "the ratio is 7 (limit 1)",
        }
    ]
    assert first["vacuous"] is True
    assert first["trivial"]["outcome"] == "accepts"
    assert second["seen"] == "three times as much"
    assert third["reason"] == "the rule does not reject the control ‘worse’"
    assert last["rule"] is None
    assert last["control"] == []
    assert last["reason"] == "it holds unless SETH fails"
    assert found["figures"] == [
        {
            "name": "error",
            "file": "error.svg",
            "title": "the error is level",
            "alt": "The error, level at one half.",
            "width": "half",
        }
    ]
    assert set(found["versions"]) == {"python", "numpy", "scipy", "array-api-compat", "touchstone"}
    assert found["versions"]["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"


def test_machine_facts_are_kept_apart(study, output):
    check(study)
    with study.figure("clock", alt="Seconds against size.", machine=True) as (_, ax):
        ax.plot([1, 2], [1, 2])
        ax.set(title="3.1 times quicker", xlabel="$n$", ylabel="seconds")
    study.finish()
    assert (output / "machine" / "clock.svg").is_file()
    text = (output / "ledger.json").read_text()
    assert "3.1 times" not in text
    assert "second" not in text
    run = json.loads((output / "machine" / "run.json").read_text())
    assert run["figures"][0]["file"] == "machine/clock.svg"
    assert run["seconds"]["checks"]["c1"]["total"] >= 0
    assert set(run["seconds"]["checks"]["c1"]["sides"]) == {"the claim", "the control ‘worse’"}
    assert run["host"]["processors"] == os.cpu_count()
    assert run["host"]["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert isinstance(run["host"]["blas"], list)
    assert run["finished_at"].endswith("+00:00")


def test_summary(study):
    check(study)
    check(study, id="c22", claim=lambda: 3.0)
    study.out_of_reach("c3", **SETTINGS, reason="it is conditional.")
    summary = study.summary()
    text = str(summary).splitlines()
    assert text[0] == "a-paper: 1 supported, 1 refuted, 1 out of reach"
    assert text[1].startswith("  c1   supported     The ratio is 0.5")
    assert text[-1] == "  c3   out of reach  Not decided by running: it is conditional."
    html = summary._repr_html_()
    assert html.count("<tr") == 4
    assert html.count("it is conditional") == 1
    assert "open, 1 supported" in repr(study)


def test_a_full_disk_leaves_the_old_ledger_and_no_debris(study, output, monkeypatch):
    output.mkdir()
    (output / "ledger.json").write_text("old")
    check(study)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("touchstone.evidence.ledger.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        study.finish()
    assert (output / "ledger.json").read_text() == "old"
    assert not [p for p in output.rglob("*") if p.name.startswith(".")]
    monkeypatch.undo()
    study.finish()  # once there is room again
    ledger.read(output / "ledger.json")


RUN_TWICE = """
import numpy as np
from touchstone.evidence import figures
from touchstone.evidence.rules import RatioAtMost
from touchstone.evidence.study import Study

study = Study("a-paper", profile="quick", device="cpu", seed=3)
for i in range(3):
    study.check(
        f"c{i}", kind="bound", says="s", source="s", read_in="abstract", rule=RatioAtMost(1, why="w"),
        claim=lambda: study.stream("claim", i).random(5), control=("c", lambda: 3.0), sizes={"n": 2**90},
    )
with study.figure("error", alt="Some points.") as (fig, ax):
    x = np.geomspace(1, 100, 20)
    figures.prediction(ax, x, x)
    figures.data(ax, x, x * study.stream("fig").random(20), "measured", interval=(x / 2, x))
    figures.control(ax, x, x**2, "control")
    ax.set(xscale="log", xlabel="$n$", ylabel="error")
    figures.finding(ax, r"error grows as $n^{1.0 \\pm 0.1}$")
    figures.label_lines(ax)
study.finish()
"""


def test_same_bytes_in_two_processes(tmp_path):
    contents = []
    for hash_seed in ("0", "7"):
        out = tmp_path / hash_seed
        env = os.environ | {"TOUCHSTONE_OUTPUT": str(out), "PYTHONHASHSEED": hash_seed, "MPLBACKEND": "agg"}
        subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(RUN_TWICE)],
            check=True,
            env=env,
            cwd=tmp_path,
        )
        contents.append({name: (out / name).read_bytes() for name in ("ledger.json", "error.svg")})
    assert contents[0] == contents[1]


def test_rules_and_study_import_without_pictures():
    code = "import touchstone.evidence.study, sys; assert 'matplotlib' not in sys.modules, 'drawn too early'"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
