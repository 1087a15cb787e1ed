"""Lines of progress where there is no terminal."""

import pytest
from cellflow_cli import progress
from cellflow_cli.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_ten_seconds_and_at_the_end(clock, capsys):
    with Progress("job", total=4, unit="image") as report:
        for step in range(1, 5):
            clock[0] += 6
            report(step, {"loss": 0.12345})
    assert capsys.readouterr().err.splitlines() == [
        "job: image 2/4, 12 s, 12 s left  loss 0.1235",
        "job: image 4/4, 24 s, 0 s left  loss 0.1235",
    ]


def test_a_continued_run_counts_only_its_own_steps(clock, capsys):
    report = Progress("job")
    for step in (91, 92):
        clock[0] += 10
        report(step, {"total": 100})
    assert capsys.readouterr().err.splitlines()[-1] == "job: step 92/100, 20 s, 80 s left"


def test_a_next_stage_counts_its_own_time(clock, capsys):
    report = Progress("demo")
    for step, total in ((1, 2), (2, 2), (1, 3), (2, 3)):
        clock[0] += 30
        report(step, {"total": total})
    assert capsys.readouterr().err.splitlines() == [
        "demo: step 1/2, 30 s",
        "demo: step 2/2, 60 s, 0 s left",
        "demo: step 1/3, 0 s",
        "demo: step 2/3, 30 s, 30 s left",
    ]


def test_a_first_step_that_compiles_is_not_taken_for_the_others(clock, capsys):
    report = Progress("job", total=11)
    for step, seconds in ((1, 60), (2, 5), (3, 5)):
        clock[0] += seconds
        report(step, {})
    assert capsys.readouterr().err.splitlines() == [
        "job: step 1/11, 60 s",
        "job: step 3/11, 70 s, 40 s left",
    ]


def test_without_a_total_no_end_is_promised(clock, capsys):
    report = Progress("job")
    clock[0] += 20
    report(3, {})
    assert capsys.readouterr().err == "job: step 3, 20 s\n"
