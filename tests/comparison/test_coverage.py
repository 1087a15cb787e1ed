"""Which images are compared."""

import pytest

from cellflow.comparison.coverage import compared_images
from cellflow.errors import ConfigError, SubmissionError

TRUTH = ["c", "a", "b", "d"]


def test_images_come_in_the_order_of_the_truth():
    images, remarks = compared_images(TRUTH, {"x": ["a", "c"], "y": ["c", "a"]})
    assert images == ["c", "a"]
    assert remarks == ["2 images of the truth in no entry, left out: b, d"]


def test_images_that_the_truth_does_not_have_are_named():
    _, remarks = compared_images(["a"], {"x": ["a", "test1"], "y": ["a"]})
    assert remarks == ["x: 1 image left out that the truth does not have: test1"]


def test_no_common_image_is_refused_with_an_example_of_each_side():
    said = r"x \(1 image, the first 'a\.png'\), y \(no images\)"
    with pytest.raises(SubmissionError, match=said):
        compared_images(TRUTH, {"x": ["a.png"], "y": []}, common_only=True)


def test_all_truth_is_no_way_around_different_images():
    with pytest.raises(SubmissionError, match=r"y lacks 1 image that others have \(a\)"):
        compared_images(TRUTH, {"x": ["a", "b"], "y": ["b"]}, all_truth=True)
    images, remarks = compared_images(TRUTH, {"x": ["a"], "y": ["a"]}, all_truth=True)
    assert images == TRUTH
    assert "3 images of the truth in no entry, counted as without prediction" in remarks[0]


def test_the_two_options_exclude_each_other():
    with pytest.raises(ConfigError, match="exclude each other"):
        compared_images(TRUTH, {"x": ["a"]}, common_only=True, all_truth=True)


def test_a_file_that_cannot_list_empty_images_is_given_a_hint():
    covered = {"x": ["a", "b"], "y": ["b"]}
    with pytest.raises(SubmissionError, match="if nothing was found there, --image-names tells so"):
        compared_images(TRUTH, covered, without_empty=["y"])
    with pytest.raises(SubmissionError, match=r"images that all have$"):
        compared_images(TRUTH, covered, without_empty=["x"])


def test_images_that_no_list_of_results_has_may_be_empty_ones():
    _, remarks = compared_images(TRUTH, {"x": ["a", "b"]}, without_empty=["x"])
    assert remarks[0].startswith("x lacks 2 images of the truth, left out: c, d; if nothing")
    _, remarks = compared_images(TRUTH, {"x": ["a", "b"]}, all_truth=True, without_empty=["x"])
    assert remarks[0].endswith("counted as without prediction: c, d")
    _, remarks = compared_images(TRUTH, {"x": ["a"], "y": ["a"]}, without_empty=["x"])
    assert remarks[0].endswith("left out: c, b, d")
