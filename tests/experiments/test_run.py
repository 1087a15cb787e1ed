import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
from made_rows import halves, spread

from cellflow.config import TrainingConfig
from cellflow.data.folds import write_folds
from cellflow.data.submission import read_submission
from cellflow.errors import ConfigError, DataError
from cellflow.experiments import run
from cellflow.experiments.bench import open_bench
from cellflow.experiments.results import summarize
from cellflow.experiments.run import finished_rows, run_experiment
from cellflow.experiments.store import make_key
from cellflow.experiments.table import experiment_page, experiment_table
from cellflow.experiments.tasks import plan_tasks
from cellflow.training.run_lock import InUse, locked


def key_and_score(rows):
    return [(row.variant, row.key, row.fold, row.seed, row.images) for row in rows]


def test_every_image_is_predicted_once_a_variant_by_a_model_that_never_saw_it(
    family, experiment, bench
):
    plan = experiment([0])
    rows = run_experiment(plan, bench(plan))
    assert len(rows) == 2 * 3
    for name in ("between", "too low"):
        seen = [image for row in rows if row.variant == name for image in row.images]
        assert sorted(seen) == [f"im{k}" for k in range(6)]


def test_variants_that_differ_in_prediction_share_one_training(family, experiment, bench):
    plan = experiment([0])
    run_experiment(plan, bench(plan))
    assert sorted(family.trained) == [(0, 0), (0, 1), (0, 2)]


def test_a_second_run_computes_nothing_and_gives_the_same(family, experiment, bench):
    plan = experiment([0])
    first = run_experiment(plan, bench(plan))
    family.predicted.clear()
    assert key_and_score(run_experiment(plan, bench(plan))) == key_and_score(first)
    assert family.predicted == []


def test_adding_a_seed_runs_only_that_seed(family, experiment, bench):
    plan = experiment([0])
    run_experiment(plan, bench(plan))
    family.trained.clear()
    more = experiment([0, 1])
    assert len(run_experiment(more, bench(more))) == 12
    assert sorted(family.trained) == [(1, 0), (1, 1), (1, 2)]


def test_an_interrupted_experiment_goes_on_where_it_stopped(family, experiment, bench):
    plan = experiment([0])
    stops = replace(plan.variants[1], options={"fails_on_fold": 1})
    broken = replace(plan, variants=(plan.variants[0], stops))
    with pytest.raises(KeyboardInterrupt):
        run_experiment(broken, bench(plan))
    assert len(finished_rows(plan, bench(plan))) == 2  # "between" on the folds 0 and 1
    family.trained.clear()
    rows = run_experiment(plan, bench(plan))
    assert family.trained == [(0, 2)]
    assert len(rows) == 6


def test_what_another_process_computes_is_passed_over(family, experiment, bench):
    plan, said = experiment([0]), []
    shared = bench(plan)
    first = plan_tasks(plan, shared)[0]
    with locked(shared.store.lock(first.model_key)):
        rows = run_experiment(plan, shared, say=said.append)
    # Both variants of that fold are predictions with the model that the other process trains.
    assert len(rows) == 4
    assert (0, first.fold) not in family.trained
    assert said.count("  another process is at it") == 2
    assert said[-1].startswith("2 results left to other processes")
    assert len(run_experiment(plan, shared)) == 6
    assert sorted(family.trained) == [(0, 0), (0, 1), (0, 2)]


def test_what_another_process_ends_meanwhile_is_among_the_results(
    family, experiment, bench, monkeypatch
):
    plan, said, shared = experiment([0]), [], bench(experiment([0]))

    def work_of_another(folder, say):
        monkeypatch.setattr(run, "locked", locked)
        run_experiment(plan, shared)
        raise InUse("another process is training there")

    monkeypatch.setattr(run, "locked", work_of_another)
    assert len(run_experiment(plan, shared, say=said.append)) == 6
    assert not any("left to other processes" in line for line in said)


def test_a_pretraining_that_another_process_does_is_left_to_it(
    family, experiment, bench, monkeypatch
):
    plan, said = experiment([0]), []

    def in_use(*_):
        raise InUse("another process is training there")

    with monkeypatch.context() as patched:
        patched.setattr(type(family), "train", in_use)
        assert run_experiment(plan, bench(plan), say=said.append) == []
    assert said[-1].startswith("6 results left to other processes")
    assert len(run_experiment(plan, bench(plan))) == 6


