import numpy as np
import pytest

from cellflow.dynamics import sinks
from cellflow.targets.centers import find_boxes


def gather(counts):
    """Labels along a row of pixels whose walks end as `counts` says, with the end of each."""
    ends = np.repeat(np.argwhere(np.array(counts) >= 0), np.ravel(counts), axis=0)
    pixels = np.array([np.arange(len(ends)), np.zeros(len(ends))]).astype(np.int32)
    shape = len(ends), 3 + np.shape(counts)[1]
    cells = sinks.gather_in_sinks(ends.T.astype(np.float32) + np.float32(0.9), pixels, shape)
    return cells.labels[:, 0], ends


def label_map(counts):
    labels, ends = gather(counts)
    drawn = np.zeros(np.shape(counts), int)
    drawn[tuple(ends.T)] = labels
    return drawn.tolist()


def test_a_sink_needs_more_than_ten_ends_and_takes_neighbours_with_more_than_two():
    assert label_map([[3, 11, 3, 2, 3]]) == [[1, 1, 1, 0, 0]]
    assert label_map([[3, 10, 3, 2, 3]]) == [[0, 0, 0, 0, 0]]


def test_a_sink_grows_five_pixels_far_and_round_corners():
    assert label_map([[3, 3, 3, 3, 3, 3, 3, 20]]) == [[0, 0, 1, 1, 1, 1, 1, 1]]
    assert label_map([[20, 0, 0], [0, 3, 0], [0, 0, 3]]) == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_a_smaller_peak_within_two_pixels_is_no_sink_of_its_own():
    assert label_map([[20, 0, 12, 0, 0]]) == [[1, 0, 0, 0, 0]]
    assert label_map([[20, 0, 0, 12, 0]]) == [[1, 0, 0, 2, 0]]


def test_where_sinks_overlap_the_larger_peak_wins():
    assert label_map([[30, 3, 3, 3, 3, 3, 3, 40]]) == [[1, 1, 2, 2, 2, 2, 2, 2]]
    assert label_map([[40, 3, 3, 3, 3, 3, 3, 30]]) == [[1, 1, 1, 1, 1, 1, 2, 2]]


def test_of_equal_peaks_the_later_one_wins():
    assert label_map([[30, 3, 30]]) == [[1, 1, 1]]
    assert label_map([[30, 3, 3, 3, 3, 3, 3, 30]]) == [[1, 1, 2, 2, 2, 2, 2, 2]]


def test_a_cell_of_more_than_two_fifths_of_the_image_is_background():
    pixels = np.array(np.nonzero(np.ones((10, 10)))).astype(np.int32)
    for n_pixels, n_cells in ((40, 1), (41, 0)):
        ends = np.tile([[5.0], [5.0]], n_pixels).astype(np.float32)
        cells = sinks.gather_in_sinks(ends, pixels[:, :n_pixels], (10, 10))
        assert cells.labels.max() == len(cells.values) == n_cells


def test_no_ends_no_cells():
    nothing = np.zeros((2, 0))
    for shape in ((3, 4), (0, 0)):
        cells = sinks.gather_in_sinks(nothing.astype(np.float32), nothing.astype(np.int32), shape)
        assert cells.labels.shape == shape
        assert not cells.labels.any()


def test_boxes_and_areas_are_those_of_the_labels(rng):
    ends = (rng.normal(15, 1, (2, 3600)) + rng.choice([0, 20, 40], 3600)).astype(np.float32)
    cells = sinks.gather_in_sinks(ends, np.array(np.nonzero(np.ones((60, 60))), np.int32), (60, 60))
    expected = find_boxes(cells.labels)
    assert len(cells.values) >= 2
    for ours, theirs in zip(cells, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.needs_jit
def test_the_kernels_do_what_their_python_does(rng):
    ends = rng.normal(15, 4, (2, 4000)).clip(0, 29).astype(np.float32)
    counts = [np.zeros((40, 40), np.int32) for _ in range(2)]
    crowded = sinks.count_ends(ends, counts[0])
    np.testing.assert_array_equal(crowded, sinks.count_ends.py_func(ends, counts[1]))
    np.testing.assert_array_equal(*counts)
    peaks = sinks.list_peaks(counts[0], crowded)
    assert len(peaks) >= 3
    np.testing.assert_array_equal(peaks, sinks.list_peaks.py_func(counts[0], crowded))
    grown = [counts[0].copy(), counts[0].copy()]
    sinks.grow_sinks(grown[0], peaks)
    sinks.grow_sinks.py_func(grown[1], peaks)
    np.testing.assert_array_equal(*grown)
    pixels = rng.permuted(np.array(np.nonzero(np.ones((50, 80))), np.int32), axis=1)
    labels = [np.zeros((50, 80), np.int32) for _ in range(2)]
    found = [np.zeros((len(peaks), 6), np.int64) for _ in range(2)]
    n_cells = sinks.label_by_end(ends, pixels, grown[0], labels[0], found[0])
    assert n_cells == sinks.label_by_end.py_func(ends, pixels, grown[0], labels[1], found[1])
    np.testing.assert_array_equal(*labels)
    np.testing.assert_array_equal(found[0][:n_cells], found[1][:n_cells])
