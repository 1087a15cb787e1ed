import numpy as np
import pytest

from cellflow.errors import LabelError
from cellflow.targets.centers import find_boxes, scan_boxes


def test_each_cell_has_its_box_and_area():
    labels = np.array([[0, 3, 3, 0], [0, 3, 0, 7], [0, 0, 0, 7]])
    cells = find_boxes(labels)
    assert cells.values.tolist() == [3, 7]
    assert cells.boxes.tolist() == [[0, 1, 2, 3], [1, 3, 3, 4]]
    assert cells.areas.tolist() == [3, 2]
    assert cells.n_gaps.tolist() == [0, 0]


def test_gaps_are_counted_row_by_row():
    ring = np.array([[1, 1, 1, 2], [1, 0, 1, 2], [1, 2, 1, 2], [1, 1, 1, 0]])
    assert find_boxes(ring).n_gaps.tolist() == [2, 1]


@pytest.mark.parametrize("width", [1, 63, 64, 65, 200])
def test_cells_between_long_stretches_of_background_are_found(width, rng):
    labels = (rng.random((9, width)) < 0.02).astype(int) * rng.integers(1, 9, (9, width))
    cells = find_boxes(labels)
    for value, box, area in zip(cells.values, cells.boxes, cells.areas, strict=True):
        y, x = np.nonzero(labels == value)
        assert box.tolist() == [y.min(), x.min(), y.max() + 1, x.max() + 1]
        assert area == len(y)
    assert cells.values.tolist() == [value for value in np.unique(labels) if value]


def test_an_image_without_cells_gives_an_empty_table():
    for shape in ((4, 5), (0, 5), (0, 0)):
        cells = find_boxes(np.zeros(shape, np.uint8))
        assert cells.values.size == cells.areas.size == 0
        assert cells.boxes.shape == (0, 4)


def test_a_label_larger_than_the_image_needs_no_larger_table():
    cells = find_boxes(np.array([[0, 5], [2**60, 5]]))
    assert cells.labels.tolist() == [[0, 1], [2, 1]]
    assert cells.areas.tolist() == [2, 1]


def test_huge_labels_without_background_are_numbered_from_one():
    assert find_boxes(np.full((2, 2), 2**40)).labels.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32, np.int64, np.uint64])
def test_every_integer_dtype_and_layout_gives_the_same(dtype):
    labels = np.zeros((6, 8), dtype)
    labels[1:3, 2:5] = 1
    for view in (labels, np.asfortranarray(labels), labels[::-1][::-1]):
        cells = find_boxes(view)
        assert cells.boxes.tolist() == [[1, 2, 3, 5]]
        assert cells.labels.flags.c_contiguous


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 3, 4), int), r"expected \(H, W\), found shape \(2, 3, 4\)"),
        (np.zeros((2, 3)), "expected an integer array, found float64"),
        (np.array([[0, -2]]), "expected 0 or more, found -2"),
        # As unsigned numbers these are no larger than a table may be.
        (np.array([[0, -2]], np.int8), "expected 0 or more, found -2"),
        (np.array([[0, -2]], np.int16), "expected 0 or more, found -2"),
    ],
)
def test_what_is_no_label_image_is_refused(labels, message):
    with pytest.raises(LabelError, match=message):
        find_boxes(labels)


@pytest.mark.needs_jit
def test_the_kernel_does_what_its_python_does(rng):
    labels = rng.integers(0, 4, (9, 90)).astype(np.int32)
    labels[2:5, 5:80] = 0
    tables = [np.tile([9, 90, 0, 0, 0, 0], (4, 1)) for _ in range(2)]
    scan_boxes(labels, tables[0])
    scan_boxes.py_func(labels, tables[1])
    np.testing.assert_array_equal(*tables)