def test_a_training_that_diverges_is_a_result_and_does_not_stop_the_others(
    family, experiment, bench
):
    text = """
    folds = 3
    [base]
    family = "threshold"
    [[variant]]
    name = "between"
    [[variant]]
    name = "too fast"
    diverges_on_fold = 1
    """
    plan = experiment([0], text)
    rows = run_experiment(plan, bench(plan))
    (lost,) = [row for row in rows if row.facts["diverged"]]
    assert (lost.variant, lost.fold) == ("too fast", 1)
    assert {image["score"] for image in lost.images.values()} == {0.0}
    page = experiment_page(plan, rows)
    assert "'too fast': 1 of 3 trainings diverged and count as models that find no cell" in page
    family.trained.clear()
    run_experiment(plan, bench(plan))
    assert family.trained == []


def test_the_cells_that_were_found_are_kept_as_a_submission(family, experiment, bench):
    plan = experiment([0])
    opened = bench(plan)
    for row in run_experiment(plan, opened):
        found = read_submission(opened.store.predictions(row.key), (12, 12))
        assert sorted(found) == sorted(row.images)


def test_a_store_of_other_data_is_refused(family, experiment, bench, data, tmp_path):
    plan = experiment([0])
    run_experiment(plan, bench(plan))
    table = data / "train.csv"
    table.write_text(table.read_text().replace("im0,27 3", "im0,27 2"))
    with pytest.raises(DataError, match="other images or other truth"):
        open_bench(plan, data, tmp_path / "store")


def test_an_unknown_family_or_option_is_refused_before_anything_runs(family, experiment, bench):
    plan = experiment([0])
    for change, message in [
        ({"family": "yolo"}, "unknown family 'yolo'; known: cellflow"),
        ({"options": {"color": 1}}, "unknown option 'color'"),
        ({"options": {"n_images": 0}}, "variant 'too low': n_images: expected a whole number"),
        (
            {
                "config": replace(
                    plan.variants[0].config, training=TrainingConfig(optimizer="radam")
                )
            },
            "variant 'too low': thresholds have no radam",
        ),
    ]:
        wrong = replace(plan, variants=(plan.variants[0], replace(plan.variants[1], **change)))
        with pytest.raises(ConfigError, match=message):
            run_experiment(wrong, bench(plan))
    assert family.trained == []


def test_the_table_pairs_each_variant_with_the_first(family, experiment, bench):
    plan = experiment([0, 1])
    rows = run_experiment(plan, bench(plan))
    first, second = summarize(rows, ["between", "too low"], "last")
    assert first.score.estimate == 1.0
    assert first.difference is None
    # The bright speck makes the second cell's IoU area / (area + 1).
    ious = [area / (area + 1) for area in (18, 24, 30, 36, 42, 48)]
    wanted = np.mean([(np.linspace(0.5, 0.95, 10) + 1e-9 < iou).mean() for iou in ious])
    assert second.score.estimate == pytest.approx(wanted)
    assert second.difference is not None
    assert second.difference.interval.estimate == pytest.approx(wanted - 1)
    assert (second.n_images, second.n_folds, second.n_seeds) == (6, 3, 2)
    text = experiment_table([first, second], "last")
    assert text.index("between") < text.index("too low")
    assert "paired by image" in text


def test_a_variant_that_finds_nothing_is_told(family, experiment, bench):
    plan, said = experiment([0]), []
    above_all = replace(plan.variants[1], predict={"dynamics": {"cellprob_threshold": 250.0}})
    plan = replace(plan, variants=(plan.variants[0], above_all))
    rows = run_experiment(plan, bench(plan), say=said.append)
    nothing = "on 2 held-out images, 0.1 min; no cell was found"
    assert sum(line.endswith(nothing) for line in said) == 3
    page = experiment_page(plan, rows)
    assert "'too low' found no cell in any held-out image: was it trained long enough" in page
    assert "'between' found" not in page


def test_a_variant_of_which_no_cell_is_right_is_told():
    results = summarize([*halves("a", spread(0.3)), *halves("b", spread(0, step=0))], "ab", "last")
    table = experiment_table(results, "last")
    assert "'b' scores 0.000 on every held-out image, as none of the 120 predicted cells" in table
    assert "'a' scores" not in table


