"""What `check_submission` says of files that are wrong in more than one place, or as a whole."""

import numpy as np
import pytest

from cellflow.data.rle import labels_to_rle, masks_to_rle
from cellflow.data.submission import check_submission, read_submission, write_submission
from cellflow.errors import DataError, SubmissionError

SHAPE = (60, 200)


def submission(tmp_path, *rows):
    path = tmp_path / "s.csv"
    path.write_text("\n".join(["id,predicted", *rows]) + "\n", encoding="utf-8")
    return path


def discs(*centres):
    labels = np.zeros(SHAPE, np.int32)
    rows, columns = np.indices(SHAPE)
    for number, (y, x) in enumerate(centres, 1):
        labels[np.hypot(rows - y, columns - x) <= 9] = number
    return labels


def count_from_zero(text):
    numbers = [int(number) for number in text.split()]
    return " ".join(str(n - 1 if k % 2 == 0 else n) for k, n in enumerate(numbers))


def test_each_cell_that_overlaps_is_listed_once_with_its_line(tmp_path):
    report = check_submission(submission(tmp_path, "a,1 4", "a,3 4", "a,9 1", "a,4 2"), SHAPE)
    assert report.problems == (
        "line 3: image a: pixel 3 also belongs to the cell in line 2; cells must not overlap",
        "line 5: image a: pixel 4 also belongs to the cell in line 2; cells must not overlap",
    )
    assert report.summary == "1 image, 4 cells: 2 problems"


def test_broken_cells_do_not_hide_the_overlap_of_the_others(tmp_path):
    report = check_submission(submission(tmp_path, "a,1 4", "a,x", "a,0 1", "a,3 4"), SHAPE)
    assert [problem.split(":")[0] for problem in report.problems] == ["line 3", "line 4", "line 5"]
    assert report.n_cells == 2


def test_a_file_that_is_broken_throughout_is_listed_throughout(tmp_path):
    report = check_submission(submission(tmp_path, *["a,5 1 5 1"] * 3000), SHAPE)
    assert len(report.problems) == 3000


def test_a_file_that_counts_from_zero_is_recognised(tmp_path):
    texts = labels_to_rle(discs((20, 0), (40, 60), (30, 199)))
    right = submission(tmp_path, *(f"a,{text}" for text in texts))
    report = check_submission(right, SHAPE)
    assert report.problems == ()
    assert report.summary == "1 image, 3 cells: no problems"
    wrong = submission(tmp_path, *(f"a,{count_from_zero(text)}" for text in texts))
    assert check_submission(wrong, SHAPE).problems[0].startswith("the run lengths seem to count")


def test_a_cell_that_fills_the_image_says_nothing_of_the_order(tmp_path):
    assert check_submission(submission(tmp_path, "a,1 12000"), SHAPE).problems == ()


def test_images_may_come_back_later_in_the_file(tmp_path):
    found = read_submission(submission(tmp_path, "a,1 1", "b,1 1", "a,3 1"), SHAPE)
    assert {name: masks_to_rle(masks) for name, masks in found.items()} == {
        "a": ["1 1", "3 1"],
        "b": ["1 1"],
    }


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path, ends):
    path = tmp_path / "ü ü.csv"
    path.write_bytes(ends.join(["\ufeffid,predicted", "a,1 2", "b,", ""]).encode())
    assert [len(masks) for masks in read_submission(path, SHAPE).values()] == [1, 0]


def test_a_row_without_the_second_field_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"s\.csv line 3: expected 2 fields, found fewer"):
        read_submission(submission(tmp_path, "a,1 2", "b"), SHAPE)


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    (tmp_path / "s.csv").write_text("id,predicted,predicted\na,1 2,\n")
    with pytest.raises(DataError, match=r"s\.csv: column predicted appears twice"):
        check_submission(tmp_path / "s.csv", SHAPE)


def test_runs_separated_by_commas_are_refused(tmp_path):
    with pytest.raises(DataError, match="line 2: expected 2 fields, found more than 2"):
        read_submission(submission(tmp_path, "a,1 2,5 1"), SHAPE)


def test_an_error_while_writing_leaves_the_old_file(tmp_path):
    path = submission(tmp_path, "a,1 2")
    before = path.read_bytes()

    def images():
        yield from read_submission(path, SHAPE).items()
        raise SubmissionError("no more")

    with pytest.raises(SubmissionError, match="no more"):
        write_submission(path, images())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["mask_rcnn", "cellpose_finetuned"])
def test_real_submissions_are_caught_when_they_count_from_zero(real_data, tmp_path, name):
    found = read_submission(real_data / "sartorius/predictions" / f"{name}.csv")
    rows = [
        f"{image},{count_from_zero(text)}"
        for image, masks in found.items()
        for text in masks_to_rle(masks)
    ]
    report = check_submission(submission(tmp_path, *rows))
    assert report.problems[0].startswith("the run lengths seem to count pixels from 0")
