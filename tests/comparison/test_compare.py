"""Comparisons are paired, and honest about what they left out."""

import json

import numpy as np
import pytest
from scipy import stats

from cellflow.comparison.compare import compare, compare_outputs
from cellflow.comparison.importers import MethodOutput
from cellflow.comparison.truth import read_truth
from cellflow.data.kaggle import KaggleImage, write_train_csv
from cellflow.data.rle import rle_to_masks
from cellflow.data.submission import write_submission
from cellflow.errors import ConfigError, SubmissionError
from cellflow.jsontext import to_json

SHAPE = (2, 300)


def cells(*runs):
    return rle_to_masks(list(runs), SHAPE)


@pytest.fixture
def truth(tmp_path):
    path = tmp_path / "train.csv"
    images = [
        KaggleImage(name=f"i{k}", masks=cells("1 9", "20 9"), metadata={"cell_type": "cort"})
        for k in range(8)
    ]
    write_train_csv(path, images)
    return path


def submit(tmp_path, name, found):
    write_submission(tmp_path / name, found.items())
    return tmp_path / name


def test_a_better_submission_is_called_better(tmp_path, truth):
    good = submit(tmp_path, "good.csv", {f"i{k}": cells("1 9", "20 9") for k in range(8)})
    poor = submit(tmp_path, "poor.csv", {f"i{k}": cells("1 9") for k in range(8)})
    result = compare([poor, good], truth)
    [pair] = result.pairs
    assert pair.difference.estimate == pytest.approx(-0.5)
    assert pair.difference.high < 0
    assert (pair.p_value, pair.p_is_exact) == (pytest.approx(2 / 2**8), True)
    assert result.ranking.order == ("good", "poor")
    assert result.answer == (
        "good is better than poor: 1.000 against 0.500; difference +0.500 [+0.500, +0.500], "
        "p 0.008, 8 images."
    )
    assert result.table().startswith(result.answer[:80])


def test_of_five_images_none_is_called_better_as_chance_is_not_ruled_out(tmp_path, truth):
    names = [f"i{k}" for k in range(5)]
    good = submit(tmp_path, "good.csv", {name: cells("1 9", "20 9") for name in names})
    poor = submit(tmp_path, "poor.csv", {name: cells("1 9") for name in names})
    result = compare([poor, good], truth)
    [pair] = result.pairs
    assert pair.excludes_zero
    assert not pair.is_beyond_chance
    assert result.answer == (
        "good may be better than poor: 1.000 against 0.500; difference +0.500 [+0.500, +0.500], "
        "p 0.062, 5 images. The permutation test does not rule out chance: p is not below 0.05."
    )


def test_the_result_is_plain_json_and_shown_in_a_line(tmp_path, truth):
    good = submit(tmp_path, "good.csv", {f"i{k}": cells("1 9", "20 9") for k in range(8)})
    poor = submit(tmp_path, "poor.csv", {f"i{k}": cells("1 9") for k in range(8)})
    result = compare([good, poor], truth)
    assert repr(result) == f"<Comparison: {result.answer}>"
    content = json.loads(to_json(result.to_dict()))
    assert content["pairs"][0]["first"] == "good"
    assert content["scores"]["poor"]["overall"]["mean"] == 0.5
    assert [one["by"] for one in content["breakdowns"]] == ["cell type", "IoU threshold"]


def test_pooled_scores_cannot_be_paired(tmp_path, truth):
    paths = [submit(tmp_path, name, {"i0": cells("1 9")}) for name in ("a.csv", "b.csv")]
    with pytest.raises(ConfigError, match="no scores of single images to pair"):
        compare(paths, truth, variant="pooled")


def test_a_submission_that_is_given_twice_is_refused(tmp_path, truth):
    path = submit(tmp_path, "a.csv", {"i0": cells("1 9")})
    with pytest.raises(SubmissionError, match=r"a\.csv is given twice"):
        compare([path, path], truth)


def test_one_image_gives_a_difference_and_no_interval(tmp_path, truth):
    good = submit(tmp_path, "good.csv", {"i0": cells("1 9", "20 9")})
    poor = submit(tmp_path, "poor.csv", {"i0": cells("1 9")})
    result = compare([good, poor], truth)
    assert result.answer == (
        "No conclusion from 1 image: good 1.000 against 0.500 of poor, without an interval."
    )
    assert "nan" not in result.table()
    (pair,) = json.loads(to_json(result.to_dict()), parse_constant=pytest.fail)["pairs"]
    assert pair["difference"] == {"estimate": 0.5, "low": None, "high": None, "level": 0.95}
    assert pair["smallest_visible"] is None
    assert pair["flip_chance"] is None


def test_the_smallest_visible_difference_is_that_of_students_standard_error(tmp_path, truth):
    hits = [2, 2, 1, 2, 1, 2, 2, 1]
    found = {f"i{k}": cells(*("1 9", "20 9")[:n]) for k, n in enumerate(hits)}
    some = submit(tmp_path, "some.csv", found)
    poor = submit(tmp_path, "poor.csv", {f"i{k}": cells("1 9") for k in range(8)})
    (pair,) = compare([some, poor], truth).pairs
    standard_error = np.std([n / 2 for n in hits], ddof=1) / np.sqrt(8)
    factor = stats.t.ppf(0.975, 7) + stats.t.ppf(0.8, 7)
    assert pair.smallest_visible == pytest.approx(factor * standard_error, rel=0.02)
    with_more = 2.8 * standard_error * np.sqrt(8 / 606)
    assert pair.smallest_visible_with[606] == pytest.approx(with_more, rel=0.02)