def test_a_rank_by_the_best_validation_says_that_it_is_too_high(family, experiment, bench):
    plan = experiment([0])
    rows = run_experiment(plan, bench(plan))
    for rule, value, warns in [("best", 0.4, True), ("last10", 0.3, False)]:
        results = summarize(rows, ["between", "too low"], rule)
        assert results[0].rank == pytest.approx(value)
        assert ("that column is too high" in experiment_table(results, rule)) == warns


def test_a_table_without_the_first_variant_is_refused(family, experiment, bench):
    plan = experiment([0])
    with pytest.raises(DataError, match="no result of 'between' yet"):
        summarize(finished_rows(plan, bench(plan)), ["between", "too low"], "last")


def test_a_result_from_before_a_default_changed_is_refused(family, experiment, bench, tmp_path):
    plan = experiment([0])
    run_experiment(plan, bench(plan))
    path = next((tmp_path / "store" / "rows").iterdir())
    path.write_text(path.read_text().replace('"min_size": 15', '"min_size": 20'))
    with pytest.raises(DataError, match=r"former default of dynamics\.min_size, 20; it is now 15"):
        finished_rows(plan, bench(plan))


def test_a_model_from_before_a_default_changed_is_not_taken_for_a_new_one(
    family, experiment, bench, tmp_path
):
    plan = experiment([0])
    opened = bench(plan)
    key = plan_tasks(plan, opened)[0].model_key
    run_experiment(plan, opened)
    shutil.rmtree(tmp_path / "store" / "rows")  # as told by the test above
    claim = tmp_path / "store" / "models" / f"{key}.json"
    claim.write_text(claim.read_text().replace('"min_size": 15', '"min_size": 20'))
    with pytest.raises(DataError, match=f"delete it and the folder {key} beside it to train anew"):
        run_experiment(plan, opened)


def test_what_another_process_was_killed_at_is_no_result(family, experiment, bench, tmp_path):
    plan = experiment([0])
    opened = bench(plan)
    rows = run_experiment(plan, opened)
    (tmp_path / "store" / "rows" / ".partial-abc-1.json").write_text("")
    assert len(opened.store.rows()) == len(rows)


def test_the_output_is_removed_when_another_process_computes_the_last_of_its_results(
    family, experiment, bench, tmp_path
):
    plan = experiment([0])
    opened, others = bench(plan), open_bench(plan, bench(plan).dataset.root, tmp_path / "others")
    rows = {row.key: row for row in run_experiment(plan, others)}
    task = plan_tasks(plan, opened)[1]  # shares its model with the first
    flows = opened.store.flows(task.model_key)

    def say(text):
        if text.startswith("1/"):
            flows.mkdir(parents=True)
            opened.store.add(rows[task.key])

    run_experiment(plan, opened, say=say)
    assert not flows.exists()


def test_a_result_has_the_number_that_its_fold_has_in_this_experiment(
    family, experiment, bench, tmp_path
):
    plan = experiment([0])
    opened = bench(plan)
    keys = [row.key for row in run_experiment(plan, opened)]
    folds = replace(opened.folds, folds=opened.folds.folds[::-1])
    write_folds(tmp_path / "reversed.json", folds)
    turned = replace(plan, folds_file=tmp_path / "reversed.json")
    rows = finished_rows(turned, bench(turned))
    assert sorted(row.key for row in rows) == sorted(keys)
    assert all(set(row.images) == set(folds.folds[row.fold].validation) for row in rows)


TWO_BUDGETS = """
folds = 3
[base]
family = "threshold"
[[variant]]
name = "short"
training.max_minutes = 5
[[variant]]
name = "long"
training.max_minutes = 50
"""


def test_two_budgets_of_time_are_not_one_result_under_two_names(family, experiment, bench):
    plan = experiment([0], TWO_BUDGETS)
    with pytest.raises(ConfigError, match=r"'short' and 'long' differ in training.max_minutes"):
        run_experiment(plan, bench(plan))
    assert family.trained == []


def test_a_result_from_before_a_setting_existed_still_counts(family, experiment, bench, tmp_path):
    plan = experiment([0])
    run_experiment(plan, bench(plan))
    for path in (tmp_path / "store" / "rows").iterdir():
        path.write_text(path.read_text().replace('"min_size": 15,', ""))
    assert len(finished_rows(plan, bench(plan))) == 6


