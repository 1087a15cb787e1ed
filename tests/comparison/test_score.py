"""The score of one method from files of any kind, and what is left out of it."""

import json

import numpy as np
import pytest

from cellflow.comparison.compare import compare
from cellflow.comparison.score import score_submission
from cellflow.config import ComparisonConfig
from cellflow.data.images import write_png
from cellflow.data.kaggle import KaggleImage, write_train_csv
from cellflow.data.label_images import write_label_tiff
from cellflow.data.rle import rle_to_masks
from cellflow.data.submission import write_submission
from cellflow.errors import SubmissionError
from cellflow.metrics.average_precision import VARIANTS
from cellflow.metrics.score import score_images
from cellflow.network.model_folder import CONFIG

SHAPE = (2, 20)


def cells(*runs):
    return rle_to_masks(list(runs), SHAPE)


def files(tmp_path, truth, found):
    write_train_csv(
        tmp_path / "train.csv",
        [
            KaggleImage(name=name, masks=masks, metadata={"cell_type": kind})
            for name, (kind, masks) in truth.items()
        ],
    )
    write_submission(tmp_path / "s.csv", found.items())
    return tmp_path / "train.csv", tmp_path / "s.csv"


def test_a_missing_image_counts_as_without_prediction_and_is_named(tmp_path):
    truth = {"a": ("cort", cells("1 5")), "b": ("astro", cells("1 5"))}
    score = score_submission(*files(tmp_path, truth, {"a": cells("1 5")}))
    assert score.mean.estimate == 0.5
    assert score.remarks[:2] == (
        "s lacks 1 image of the truth, counted as without prediction: b",
        "--covered-only leaves it out, as compare does: mAP 1.000",
    )
    covered = score_submission(*files(tmp_path, truth, {"a": cells("1 5")}), covered_only=True)
    assert covered.mean.estimate == 1
    assert covered.remarks == ("s lacks 1 image of the truth, left out: b",)


def test_unknown_images_are_left_out_and_named(tmp_path):
    truth = {"a": ("cort", cells("1 5"))}
    score = score_submission(*files(tmp_path, truth, {"a": cells("1 5"), "z": cells("1 5")}))
    assert score.remarks == ("s: 1 image left out that the truth does not have: z",)


def test_an_unknown_image_larger_than_the_competitions_is_left_out_too(tmp_path):
    truth = {"a": ("cort", cells("1 5"))}
    large = rle_to_masks(["900000 5"], (1000, 1000))
    score = score_submission(*files(tmp_path, truth, {"a": cells("1 5"), "z": large}))
    assert score.remarks == ("s: 1 image left out that the truth does not have: z",)


def test_a_submission_of_other_images_is_an_error(tmp_path):
    truth = {"a": ("cort", cells("1 5"))}
    with pytest.raises(SubmissionError, match="none of its images is in"):
        score_submission(*files(tmp_path, truth, {"z": cells("1 5")}))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_submission_scores_as_its_cells_do_in_memory(tmp_path, variant):
    truths = {f"i{k}": cells("1 8", "7 5", f"{21 + k} 6") for k in range(6)}
    found = {f"i{k}": cells(f"{22 + k} 6", "1 7", "9 3") for k in range(5)}
    paths = files(tmp_path, {name: ("cort", masks) for name, masks in truths.items()}, found)
    kinds, rng = dict.fromkeys(truths, "cort"), np.random.default_rng(3)
    direct = score_images(truths, found, cell_types=kinds, variant=variant, rng=rng)
    score = score_submission(*paths, variant=variant, seed=3)
    assert score.overall.mean == direct.overall.mean
    assert [one.precision.tolist() for one in score.images] == [
        one.precision.tolist() for one in direct.images
    ]
    assert 0 < direct.mean.estimate < 1


