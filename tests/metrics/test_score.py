"""The score of many images: averages and intervals."""

import json

import numpy as np
import pytest

from cellflow.data.rle import rle_to_masks
from cellflow.errors import ConfigError, DataError, LabelError
from cellflow.metrics.average_precision import VARIANTS
from cellflow.metrics.score import score_images
from cellflow.records import CellMasks

SHAPE = (2, 20)


def cells(*runs):
    return rle_to_masks(list(runs), SHAPE)


NINE = [f"{1 + 4 * k} 2" for k in range(9)]


def test_averaged_and_pooled_differ_as_nine_hits_and_one_miss_do(rng):
    truths = {"a": cells(*NINE), "b": cells("1 5")}
    found = {"a": cells(*NINE), "b": cells("30 5")}
    averaged = score_images(truths, found, rng=rng)
    pooled = score_images(truths, found, rng=rng, variant="pooled")
    assert averaged.mean.estimate == pytest.approx(0.5)
    assert pooled.mean.estimate == pytest.approx(9 / 11)


def test_cell_types_have_their_own_scores(rng):
    truths = {name: cells("1 5") for name in "abc"}
    found = {"a": cells("1 5"), "b": cells("1 5"), "c": CellMasks.empty(SHAPE)}
    score = score_images(truths, found, rng=rng, cell_types={"a": "x", "b": "x", "c": None})
    assert list(score.per_cell_type) == ["x"]
    assert score.per_cell_type["x"].n_images == 2
    assert score.per_cell_type["x"].mean.estimate == 1
    assert score.overall.per_threshold == pytest.approx(np.full(10, 2 / 3))
    assert (score.overall.n_truths, score.overall.n_predicted) == (3, 2)


def test_a_score_of_few_groups_says_how_far_its_interval_can_be_trusted(rng):
    truths = {f"i{k}": cells("1 5") for k in range(6)}
    wells = {name: f"w{k // 2}" for k, name in enumerate(truths)}
    score = score_images(truths, truths, rng=rng, groups=wells)
    assert score.remarks[-1].startswith("with 3 independent groups of images, 95 % intervals held")
    assert score.remarks[-1] in score.table()


def test_what_an_image_without_cells_counts_depends_on_the_variant(rng):
    score = score_images({"a": cells("1 5")}, {}, rng=rng, variant="pooled")
    assert "An image without cells counts nothing." in score.table()


def test_the_table_states_both_empty_cases_and_json_is_plain(rng):
    score = score_images({"a": cells("1 5")}, {}, rng=rng, cell_types={"a": "cort"})
    assert "neither truth nor prediction counts 1, with only one of them 0" in score.table()
    assert json.loads(json.dumps(score.to_dict()))["overall"]["mean"] == 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_cells_are_counted_as_they_are_in_every_variant(rng, variant):
    truths = {"a": cells("1 9", "20 4"), "b": cells("1 5")}
    # One truth in two halves, a spurious cell, and an image without any.
    found = {"a": cells("1 8", "1 6", "9 1", "30 2")}
    score = score_images(truths, found, rng=rng, variant=variant)
    assert (score.overall.n_truths, score.overall.n_predicted) == (3, 4)


def test_the_table_says_why_there_is_no_interval(rng):
    truths, groups = dict.fromkeys("abc", cells("1 5")), {"a": "w1", "b": "w1", "c": "w2"}
    of_two = score_images({n: truths[n] for n in "ab"}, truths, groups=groups, rng=rng)
    assert "(1 group)" in of_two.table()
    assert "(1 image)" in score_images({"a": truths["a"]}, truths, groups=groups, rng=rng).table()
    assert "(1 " not in score_images(truths, truths, groups=groups, rng=rng).table()


def test_pooled_counts_stand_beside_means_over_images(rng):
    truths = {"a": cells(*NINE), "b": cells("1 5")}
    found = {"a": cells(*NINE), "b": cells("30 5")}
    score = score_images(truths, found, rng=rng, cell_types={"a": "x", "b": "y"})
    overall = score.to_dict()["overall"]
    assert overall["per_threshold"][0] == 0.5
    assert overall["pooled"]["average_precision"][0] == pytest.approx(9 / 11)
    assert [overall["pooled"][side][0] for side in ("tp", "fp", "fn")] == [9, 1, 1]
    assert score.per_cell_type["y"].pooled.counts.fn.tolist() == [1] * 10
    images = score.to_dict()["images"]
    assert [images["b"][side][0] for side in ("tp", "fp", "fn")] == [0, 1, 1]
    assert images["a"]["average_precision"] == [1] * 10


