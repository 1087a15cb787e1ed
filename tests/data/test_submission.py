"""Submissions: written, read, and checked by the competition's rules."""

import numpy as np
import pytest

from cellflow.data.rle import (
    dense_to_masks,
    labels_to_masks,
    masks_to_dense,
    masks_to_rle,
    rle_to_masks,
)
from cellflow.data.submission import check_submission, read_submission, write_submission
from cellflow.errors import DataError, LabelError, SubmissionError
from cellflow.records import CellMasks

SHAPE = (3, 4)


def submission(tmp_path, text):
    path = tmp_path / "s.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_a_submission_survives_writing_and_reading(tmp_path):
    images = [("b", rle_to_masks(["1 2", "5 1"], SHAPE)), ("a", CellMasks.empty(SHAPE))]
    write_submission(tmp_path / "s.csv", images)
    assert (tmp_path / "s.csv").read_text() == "id,predicted\nb,1 2\nb,5 1\na,\n"
    again = read_submission(tmp_path / "s.csv", SHAPE)
    assert {name: masks_to_rle(masks) for name, masks in again.items()} == {
        "b": ["1 2", "5 1"],
        "a": [],
    }


def test_sizes_may_differ_by_image(tmp_path):
    path = submission(tmp_path, "id,predicted\na,1 12\nb,1 2\n")
    found = read_submission(path, {"a": (3, 4), "b": (1, 2)})
    assert (found["a"].shape, found["b"].shape) == ((3, 4), (1, 2))


def test_images_of_unknown_size_are_known_but_not_read(tmp_path):
    path = submission(tmp_path, "id,predicted\na,1 12\nz,999999999 2\n")
    found = read_submission(path, {"a": (3, 4)})
    assert [(name, len(masks)) for name, masks in found.items()] == [("a", 1), ("z", 0)]
    report = check_submission(path, {"a": (3, 4)}, ["a"])
    assert (report.n_cells, report.problems) == (2, ("image z is not one of the images",))


def test_spaces_around_columns_and_ids_are_dropped(tmp_path):
    path = submission(tmp_path, "id, predicted\n a, 1 2\nb ,\n")
    found = read_submission(path, SHAPE)
    assert [(name, len(masks)) for name, masks in found.items()] == [("a", 1), ("b", 0)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,1 2\na,2 2", r"line 3: image a: pixel 2 also belongs to the cell in line 2"),
        ("a,0 2", "line 2: image a: run 0.2 must start at 1"),
        ("a,1 2 3", "line 2: image a: an odd count"),
        ("a,5 1 1 1", "line 2: image a: run 1.1 starts before"),
        ("a,12 2", "line 2: image a: run 12.2 ends outside a 4x3 image"),
        ("a,-4 2", "line 2: image a: run -4.2"),
        ("a,1 2\na,", "line 3: image a has an empty row and 1 cell"),
        (",1 2", "line 2: the id is empty"),
        ("", "no rows below the header"),
    ],
)
def test_a_broken_rule_is_refused_with_its_line(tmp_path, rows, message):
    path = submission(tmp_path, f"id,predicted\n{rows}\n" if rows else "id,predicted\n")
    with pytest.raises(SubmissionError, match=message):
        read_submission(path, SHAPE)


def test_overlap_can_be_allowed(tmp_path):
    path = submission(tmp_path, "id,predicted\na,1 2\na,2 2\n")
    assert len(read_submission(path, SHAPE, allow_overlap=True)["a"]) == 2


def test_a_missing_column_is_refused(tmp_path):
    with pytest.raises(DataError, match="missing column predicted; found id, rle"):
        read_submission(submission(tmp_path, "id,rle\na,1 2\n"), SHAPE)


def test_all_problems_are_listed_and_the_rest_is_counted(tmp_path):
    path = submission(tmp_path, "id,predicted\na,1 2\na,0 1\nb,99 1\nc,\nb,3 1\n")
    report = check_submission(path, SHAPE, expected=["a", "b", "d"])
    assert (report.n_images, report.n_cells) == (3, 2)
    assert [problem.split(":")[0] for problem in report.problems] == [
        "line 3",
        "line 4",
        "image d has no row",
        "image c is not one of the images",
    ]
    assert report.remarks == ("no cell in 1 of 3 images",)


def discs(shape, n, rng):
    yy, xx = np.indices(shape)
    centers = rng.uniform(15, np.array(shape) - 15, (n, 2))
    stack = np.stack([(yy - y) ** 2 + (xx - x) ** 2 < 80 for y, x in centers])
    return stack & (np.cumsum(stack, axis=0) == 1)


def test_a_transposed_file_is_recognised_and_a_right_one_is_not(tmp_path, rng):
    stack = discs((200, 300), 12, rng)
    stack = stack[stack.any(axis=(1, 2))]
    write_submission(tmp_path / "right.csv", [("a", dense_to_masks(stack))])
    write_submission(tmp_path / "wrong.csv", [("a", dense_to_masks(stack.transpose(0, 2, 1)))])
    assert check_submission(tmp_path / "right.csv", (200, 300)).problems == ()
    assert "transposed" in check_submission(tmp_path / "wrong.csv", (200, 300)).problems[0]


@pytest.mark.real_data
def test_real_submissions_pass_and_are_caught_when_transposed(real_data, tmp_path):
    for path in sorted((real_data / "sartorius/predictions").glob("*.csv")):
        assert check_submission(path).problems == ()
        images = list(read_submission(path).items())[:3]
        turned = [
            (name, dense_to_masks(masks_to_dense(masks).transpose(0, 2, 1)))
            for name, masks in images
        ]
        write_submission(tmp_path / path.name, turned)
        assert "transposed" in check_submission(tmp_path / path.name).problems[0]


def test_label_images_of_another_tool_are_written(tmp_path):
    labels = np.array([[0, 7, 7, 0], [3, 3, 0, 0]], np.uint16)
    for images in ({"a": labels}, [("a", labels)], {"a": labels_to_masks(labels)}):
        write_submission(tmp_path / "s.csv", images)
        assert (tmp_path / "s.csv").read_text() == "id,predicted\na,5 2\na,2 2\n"


def test_an_array_of_no_labels_is_refused_by_name(tmp_path):
    with pytest.raises(LabelError, match="image b: labels: expected a 2-D array"):
        write_submission(tmp_path / "s.csv", {"a": np.ones((2, 2), int), "b": np.ones((2, 2))})
    assert not list(tmp_path.iterdir())