def test_equal_submissions_cannot_be_told_apart(tmp_path, truth):
    found = {f"i{k}": cells("1 9") for k in range(8)}
    paths = [submit(tmp_path, name, found) for name in ("a.csv", "b.csv")]
    result = compare(paths, truth)
    assert (result.pairs[0].p_value, result.pairs[0].probability_first_better) == (1, 0.5)
    assert "a and b cannot be told apart" in result.answer


def test_three_submissions_give_three_pairs_and_one_ranking(tmp_path, truth):
    runs = {"a": ["1 9"], "b": ["1 9", "20 9"], "c": ["1 9", "20 9", "40 9"]}
    paths = [
        submit(tmp_path, f"{name}.csv", {f"i{k}": cells(*found) for k in range(8)})
        for name, found in runs.items()
    ]
    result = compare(paths, truth)
    assert [(pair.first, pair.second) for pair in result.pairs] == [
        ("a", "b"),
        ("a", "c"),
        ("b", "c"),
    ]
    assert result.ranking.order == ("b", "c", "a")
    assert "B - C" in result.table()


def test_the_ranking_without_the_highest_thresholds_is_given_beside(tmp_path, truth):
    # Of two cells of 9 pixels: both with IoU 8/9, so at 8 thresholds of 10 and all 7 up to 0.80;
    # one exactly, so half at each; both with 7/9, so at 6 of 10 and 6 of 7.
    found = {"rough": ["1 8", "20 8"], "exact": ["1 9"], "rougher": ["1 7", "20 7"]}
    paths = [
        submit(tmp_path, f"{name}.csv", {f"i{k}": cells(*runs) for k in range(8)})
        for name, runs in found.items()
    ]
    result = compare(paths, truth)
    assert [one.mean.estimate for one in result.scores] == pytest.approx([0.8, 0.5, 0.6])
    assert [one.estimate for one in result.ranking.scores_up_to] == pytest.approx([1, 0.5, 6 / 7])
    assert not result.ranking.changes
    assert "Leaving out the IoU thresholds above 0.80 keeps the ranking" in result.table()


def test_a_ranking_that_rests_on_the_highest_thresholds_is_said_to_change(tmp_path, truth):
    # 4 of 10 thresholds: 6/9; of the 7 lower ones 4. Half of all, once exact and once by 8 of 9.
    better_low = {f"i{k}": cells("1 6", "20 6") for k in range(8)}
    better_high = {f"i{k}": cells("1 9") for k in range(8)}
    low = submit(tmp_path, "low.csv", better_low)
    high = submit(tmp_path, "high.csv", better_high)
    result = compare([low, high], truth)
    assert result.ranking.order == ("high", "low")
    assert result.ranking.order_up_to == ("low", "high")
    assert "above 0.80 changes the ranking to low, high" in result.table()


def test_different_images_are_refused_by_name_unless_the_common_ones_are_asked_for(tmp_path, truth):
    all_of_them = submit(tmp_path, "a.csv", {f"i{k}": cells("1 9") for k in range(8)})
    some = submit(tmp_path, "b.csv", {f"i{k}": cells("1 9") for k in range(5)})
    with pytest.raises(SubmissionError, match=r"b lacks 3 images that others have \(i5, i6, i7\)"):
        compare([all_of_them, some], truth)
    result = compare([all_of_them, some], truth, common_only=True)
    assert result.scores[0].overall.n_images == 5
    assert "b lacks 3 images that others have, left out for all: i5, i6, i7" in result.remarks


def test_truth_images_of_no_submission_are_left_out_unless_all_are_asked_for(tmp_path, truth):
    found = {f"i{k}": cells("1 9", "20 9") for k in range(6)}
    paths = [submit(tmp_path, name, found) for name in ("a.csv", "b.csv")]
    result = compare(paths, truth)
    assert result.scores[0].mean.estimate == 1
    assert "2 images of the truth in no entry, left out: i6, i7" in result.remarks
    assert compare(paths, truth, all_truth=True).scores[0].mean.estimate == 6 / 8


def test_one_submission_is_no_comparison(tmp_path, truth):
    with pytest.raises(SubmissionError, match="two entries or more; `cellflow score`"):
        compare([submit(tmp_path, "a.csv", {"i0": cells("1 9")})], truth)


def test_files_of_the_same_name_keep_their_folders(tmp_path, truth):
    found = {f"i{k}": cells("1 9") for k in range(8)}
    paths = [submit(tmp_path, f"{folder}/s.csv", found) for folder in ("x", "y")]
    assert len(set(compare(paths, truth).names)) == 2


@pytest.mark.real_data
def test_mask_rcnn_against_cellpose_on_real_images(real_data):
    root = real_data / "sartorius"
    names = ("mask_rcnn", "cellpose_finetuned")
    result = compare([root / f"predictions/{name}.csv" for name in names], root / "train.csv")
    [pair] = result.pairs
    assert [round(score.mean.estimate, 3) for score in result.scores] == [0.386, 0.331]
    assert pair.difference.estimate == pytest.approx(0.0556, abs=5e-4)
    assert pair.difference.low == pytest.approx(0.032, abs=0.003)
    assert pair.difference.high == pytest.approx(0.079, abs=0.003)
    assert (
        "no conclusion about shsy5y from 4 images: mask_rcnn stops at exactly 100 cells on "
        "3 of them"
    ) in result.remarks


def test_methods_in_memory_have_different_names(truth):
    found = MethodOutput(name="mine", kind="labels", detections={})
    with pytest.raises(SubmissionError, match="two outputs have the name 'mine'"):
        compare_outputs([found, found], read_truth(truth))
