"""What a run would do is said before it does it."""

import shutil
from dataclasses import replace

from cellflow.experiments.forecast import forecast
from cellflow.experiments.run import run_experiment


def test_a_run_that_is_not_begun_says_its_trainings_steps_and_images(family, experiment, bench):
    plan = experiment([0, 1])
    first, todo, of_family = forecast(plan, bench(plan))
    assert first == ("thresholds: 2 variants × 3 folds × 2 seeds = 12 results, 0 in the store")
    # The two variants share a training; each predicts all six images for either seed.
    assert todo == "to do: 6 trainings and the prediction of 24 images"
    assert of_family == (
        "threshold: 6 trainings, 240 steps; how long is not known, the store has no training of "
        "this family yet"
    )
    assert family.trained == []


def test_what_is_done_is_left_out_and_its_time_is_the_measure(family, experiment, bench):
    plan = experiment([0])
    run_experiment(plan, bench(plan))
    more = experiment([0, 1])
    first, todo, of_family = forecast(more, bench(more))
    assert "12 results, 6 in the store" in first
    assert todo == "to do: 3 trainings and the prediction of 12 images"
    # 6 seconds for 10 steps, so says the family; 3 trainings of 40 steps are to come.
    assert (
        of_family
        == "threshold: 3 trainings, 120 steps, about 72 s as earlier ones in the store took"
    )
    assert forecast(plan, bench(plan))[1:] == ["to do: 0 trainings and the prediction of 0 images"]


def test_a_model_that_was_deleted_is_trained_again(family, experiment, bench, tmp_path):
    plan = experiment([0])
    first = replace(plan, variants=plan.variants[:1])
    run_experiment(first, bench(first))
    assert forecast(plan, bench(plan))[1].startswith("to do: 0 trainings")
    shutil.rmtree(tmp_path / "store" / "models")
    assert forecast(plan, bench(plan))[1].startswith("to do: 3 trainings")


def test_a_budget_of_time_bounds_it(family, experiment, bench):
    plan = experiment([0], assignments=["training.max_minutes=10"])
    assert forecast(plan, bench(plan))[-1].endswith("120 steps, at most 30 min")


def test_other_folders_that_come_before_are_counted(
    experiment, bench, tmp_path, write_squares, monkeypatch
):
    monkeypatch.setattr("cellflow.training.rehearsal.measure_step", lambda config, device: 0.5)
    other = write_squares(tmp_path / "other", 3, first=20)
    plan = experiment([0, 1], assignments=[f"pretrain_dir={other}"])
    plan = replace(plan, variants=tuple(replace(v, family="cellflow") for v in plan.variants))
    assert forecast(plan, bench(plan))[-1] == (
        f"before them 2 trainings on {other} (3 images), not counted above, each for all folds of "
        "a seed"
    )
