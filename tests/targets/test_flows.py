import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from real_labels import FOLDERS, label_images

from cellflow.targets.centers import find_boxes
from cellflow.targets.flows import cell_flow_errors, labels_to_flows, labels_to_target

small_labels = arrays(
    np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)
)


def draw_disc(shape, y, x, radius):
    rows, columns = np.indices(shape)
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def test_the_arrows_of_a_plus_point_to_its_centre():
    labels = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    dy, dx = labels_to_flows(labels)
    assert dy.tolist() == [[0, 1, 0], [0, 0, 0], [0, -1, 0]]
    assert dx.tolist() == [[0, 0, 0], [1, 0, -1], [0, 0, 0]]


def test_a_neighbour_of_another_label_is_like_background():
    together = np.array([[1, 1, 1, 2, 2, 2]] * 3)
    flows = labels_to_flows(together)
    np.testing.assert_array_equal(flows[:, :, :3], labels_to_flows(together[:, :3]))
    np.testing.assert_array_equal(flows[:, :, 3:], labels_to_flows(together[:, 3:]))


def test_one_pixel_has_no_flow():
    assert (labels_to_flows(np.ones((1, 1), int)) == 0).all()


def test_an_image_without_cells_has_no_flow():
    for shape in ((3, 4), (0, 4), (0, 0)):
        flows = labels_to_flows(np.zeros(shape, int))
        assert flows.shape == (2, *shape)
        assert flows.dtype == np.float32
        assert not flows.any()


def test_a_cell_that_fills_the_image_is_like_one_in_the_middle():
    inside = np.pad(np.ones((6, 5), int), 2)
    np.testing.assert_array_equal(
        labels_to_flows(np.ones((6, 5), int)), labels_to_flows(inside)[:, 2:-2, 2:-2]
    )


def test_a_piece_away_from_the_centre_has_no_flow():
    labels = np.zeros((7, 20), int)
    labels[1:6, 1:10] = 1
    labels[1:6, 16:19] = 1
    flows = labels_to_flows(labels)
    assert not flows[:, :, 16:19].any()
    assert np.hypot(*flows)[labels > 0].sum() > 40


def test_a_piece_that_touches_at_a_corner_is_connected():
    labels = np.zeros((4, 6), int)
    labels[:2, :4], labels[2:, 4:] = 1, 1
    assert (np.hypot(*labels_to_flows(labels))[2:, 4:] > 0.999).all()


def test_along_a_thin_line_flows_stay_unit_where_float32_would_underflow():
    flows = labels_to_flows(np.ones((1, 125), int))
    assert (flows[1, 0, :62] > 0.9999).all()
    assert (flows[1, 0, 63:] < -0.9999).all()


def test_gaps_between_labels_change_nothing():
    labels = np.array([[1, 1, 0, 2, 2, 2], [1, 1, 0, 2, 2, 2]])
    gappy = np.where(labels == 2, 10**12, labels * 3)
    np.testing.assert_array_equal(labels_to_flows(labels), labels_to_flows(gappy))


def test_layout_and_dtype_change_nothing(rng):
    labels = rng.integers(0, 3, (8, 12)).astype(np.int32)
    expected = labels_to_flows(labels)
    for other in (labels.astype(np.int64), labels.astype(np.uint8), np.asfortranarray(labels)):
        np.testing.assert_array_equal(labels_to_flows(other), expected)
    np.testing.assert_array_equal(labels_to_flows(np.repeat(labels, 2, 1)[:, ::2]), expected)


@given(small_labels)
@settings(max_examples=25)
def test_flows_are_unit_or_zero_inside_and_zero_outside(labels):
    length = np.hypot(*labels_to_flows(labels))
    assert (length[labels == 0] == 0).all()
    assert (np.isclose(length, 1, atol=1e-6) | (length == 0)).all()


