import io
import json
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from touchstone.reproduce.execute import Job, Outcome, Reporter
from touchstone.reproduce.progress import Display, read_events


@pytest.fixture
def job(tmp_path):
    return Job("paper", "", {}, 1.0, progress=str(tmp_path / "events.jsonl"))


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def wait_for(text, found):
    deadline = time.monotonic() + 10
    while text not in found():
        assert time.monotonic() < deadline, found()
        time.sleep(0.05)


def test_a_line_still_being_written_is_left_for_later(job):
    assert read_events(job.progress) == []
    assert read_events(None) == []
    Reporter(job.progress)("started", pid=3)
    with open(job.progress, "a") as stream:
        stream.write('[]\n{"event": "ce')
    assert [event["event"] for event in read_events(job.progress)] == ["started"]


def test_a_full_disk_costs_the_display_only(tmp_path):
    Reporter("/dev/full")("started")
    Reporter(str(tmp_path / "no" / "folder"))("started")
    Reporter(None)("started")
    assert list(tmp_path.iterdir()) == []


def test_plain_lines_where_there_is_no_terminal(job):
    shown = console(terminal=False)
    with Display(shown, [job]) as display:
        Reporter(job.progress)("started", pid=1)
        wait_for("started paper\n", shown.file.getvalue)
        display.finished(Outcome("paper", "done", seconds=2.5), {"supported": 3, "refuted": 1})
    assert shown.file.getvalue() == "started paper\ndone paper (2.5 s): 3 supported, 1 refuted\n"


def test_a_long_run_is_heard_of_now_and_then(job, monkeypatch):
    monkeypatch.setattr("touchstone.reproduce.progress._REMIND", 0.1)
    shown = console(terminal=False)
    report = Reporter(job.progress)
    with Display(shown, [job]):
        report("started", pid=1)
        report("cell", index=4, of=14)
        report("verdict", verdict="supported")
        wait_for("running paper: cell 4/14, ", shown.file.getvalue)
        wait_for(" s, 1 supported\n", shown.file.getvalue)


def test_a_live_table_in_a_terminal(job):
    shown = console(terminal=True)
    report = Reporter(job.progress)
    with Display(shown, [job, Job("other", "", {}, 1.0)]) as display:
        report("started", pid=1)
        report("cell", index=4, of=14)
        report("verdict", verdict="refuted")
        wait_for("4/14", shown.file.getvalue)
        wait_for("1 refuted", shown.file.getvalue)
        wait_for("0 done, 0 failed, 1 waiting", lambda: re.sub(r"\x1b\[[0-9;]*m", "", shown.file.getvalue()))
        display.finished(Outcome("paper", "failed", "cell 3 [1] failed\n    more", seconds=1.0), None)
    text = shown.file.getvalue()
    assert "FAILED" in text
    assert "cell 3 [1] failed" in text, "brackets are text, not markup"
    assert "    more" not in text


def test_events_are_json_lines(job):
    Reporter(job.progress)("cell", index=1, of=2)
    event = json.loads(Path(job.progress).read_text())
    assert (event["event"], event["index"], event["of"]) == ("cell", 1, 2)


def test_a_second_start_is_told_and_counts_from_the_beginning(job):
    shown = console(terminal=False)
    report = Reporter(job.progress)
    with Display(shown, [job]) as display:
        report("started", worker="one")
        report("cell", index=3, of=4)
        report("verdict", verdict="supported")
        wait_for("started paper\n", shown.file.getvalue)
        report("started", worker="two")
        wait_for("started paper again: the worker that ran it was lost\n", shown.file.getvalue)
        row = display._rows["paper"]
        assert (row.state, row.cell, row.verdicts) == ("running", 0, {})
        display.finished(Outcome("paper", "done", seconds=2.5), {"supported": 1})
        display._take(row, read_events(job.progress))
        assert row.state == "done"
    assert shown.file.getvalue().count("again") == 1
