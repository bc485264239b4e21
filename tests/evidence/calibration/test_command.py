"""The command only says where the report goes, and hands its status on."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from touchstone.evidence.calibration import report
from touchstone.reproduce.cli import main


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        ([], ("full", "figures/_calibration", 2, 0)),
        (["--profile", "quick"], ("quick", "build/runs/quick/_calibration", 2, 0)),
        (["--seed", "3", "--jobs", "1"], ("full", "build/runs/full-seed3/_calibration", 1, 3)),
    ],
)
@pytest.mark.parametrize("status", [0, 1])
def test_calibrate(tmp_path, monkeypatch, arguments, called, status):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "touchstone"\n')
    calls = []
    monkeypatch.setattr(report, "main", lambda *given: calls.append(given) or status)
    done = CliRunner().invoke(main, ["--root", str(tmp_path), "calibrate", *arguments])
    ((profile, out, jobs, seed),) = calls
    assert (profile, out.relative_to(tmp_path.resolve()).as_posix(), jobs, seed) == called
    assert done.exit_code == status
    assert f"wrote {called[1]}/" in done.output


def test_the_gpu_has_no_calibration(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "touchstone"\n')
    done = CliRunner().invoke(main, ["--root", str(tmp_path), "calibrate", "--profile", "gpu"])
    assert done.exit_code == 2