@given(small_labels)
@settings(max_examples=25)
def test_a_mirrored_image_has_mirrored_flows_where_the_centre_is_unique(labels):
    labels = np.pad((labels > 0).astype(int), 1, constant_values=1)
    labels = np.concatenate([labels[:, ::-1], labels[:, 1:]], axis=1)
    flows = labels_to_flows(labels)
    mirrored = flows[:, :, ::-1] * np.array([1, -1]).reshape(2, 1, 1)
    if not (flows[1, :, labels.shape[1] // 2]).any():
        np.testing.assert_array_equal(np.abs(flows[0]), np.abs(mirrored[0]))


def test_the_target_says_which_pixels_are_cells():
    labels = np.array([[0, 4, 4], [0, 4, 9]])
    target = labels_to_target(labels)
    assert target.cells.tolist() == [[False, True, True], [False, True, True]]
    np.testing.assert_array_equal(target.flows, labels_to_flows(labels))


def test_own_flows_have_no_error_and_opposite_ones_four():
    labels = np.zeros((9, 20), int)
    labels[1:8, 1:9], labels[2:7, 11:18] = 2, 5
    flows = labels_to_flows(labels)

    def errors(flows):
        return cell_flow_errors(find_boxes(labels), flows, np.ones(2, bool))

    assert errors(flows) == pytest.approx([0, 0], abs=1e-12)
    lengths = [np.hypot(*flows)[labels == label].mean() for label in (2, 5)]
    assert errors(0 * flows) == pytest.approx(lengths, rel=1e-5)
    assert errors(-flows) == pytest.approx(np.multiply(4, lengths), rel=1e-5)


@pytest.mark.needs_jit
def test_the_number_of_threads_changes_no_bit():
    labels = np.zeros((160, 160), int)
    for number in range(60):
        y, x = divmod(number, 8)
        labels[draw_disc(labels.shape, 20 * y + 10, 20 * x + 10, 4 + number % 6)] = number + 1
    before = numba.get_num_threads()
    results = []
    for n_threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(n_threads)
        results.append(labels_to_flows(labels))
    numba.set_num_threads(before)
    np.testing.assert_array_equal(*results)


def mean_cosine(labels):
    """Mean cosine to Cellpose's flows, over the pixels where either has one.

    At the centre of an exactly symmetric cell ours is 0, Cellpose's is rounding noise of length 1.
    """
    from cellpose import dynamics

    ours, theirs = labels_to_flows(labels), dynamics.masks_to_flows(labels.astype(np.int64))
    lengths = np.hypot(*ours.astype(float)), np.hypot(*theirs)
    live = (lengths[0] > 1e-30) | (lengths[1] > 1e-30)
    both = live & (lengths[0] > 1e-30) & (lengths[1] > 1e-30)
    cosines = (ours * theirs).sum(0)[both] / (lengths[0] * lengths[1])[both]
    return cosines.sum() / max(1, live.sum())


@pytest.mark.reference
@pytest.mark.needs_jit
def test_synthetic_cells_have_cellposes_flows(rng):
    labels = np.zeros((120, 160), int)
    for number in range(1, 60):
        y, x, radius = rng.uniform(0, 120), rng.uniform(0, 160), rng.uniform(1, 14)
        labels[draw_disc(labels.shape, y, x, radius)] = number
    assert mean_cosine(labels) > 0.9999


@pytest.mark.reference
@pytest.mark.real_data
@pytest.mark.parametrize("folder", FOLDERS)
def test_real_cells_have_cellposes_flows(folder, real_data):
    images = list(label_images(real_data, folder))
    for name, labels in images[:: max(1, len(images) // 3)]:
        assert mean_cosine(labels) > 0.9999, name


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.real_data
@pytest.mark.parametrize("folder", FOLDERS)
def test_all_real_cells_have_cellposes_flows(folder, real_data):
    for name, labels in label_images(real_data, folder):
        assert mean_cosine(labels) > 0.9999, name