def test_a_folder_of_labels_is_scored_against_a_folder_of_annotated_images(tmp_path):
    labels = np.zeros((20, 30), np.uint16)
    labels[2:9, 3:10], labels[12:18, 15:25] = 1, 2
    for name in ("a", "b"):
        write_png(tmp_path / f"truth/images/{name}.png", np.zeros((20, 30), np.uint8))
        write_png(tmp_path / f"truth/masks/{name}.png", labels)
    (tmp_path / "found").mkdir()
    write_label_tiff(tmp_path / "found/a.tif", labels.astype(np.int32))
    write_label_tiff(tmp_path / "found/b.tif", np.where(labels == 1, 1, 0).astype(np.int32))
    score = score_submission(tmp_path / "truth", tmp_path / "found")
    assert score.image_scores.tolist() == [1, 0.5]
    assert score.method == "found"
    assert list(score.truths) == list(score.predicted) == ["a", "b"]


def coco(tmp_path):
    """Twelve images with a sure hit and an unsure, spurious square that overlaps with it."""
    square = [5, 5, 15, 5, 15, 15, 5, 15]
    truth = rle_to_masks([" ".join(f"{60 * y + 6} 10" for y in range(5, 15))], (40, 60))
    images = [KaggleImage(name=f"i{k}", masks=truth, metadata={}) for k in range(12)]
    write_train_csv(tmp_path / "train.csv", images)
    results = [
        {"image_id": f"i{k}", "category_id": 1, "segmentation": [shape], "score": score}
        for k in range(12)
        for shape, score in ((square, 0.9), ([n + 8 for n in square], 0.1))
    ]
    (tmp_path / "found.json").write_text(json.dumps(results))
    return tmp_path / "train.csv", tmp_path / "found.json"


def test_detections_with_scores_are_prepared_as_in_a_comparison(tmp_path):
    truth, found = coco(tmp_path)
    score = score_submission(truth, found)
    assert score.mean.estimate == 1
    write_submission(
        tmp_path / "none.csv", [(f"i{k}", rle_to_masks([], (40, 60))) for k in range(12)]
    )
    assert compare([found, tmp_path / "none.csv"], truth).scores[0].mean == score.mean
    assert any(one.startswith("found is cut by score and area, chosen") for one in score.remarks)
    assert any(one.startswith("found overlaps: rule higher_score") for one in score.remarks)
    uncut = score_submission(truth, found, settings=ComparisonConfig(tune_cutoffs=False))
    assert uncut.mean.estimate == 0.5


def test_an_image_that_a_list_of_results_lacks_may_be_an_empty_one(tmp_path):
    truth, found = coco(tmp_path)
    results = [one for one in json.loads(found.read_text()) if one["image_id"] != "i3"]
    found.write_text(json.dumps(results))
    score = score_submission(truth, found)
    assert score.mean.estimate == pytest.approx(11 / 12)
    assert "found lacks 1 image of the truth, counted as without prediction: i3" in score.remarks
    assert "--covered-only leaves it out, as compare does" in score.remarks
    covered = score_submission(truth, found, covered_only=True)
    assert covered.mean.estimate == 1
    assert "if nothing was found there, --image-names tells so" in covered.remarks[0]


def test_a_model_folder_is_no_result(tmp_path):
    truth, _ = coco(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / CONFIG).write_text("{}")
    with pytest.raises(SubmissionError, match=r"model is a model folder.*`cellflow predict`"):
        score_submission(truth, tmp_path / "model")


@pytest.mark.real_data
def test_real_predictions_score_by_cell_type_as_published(real_data):
    root = real_data / "sartorius"
    score = score_submission(
        root / "train.csv", root / "predictions/mask_rcnn.csv", covered_only=True
    )
    assert score.overall.n_images == 30
    found = {kind: one.mean.estimate for kind, one in score.per_cell_type.items()}
    assert found == pytest.approx({"cort": 0.518, "astro": 0.233, "shsy5y": 0.172}, abs=6e-4)
    assert score.mean.low < 0.38647 < score.mean.high