SOME_IMAGES = """
folds = 3
seeds = {seeds}
[base]
family = "threshold"
[[variant]]
name = "all"
[[variant]]
name = "two"
n_images = 2
[[variant]]
name = "three"
image_share = 0.75
[[variant]]
name = "four"
n_images = 4
"""


def test_some_images_are_trained_on_and_all_of_them_are_the_training_without_a_number(
    family, experiment, bench, tmp_path
):
    plan = experiment([0], SOME_IMAGES)
    rows = run_experiment(plan, bench(plan))  # the family checks its folds file
    of = {name: [row for row in rows if row.variant == name] for name in ("all", "two", "three")}
    assert {row.facts["n_train"] for row in of["two"]} == {2}
    assert {row.facts["n_train"] for row in of["three"]} == {3}
    four = [row.key for row in rows if row.variant == "four"]
    assert four == [row.key for row in of["all"]]
    assert len(family.trained) == 3 * 3
    assert len(list((tmp_path / "store" / "folds").iterdir())) == 2 * 3


def test_more_images_than_a_fold_has_are_refused_before_anything_runs(family, experiment, bench):
    plan = experiment([0], SOME_IMAGES.replace("n_images = 4", "n_images = 5"))
    with pytest.raises(ConfigError, match="'four', fold 0: n_images = 5, but there are 4"):
        run_experiment(plan, bench(plan))
    assert family.trained == []


def test_changed_images_to_train_on_before_are_another_training(
    family, experiment, bench, tmp_path, write_squares
):
    other = write_squares(tmp_path / "other", 3, first=20)
    text = f"""
    folds = 3
    [base]
    family = "threshold"
    pretrain_dir = "{other}"
    [[variant]]
    name = "first elsewhere"
    """
    plan = experiment([0], text)
    rows = run_experiment(plan, bench(plan))
    assert [row.settings["options"]["pretrain_dir"] for row in rows] == [["other"]] * 3
    keys = [row.key for row in rows]
    moved = shutil.copytree(other, tmp_path / "moved")
    again = experiment([0], text.replace("/other", "/moved"))
    assert [row.key for row in run_experiment(again, bench(again))] == keys
    table = moved / "train.csv"
    table.write_text(table.read_text().replace("im20,27 ", "im20,28 "))
    assert finished_rows(again, bench(again)) == []


def test_images_of_the_experiment_itself_are_not_trained_on_before(family, experiment, bench, data):
    text = TWO.replace("FOLDER", str(data))
    plan = experiment([0], text)
    with pytest.raises(DataError, match=r"im0 is the image im0 of .* would have seen what is held"):
        run_experiment(plan, bench(plan))
    missing = experiment([0], TWO.replace("FOLDER", "nowhere"))
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        run_experiment(missing, bench(missing))
    assert family.trained == []


TWO = """
folds = 3
[base]
family = "threshold"
[[variant]]
name = "a"
[[variant]]
name = "b"
pretrain_dir = "FOLDER"
"""


def test_the_keys_are_those_that_stores_already_have(family, experiment, bench):
    """If this fails, every store in the world is computed anew."""
    plan = experiment(
        [3], 'folds = 3\nseeds = [3]\n[[variant]]\nname = "x"\ninit = "scratch"\n'
        "training.n_epochs = 7\ntraining.max_minutes = 9\npredict.dynamics.min_size = 40\n"
    )  # fmt: skip
    opened = bench(plan)
    task = plan_tasks(plan, opened)[1]
    sides = asdict(opened.folds.folds[1])
    settings = {"training": {"n_epochs": 7, "seed": 3}}
    assert task.model_key == make_key(["cellflow", {"init": "scratch"}, settings, sides])
    assert task.key == make_key([task.model_key, [{}, {"min_size": 40}]])
    assert make_key(["a", {"b": [1, 2.5, None]}]) == "7207c7a9ee4430e3"


A_GRID = """
folds = 3
[base]
family = "threshold"
[[variant]]
name = "x"
[variant.grid]
"predict.dynamics.cellprob_threshold" = [80.0, 50.0]
"""


def test_the_page_scores_a_grid_when_it_is_done_and_says_so_before(family, experiment, bench):
    plan = experiment([0], A_GRID)
    rows = run_experiment(plan, bench(plan))
    assert "Grids are scored as searches once" in experiment_page(plan, rows[:-1])
    page = experiment_page(plan, rows)
    assert "Grids are scored" not in page
    assert "| x | 1.000 |" in page
    assert "x cellprob_threshold=80.0" in page
