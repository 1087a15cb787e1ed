"""Comparisons are paired, honest about what they left out, and warn of count limits."""

import json

import numpy as np
import pytest

from cellflow.comparison.compare import compare, sign_flip_p_value
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
    result = compare([good, poor], truth)
    [pair] = result.pairs
    assert pair.difference.estimate == pytest.approx(0.5)
    assert pair.difference.low > 0
    assert pair.p_value == pytest.approx(2 / 2**8)
    assert "good is better than poor" in result.table()
    assert json.loads(json.dumps(result.to_dict()))["pairs"][0]["first"] == "good"


def test_pooled_scores_cannot_be_paired(tmp_path, truth):
    path = submit(tmp_path, "a.csv", {"i0": cells("1 9")})
    with pytest.raises(ConfigError, match="no scores of single images to pair"):
        compare([path, path], truth, variant="pooled")


def test_one_image_gives_a_difference_and_no_interval(tmp_path, truth):
    good = submit(tmp_path, "good.csv", {"i0": cells("1 9", "20 9")})
    poor = submit(tmp_path, "poor.csv", {"i0": cells("1 9")})
    result = compare([good, poor], truth)
    assert "good and poor: difference +0.500; so few images give no interval" in result.table()
    assert "nan" not in result.table()
    (pair,) = json.loads(to_json(result.to_dict()), parse_constant=pytest.fail)["pairs"]
    assert pair["difference"] == {"mean": 0.5, "low": None, "high": None}
    assert pair["smallest_visible"] is None


def test_the_smallest_visible_difference_is_that_of_students_standard_error(tmp_path, truth):
    hits = [2, 2, 1, 2, 1, 2, 2, 1]
    found = {f"i{k}": cells(*("1 9", "20 9")[:n]) for k, n in enumerate(hits)}
    some = submit(tmp_path, "some.csv", found)
    poor = submit(tmp_path, "poor.csv", {f"i{k}": cells("1 9") for k in range(8)})
    (pair,) = compare([some, poor], truth).pairs
    standard_error = np.std([n / 2 for n in hits], ddof=1) / np.sqrt(8)
    assert pair.smallest_visible == pytest.approx(2.8 * standard_error, rel=0.02)


def test_equal_submissions_cannot_be_told_apart(tmp_path, truth):
    found = {f"i{k}": cells("1 9") for k in range(8)}
    paths = [submit(tmp_path, name, found) for name in ("a.csv", "b.csv")]
    result = compare(paths, truth)
    assert result.pairs[0].p_value == 1
    assert "cannot be told apart" in result.table()


def test_different_images_are_refused_by_name_unless_the_common_ones_are_asked_for(tmp_path, truth):
    all_of_them = submit(tmp_path, "a.csv", {f"i{k}": cells("1 9") for k in range(8)})
    some = submit(tmp_path, "b.csv", {f"i{k}": cells("1 9") for k in range(5)})
    with pytest.raises(SubmissionError, match=r"b lacks 3 images that others have \(i5, i6, i7\)"):
        compare([all_of_them, some], truth)
    result = compare([all_of_them, some], truth, common_only=True)
    assert result.scores[0].overall.n_images == 5
    assert "b lacks 3 images that others have" in result.remarks


def test_truth_images_of_no_submission_are_left_out_unless_all_are_asked_for(tmp_path, truth):
    found = {f"i{k}": cells("1 9", "20 9") for k in range(6)}
    paths = [submit(tmp_path, name, found) for name in ("a.csv", "b.csv")]
    result = compare(paths, truth)
    assert result.scores[0].mean.estimate == 1
    assert any("2 truth images" in remark for remark in result.remarks)
    assert compare(paths, truth, all_truth=True).scores[0].mean.estimate == 6 / 8


def test_a_count_limit_is_noticed(tmp_path, truth):
    many = [f"{1 + 2 * k} 1" for k in range(60)]
    few = {f"i{k}": cells("1 9") for k in range(8)}
    capped = {f"i{k}": cells(*many) for k in range(8)}
    paths = [submit(tmp_path, "few.csv", few), submit(tmp_path, "capped.csv", capped)]
    [remark] = compare(paths, truth).remarks
    assert "capped has exactly 60 cells on 8 images (8 of cort)" in remark


def test_one_submission_is_no_comparison(tmp_path, truth):
    with pytest.raises(SubmissionError, match="two submissions or more"):
        compare([submit(tmp_path, "a.csv", {"i0": cells("1 9")})], truth)


def test_files_of_the_same_name_keep_their_folders(tmp_path, truth):
    found = {f"i{k}": cells("1 9") for k in range(8)}
    paths = [submit(tmp_path, f"{folder}/s.csv", found) for folder in ("x", "y")]
    assert len(set(compare(paths, truth).names)) == 2


def test_the_exact_and_the_random_permutation_test_agree(rng):
    differences = rng.normal(0.05, 0.1, 14)
    exact = sign_flip_p_value(differences, rng)
    padded = np.concatenate([differences, [0.0]])
    assert sign_flip_p_value(padded, rng) == pytest.approx(exact, abs=0.02)


@pytest.mark.real_data
def test_mask_rcnn_against_cellpose_on_real_images(real_data):
    root = real_data / "sartorius"
    names = ("mask_rcnn", "cellpose_finetuned")
    result = compare([root / f"predictions/{name}.csv" for name in names], root / "train.csv")
    [pair] = result.pairs
    assert pair.difference.estimate == pytest.approx(0.0556, abs=5e-4)
    assert pair.difference.low == pytest.approx(0.032, abs=0.003)
    assert pair.difference.high == pytest.approx(0.079, abs=0.003)
    assert any("exactly 100 cells on 3 images (3 of shsy5y)" in r for r in result.remarks)