def test_a_table_by_threshold_is_given_on_request(rng):
    score = score_images({"a": cells("1 4", "9 2")}, {"a": cells("1 3")}, rng=rng)
    assert "Pooled over images (micro)" not in score.table()
    table = score.table(by_threshold=True)
    assert table.startswith(score.table()[:100])
    start = table.index("Pooled over images (micro)")
    _, head, *rows = table[start:].split("\n\n")[0].splitlines()
    assert head.split() == [
        "cell", "type", "IoU", ">", "TP", "FP", "FN", "precision", "recall", "F1", "AP",
        "matched", "IoU", "PQ",
    ]  # fmt: skip
    assert len(rows) == 10
    # IoU 3/4 is the only hit; 0.75 / (1 + 1 / 2) is the panoptic quality.
    assert rows[0].split() == [
        "all", "0.50", "1", "0", "1", "1.000", "0.500", "0.667", "0.500", "0.750", "0.500",
    ]  # fmt: skip
    assert rows[5].split()[2:] == ["0", "1", "2", *["0.000"] * 4, "none", "0.000"]
    assert max(map(len, table.splitlines())) <= 100


def test_variants_without_pairs_have_no_table_by_threshold(rng):
    score = score_images({"a": cells("1 4")}, {}, rng=rng, variant="at-least-one")
    assert score.to_dict()["overall"]["pooled"] is None
    with pytest.raises(ConfigError, match="by threshold needs cells matched one-to-one, which the"):
        score.table(by_threshold=True)


@pytest.mark.parametrize(
    ("thresholds", "metric", "head"),
    [
        (None, "mAP", "mAP"),
        ([0.5], "AP50", "AP50"),
        ([0.9, 0.5, 0.75], "mean of AP50, AP75 and AP90", "mean AP"),
    ],
)
def test_the_mean_of_own_thresholds_has_another_name(rng, thresholds, metric, head):
    # IoU 4/5.
    score = score_images({"a": cells("1 5")}, {"a": cells("1 4")}, rng=rng, thresholds=thresholds)
    table = score.table()
    assert score.metric == score.to_dict()["metric"] == metric
    assert f"found  {head:>5}  95 % interval" in table
    sentence = f"{metric} is not the mAP, the mean over IoU 0.50, 0.55 … 0.95 (the competition's"
    assert (sentence in table) == (thresholds is not None)
    assert ("AP75" in table.splitlines()[0]) == (thresholds is None)


def test_the_mean_of_own_thresholds_is_over_them_only(rng):
    found = {"a": cells("1 4"), "b": cells("1 5")}
    truths = {"a": cells("1 5"), "b": cells("1 5")}
    score = score_images(truths, found, rng=rng, thresholds=[0.5, 0.9])
    assert score.to_dict()["thresholds"] == [0.5, 0.9]
    assert score.overall.per_threshold.tolist() == [1, 0.5]
    assert score.mean.estimate == 0.75


def test_nothing_to_score_is_an_error(rng):
    with pytest.raises(DataError, match="no image to score"):
        score_images({}, {}, rng=rng)


def test_predictions_of_other_images_alone_are_refused(rng):
    labels = np.ones((2, 2), int)
    with pytest.raises(DataError, match=r"no image is predicted: .*'a', .*'a\.png'"):
        score_images({"a": labels}, {"a.png": labels}, rng=rng)


def test_what_are_no_cells_is_said(rng):
    labels = np.ones((2, 2), int)
    for predictions in ({}, {"a": labels}):
        with pytest.raises(LabelError, match="truth: expected CellMasks or the label image"):
            score_images({"a": labels.tolist()}, predictions, rng=rng)
    masked = np.ma.array(labels)
    assert score_images({"a": masked}, {"a": masked}, rng=rng).mean.estimate == 1


def test_a_score_is_shown_in_a_line(rng):
    labels = np.ones((2, 2), int)
    score = score_images({"a": labels}, {"a": labels}, rng=rng)
    assert repr(score) == "<Score: mAP 1.000 (no interval), 1 image, competition>"
    assert repr(score.images[0]) == "<ImagePrecision 1.000: 1 true cell, 1 predicted>"
