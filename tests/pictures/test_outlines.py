import numpy as np
import pytest

from cellflow.data.rle import dense_to_masks, labels_to_masks
from cellflow.errors import ImageError
from cellflow.pictures.outlines import outlines
from cellflow.records import CellMasks

RED = np.array([(255, 0, 0)], np.uint8)


def _is(picture, colour=RED[0]):
    return (picture == colour).all(axis=-1).astype(int)


def test_the_outline_is_the_rim_inside_the_cell():
    labels = np.zeros((6, 7), int)
    labels[1:5, 1:6] = 3
    drawn = np.array(
        [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 1, 1, 0],
            [0, 1, 0, 0, 0, 1, 0],
            [0, 1, 0, 0, 0, 1, 0],
            [0, 1, 1, 1, 1, 1, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ]
    )
    image = np.zeros((6, 7))
    np.testing.assert_array_equal(_is(outlines(image, labels, zoom=1, colours=RED)), drawn)


def test_at_twice_the_size_the_line_stays_one_pixel_wide():
    labels = np.zeros((4, 4), int)
    labels[1:3, 1:3] = 1
    drawn = np.zeros((8, 8), int)
    drawn[2:6, 2:6] = 1
    drawn[3:5, 3:5] = 0
    np.testing.assert_array_equal(_is(outlines(labels, labels, colours=RED)), drawn)


def test_a_hole_has_its_own_outline():
    labels = np.ones((7, 7), int)
    labels[3, 3] = 0
    drawn = _is(outlines(labels * 0, labels, zoom=1, colours=RED))
    assert drawn[2:5, 2:5].tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert drawn[0].all()


def test_overlapping_masks_are_outlined_whole():
    stack = np.zeros((2, 8, 8), bool)
    stack[0, 1:6, 1:6] = stack[1, 3:8, 3:8] = True
    two = np.array([(255, 0, 0), (0, 0, 255)], np.uint8)
    picture = outlines(np.zeros((8, 8)), dense_to_masks(stack), zoom=1, colours=two)
    # The second cell's rim lies over the first's at two crossings; the rest of both shows.
    assert _is(picture, two[1]).sum() == 16
    assert _is(picture, two[0]).sum() == 14


def test_one_pixel_a_full_image_and_no_cell_at_all():
    image = np.zeros((3, 4), np.uint8)
    one = np.zeros((3, 4), int)
    one[1, 2] = 9
    assert _is(outlines(image, one, zoom=1, colours=RED)).sum() == 1
    full = outlines(image, np.ones((3, 4), np.int64), zoom=1, colours=RED)
    assert _is(full).sum() == 10
    nothing = outlines(image, CellMasks.empty((3, 4)))
    assert nothing.shape == (6, 8, 3)
    assert (nothing == 0).all()


def test_a_label_image_that_is_not_contiguous_or_has_gaps_is_drawn_alike():
    labels = np.zeros((20, 20), int)
    labels[3:9, 3:9], labels[10:18, 5:15] = 7, 500
    image = np.zeros((20, 20))
    expected = outlines(image, labels)
    np.testing.assert_array_equal(outlines(image, np.asfortranarray(labels)), expected)
    np.testing.assert_array_equal(outlines(image, labels_to_masks(labels)), expected)


def test_790_cells_all_show_and_touching_ones_keep_their_own_line():
    labels = np.kron(np.arange(1, 791).reshape(79, 10), np.ones((6, 60), int))
    picture = outlines(np.zeros(labels.shape), labels)
    for cell in (1, 2, 395, 790):
        y, x = (np.flatnonzero((labels == cell).any(axis=axis))[[0, -1]] for axis in (1, 0))
        rim = picture[2 * y[0], 2 * x[0] : 2 * x[1] + 2]
        assert (rim == rim[0]).all()
        assert (rim[0] != 0).any()
        assert (picture[2 * y[0] + 1, 2 * x[0] + 1 : 2 * x[1] + 1] == 0).all()


def test_the_image_itself_is_not_changed():
    image = np.zeros((4, 4), np.uint8)
    outlines(image, np.ones((4, 4), int))
    assert not image.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zoom": 0}, "zoom: expected 1 or more"),
        ({"colours": np.zeros((3, 3), np.uint8)}, "expected 1 colours"),
    ],
)
def test_impossible_wishes_are_refused(options, message):
    with pytest.raises(ImageError, match=message):
        outlines(np.zeros((4, 4)), np.ones((4, 4), int), **options)


def test_cells_for_another_size_are_refused_with_both_sizes():
    with pytest.raises(ImageError, match="cells are for 4x5 pixels, the image is 4x4"):
        outlines(np.zeros((4, 4)), np.ones((4, 5), int))
