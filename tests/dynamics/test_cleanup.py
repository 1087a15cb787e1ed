import numpy as np
import pytest

from cellflow.dynamics import cleanup
from cellflow.targets.centers import find_boxes
from cellflow.targets.flows import labels_to_flows


def filled(labels):
    labels = np.array(labels, np.int32)
    cells = find_boxes(labels)
    areas = cells.areas.copy()
    found = cleanup.fill_holes(labels, cells.boxes, np.flatnonzero(cells.n_gaps), areas)
    np.testing.assert_array_equal(areas, np.bincount(labels.ravel(), minlength=len(areas) + 1)[1:])
    return labels.tolist(), found


def test_cells_are_numbered_by_their_first_pixel():
    labels = np.array([[0, 5, 2], [3, 5, 1]], np.int32)
    cleanup.renumber(labels, np.array([True, True, False, True, True, True]))
    assert labels.tolist() == [[0, 1, 0], [2, 1, 3]]


def test_gaps_in_the_numbers_close_also_where_boxes_overlap():
    labels = np.array([[1, 2, 2, 4], [2, 3, 2, 4], [2, 2, 2, 5]], np.int32)
    cells = cleanup.keep_cells(find_boxes(labels), np.array([False, True, True, False, True]))
    assert cells.labels.tolist() == [[0, 1, 1, 0], [1, 2, 1, 0], [1, 1, 1, 3]]
    for ours, theirs in zip(cells, find_boxes(cells.labels), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_nothing_is_touched_where_all_cells_stay():
    cells = find_boxes(np.array([[1, 2]], np.int32))
    assert cleanup.keep_cells(cells, np.array([True, True])) is cells


def test_a_hole_is_filled_also_when_only_a_corner_leads_out():
    ring = [[0, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    assert filled(ring) == ([[0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]], False)


def test_a_bay_is_no_hole():
    bay = [[1, 0, 1], [1, 0, 1], [1, 1, 1]]
    assert filled(bay) == (bay, False)


def test_a_hole_at_the_image_border_is_a_bay():
    assert filled([[1, 1], [0, 1], [1, 1]])[1] is False


def test_a_cell_in_a_hole_is_overwritten_which_is_told():
    nested = [[1] * 5, [1, 0, 0, 0, 1], [1, 0, 2, 0, 1], [1, 0, 0, 0, 1], [1] * 5]
    assert filled(nested) == ([[1] * 5] * 5, True)


def three_squares():
    labels = np.zeros((12, 40), np.int32)
    labels[1:9, 1:9], labels[1:9, 11:19], labels[1:4, 21:24] = 1, 2, 3
    return labels


def test_a_cell_with_wrong_flows_is_dropped_and_the_others_move_up():
    labels = three_squares()
    flows = labels_to_flows(labels)
    flows[:, labels == 1] = 0
    kept = cleanup.drop_bad_cells(find_boxes(labels.copy()), flows, flow_threshold=0.4, min_size=0)
    np.testing.assert_array_equal(kept, np.maximum(labels - 1, 0))
    kept = cleanup.drop_bad_cells(find_boxes(labels.copy()), flows, flow_threshold=0, min_size=0)
    np.testing.assert_array_equal(kept, labels)


def test_only_small_cells_are_dropped_after_the_flow_check():
    labels = three_squares()
    flows = labels_to_flows(labels)
    flows[:, labels == 1] = 0
    kept = cleanup.drop_bad_cells(find_boxes(labels.copy()), flows, flow_threshold=0.4, min_size=10)
    np.testing.assert_array_equal(kept, labels == 2)


def test_the_smallest_size_is_kept():
    labels = three_squares()
    flows = labels_to_flows(labels)
    for min_size, n_cells in ((9, 3), (10, 2), (64, 2), (65, 0)):
        assert (
            cleanup.drop_bad_cells(find_boxes(labels.copy()), flows, min_size=min_size).max()
            == n_cells
        )


def test_a_cell_that_a_filled_hole_makes_too_small_is_dropped():
    labels = np.ones((9, 9), np.int32)
    labels[2:7, 2:7] = 2
    kept = cleanup.drop_bad_cells(
        find_boxes(labels), np.zeros((2, 9, 9), np.float32), flow_threshold=0
    )
    assert (kept == 1).all()


def test_an_image_without_cells_stays_without():
    for shape in ((3, 4), (1, 1), (0, 0)):
        labels = np.zeros(shape, np.int32)
        assert not cleanup.drop_bad_cells(
            find_boxes(labels), np.zeros((2, *shape), np.float32)
        ).any()


@pytest.mark.reference
@pytest.mark.needs_jit
def test_holes_are_filled_as_cellpose_fills_them(rng):
    import fastremap
    from cellpose import utils
    from scipy.ndimage import gaussian_filter

    for _ in range(20):
        noise = gaussian_filter(rng.standard_normal((4, 40, 50)), (0, 1, 1))
        labels = np.argmax(noise, axis=0) * (noise.max(0) > 0.1)
        labels = fastremap.renumber(labels)[0].astype(np.int32)
        theirs = utils.fill_holes_and_remove_small_masks(labels.copy(), min_size=15)
        ours = cleanup.drop_bad_cells(
            find_boxes(labels), np.zeros((2, 40, 50), np.float32), flow_threshold=0
        )
        np.testing.assert_array_equal(ours, fastremap.renumber(theirs)[0])


@pytest.mark.needs_jit
def test_the_kernels_do_what_their_python_does(rng):
    labels = rng.integers(0, 3, (20, 20)).astype(np.int32)
    cells = find_boxes(labels)
    images, areas = [labels.copy(), labels.copy()], [cells.areas.copy(), cells.areas.copy()]
    cleanup.fill_holes(images[0], cells.boxes, np.arange(2), areas[0])
    cleanup.fill_holes.py_func(images[1], cells.boxes, np.arange(2), areas[1])
    np.testing.assert_array_equal(*images)
    np.testing.assert_array_equal(*areas)
    keep = np.array([False, True])
    cleanup.close_gaps(images[0], cells.boxes, keep)
    cleanup.close_gaps.py_func(images[1], cells.boxes, keep)
    np.testing.assert_array_equal(*images)
    cleanup.renumber(images[0], np.array([True, True, False]))
    cleanup.renumber.py_func(images[1], np.array([True, True, False]))
    np.testing.assert_array_equal(*images)
