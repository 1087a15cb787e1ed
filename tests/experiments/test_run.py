from dataclasses import replace

import numpy as np
import pytest

from cellflow.data.submission import read_submission
from cellflow.errors import ConfigError, DataError
from cellflow.experiments.run import finished_rows, open_bench, run_experiment
from cellflow.experiments.table import experiment_table, summarize


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
    assert second.difference.estimate == pytest.approx(wanted - 1)
    assert (second.n_images, second.n_folds, second.n_seeds) == (6, 3, 2)
    text = experiment_table([first, second], "last")
    assert text.index("between") < text.index("too low")
    assert "paired by image" in text


def test_a_rank_by_validations_says_that_it_is_too_high(family, experiment, bench):
    plan = experiment([0])
    rows = run_experiment(plan, bench(plan))
    for rule, value in [("best", 0.4), ("last10", 0.3)]:
        results = summarize(rows, ["between", "too low"], rule)
        assert results[0].rank == pytest.approx(value)
        assert "that column is too high" in experiment_table(results, rule).replace("\n", " ")


def test_a_table_without_the_first_variant_is_refused(family, experiment, bench):
    plan = experiment([0])
    with pytest.raises(DataError, match="no result of 'between' yet"):
        summarize(finished_rows(plan, bench(plan)), ["between", "too low"], "last")


def test_a_result_from_before_a_default_changed_is_refused(family, experiment, bench, tmp_path):
    plan = experiment([0])
    run_experiment(plan, bench(plan))
    path = next((tmp_path / "store" / "rows").iterdir())
    path.write_text(path.read_text().replace('"min_size": 15', '"min_size": 20'))
    with pytest.raises(DataError, match=r"the default of dynamics.min_size was 20, now 15"):
        finished_rows(plan, bench(plan))


def test_a_result_from_before_a_setting_existed_still_counts(family, experiment, bench, tmp_path):
    plan = experiment([0])
    run_experiment(plan, bench(plan))
    for path in (tmp_path / "store" / "rows").iterdir():
        path.write_text(path.read_text().replace('"min_size": 15,', ""))
    assert len(finished_rows(plan, bench(plan))) == 6
