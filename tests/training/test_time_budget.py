"""A time budget gives the number of epochs, and the epochs between validations."""

import json
from dataclasses import replace

import pytest
from compared_runs import metrics_of
from steered_runs import AskedToStop

from cellflow.training.budget import N_TIMED_STEPS, N_WARMUP_STEPS, Pace, Plan
from cellflow.training.continuation import recorded_config
from cellflow.training.validation import Validator


def test_the_schedule_is_settled_at_the_start_and_a_lifted_budget_gives_the_length_back(
    disc_folder, tune, tmp_path, monkeypatch
):
    training = {"n_epochs": 101, "max_minutes": 5.0, "validate_every": 101}
    press = AskedToStop(monkeypatch, N_WARMUP_STEPS + N_TIMED_STEPS + 1)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Pace, "plan", lambda *_: Plan(n_epochs=5, validate_every=3))
        tune(disc_folder(4), report=press, training=training)
    recorded = recorded_config(tmp_path / "run")
    assert recorded.training.schedule == "cosine"
    unlimited = replace(recorded, training=replace(recorded.training, max_minutes=None))
    out = tune(tmp_path / "data", config=unlimited, resume=True)
    record = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert record["run"]["n_epochs"] == 101
    assert record["config"]["training"]["schedule"] == "cosine"


def test_nothing_is_planned_before_steps_were_timed_also_where_epochs_are_short(
    disc_folder, tune, monkeypatch
):
    seen, plan = [], Pace.plan

    def watched(pace, *arguments):
        seen.append(pace._n_seen)
        return plan(pace, *arguments)

    monkeypatch.setattr(Pace, "plan", watched)
    training = {"n_epochs": 6, "max_minutes": 5.0, "validate_every": 100}
    data = disc_folder(4)
    with pytest.raises(KeyboardInterrupt):
        tune(data, training=training, report=AskedToStop(monkeypatch, 4))
    assert seen == []  # two epochs of two steps
    tune(data, training=training)
    assert seen
    assert min(seen) == N_WARMUP_STEPS + N_TIMED_STEPS


def test_a_budget_that_ends_a_training_before_its_plan_says_so(disc_folder, tune):
    said = []
    tune(disc_folder(4), training={"n_epochs": 100, "max_minutes": 1e-6}, said=said)
    assert "the budget of 1e-06 min ends the training after 1 step" in said
    assert not any(line.startswith("plan: ") for line in said)


def test_a_time_budget_plans_fewer_epochs_and_ends_in_time(disc_folder, tune, monkeypatch):
    monkeypatch.setattr("cellflow.training.recipe.FEWEST_STEPS", 10**9)
    said = []
    out = tune(
        disc_folder(4),
        training={"n_epochs": 100_000, "max_minutes": 0.1, "validate_every": 100_000},
        said=said,
    )
    record = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert any(line.startswith("plan: ") for line in said)
    assert any("from random weights, hardly any cell is found before" in line for line in said)
    assert 1 <= record["run"]["n_epochs"] < 100_000
    assert record["run"]["seconds"] < 9


def validated_epochs(out):
    return [int(row["epoch"]) for row in metrics_of(out) if row["validation_map"]]


@pytest.mark.parametrize("stopped_at", [None, 11])
def test_a_plan_that_changes_does_not_bunch_validations_up_also_when_continued(
    disc_folder, tune, monkeypatch, stopped_at
):
    def restless(pace, seconds, epochs_done, current):
        return Plan(n_epochs=14, validate_every=5 - int(epochs_done) % 2)

    monkeypatch.setattr(Pace, "plan", restless)
    data, training = disc_folder(4), {"n_epochs": 14, "max_minutes": 5.0, "validate_every": 4}
    if stopped_at:
        with pytest.raises(KeyboardInterrupt):
            tune(data, training=training, report=AskedToStop(monkeypatch, stopped_at))
    # Divisible by what is wanted at the time are 4, 5, 8, 10 and 12.
    assert validated_epochs(tune(data, training=training)) == [5, 10, 14]


def test_the_first_validation_under_a_budget_waits_when_by_now_it_would_take_long(
    disc_folder, tune, monkeypatch
):
    estimates = iter([0.0, 50.0])
    monkeypatch.setattr(Validator, "estimate_seconds", lambda *_: next(estimates))
    training = {"n_epochs": 9, "max_minutes": 5.0, "validate_every": 4}
    assert validated_epochs(tune(disc_folder(4), training=training)) == [9]
    assert not list(estimates)
