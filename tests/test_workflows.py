"""The workflows: sound YAML, pinned actions, no more rights than needed, and commands that exist."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCRIPT = ROOT / ".github" / "scripts" / "drift-issue"

# What each job may do beyond reading the sources.
RIGHTS = {
    ("nightly", "publish"): {"pages": "write", "id-token": "write"},
    ("nightly", "issue"): {"contents": "read", "issues": "write"},
    ("nightly", "green"): {},
}


def load(path):
    return yaml.safe_load(path.read_text())


def steps():
    for path in FILES:
        for name, job in load(path)["jobs"].items():
            for number, step in enumerate(job["steps"]):
                yield pytest.param(path, name, step, id=f"{path.stem}-{name}-{number}")


def test_there_are_workflows():
    assert [path.stem for path in FILES] == ["ci", "nightly"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_jobs_have_limits_and_no_more_rights_than_needed(path):
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] <= 360
        assert job.get("permissions") == RIGHTS.get((path.stem, name)), name
        assert set(job.get("needs", "") and [job["needs"]]) <= set(workflow["jobs"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_actions_are_pinned(path):
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    for line in uses:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize(("path", "job", "step"), list(steps()))
def test_a_step_runs_what_exists(path, job, step):
    if "uses" in step:
        if "checkout" in step["uses"]:
            assert step["with"]["persist-credentials"] is False
        return
    command = step["run"]
    assert subprocess.run(["bash", "-n"], input=command, text=True, check=False).returncode == 0
    assert "${{" not in command, "a value from outside belongs in env, where the shell does not parse it"
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for target in re.findall(r"\bmake ([a-z]+)", command):
        assert target in targets, target
    for script in re.findall(r"(\.(?:github|ci)/\S+)", command):
        assert os.access(ROOT / script, os.X_OK) or "bash " in command, script


def test_steps_that_are_named_exist():
    for path in FILES:
        for name, job in load(path)["jobs"].items():
            known = {step["id"] for step in job["steps"] if "id" in step}
            text = yaml.safe_dump(job)
            assert set(re.findall(r"steps\.([a-z]+)\.", text)) <= known, (path.stem, name)
            needed = set(re.findall(r"needs\.full\.outputs\.([a-z]+)", text))
            assert needed <= set(load(path)["jobs"].get("full", {}).get("outputs", {}))


@pytest.fixture
def issue(tmp_path):
    """Runs the script beside a stand-in for gh that keeps its issues in a folder."""
    stand_in = tmp_path / "bin" / "gh"
    stand_in.parent.mkdir()
    stand_in.write_text(
        "#!/usr/bin/env bash\n"
        'printf "%s " "$@" >> "$GH_LOG"; echo >> "$GH_LOG"\n'
        'case "$1 $2" in\n'
        '  "issue list") cat "$GH_OPEN" 2>/dev/null || true ;;\n'
        '  "issue create") echo 7 > "$GH_OPEN"; cp "${@: -1}" "$GH_BODY" ;;\n'
        '  "issue edit") cp "${@: -1}" "$GH_BODY" ;;\n'
        '  "issue close") rm "$GH_OPEN" ;;\n'
        "esac\n"
    )
    stand_in.chmod(0o755)
    files = {f"GH_{name.upper()}": str(tmp_path / name) for name in ("log", "open", "body")}
    environment = {**os.environ, **files, "PATH": f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"}

    def run(*arguments):
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        done = subprocess.run(
            [SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        calls = [" ".join(line.split()[:2]) for line in log.read_text().splitlines()] if log.exists() else []
        return done.returncode, calls

    run.body = tmp_path / "body"
    return run


def test_one_issue_is_opened_updated_and_closed(issue, tmp_path):
    report = tmp_path / "report.md"
    report.write_text("# One\n")
    assert issue("open", str(report), "https://example.org/1") == (
        0,
        ["label create", "issue list", "issue create"],
    )
    assert issue.body.read_text().startswith(
        "# One\n\nFound by the [last nightly run](https://example.org/1)."
    )
    report.write_text("# Two\n")
    assert issue("open", str(report), "https://example.org/2") == (
        0,
        ["label create", "issue list", "issue edit"],
    )
    assert issue.body.read_text().startswith("# Two\n")
    assert issue("close", "https://example.org/3") == (0, ["issue list", "issue close"])
    assert issue("close", "https://example.org/4") == (0, ["issue list"])


def test_the_script_refuses_what_it_does_not_know(issue):
    assert issue("opne") == (2, [])
    assert issue("open", "/nowhere/report.md", "https://example.org")[0] == 1
