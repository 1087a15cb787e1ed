import numba
import numpy as np
import pytest

from cellflow.dynamics.segment import flows_to_labels
from cellflow.targets.flows import labels_to_flows

NETWORK_SCALE = 5


def draw_scene(rng, shape=(160, 200), n_cells=60):
    labels = np.zeros(shape, np.int32)
    rows, columns = np.indices(shape)
    for number in range(1, n_cells + 1):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        radius, angle = rng.uniform(4, 12), rng.uniform(0, np.pi)
        along = (rows - y) * np.sin(angle) + (columns - x) * np.cos(angle)
        across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
        labels[(along / 1.4) ** 2 + (across * 1.4) ** 2 < radius**2] = number
    return labels


def draw_output(labels, rng, noise=0.6):
    """What a network might give: five times the flows, and logits, both with smooth noise."""
    from scipy.ndimage import gaussian_filter

    def smooth_noise():
        values = gaussian_filter(rng.standard_normal(labels.shape), 1.5)
        return (noise * values / values.std()).astype(np.float32)

    flows = labels_to_flows(labels)
    output = NETWORK_SCALE * flows + np.stack([smooth_noise(), smooth_noise()])
    return output, np.where(labels > 0, np.float32(4), np.float32(-4)) + 3 * smooth_noise()


def cellpose_steps(output, cellprob, *, renumbered, flow_threshold=0.4, min_size=15):
    """Cellpose 3.1's own steps; with numbers made gap-free and a border of background, or without.

    Its last step takes the first value that it meets for the background, whether there is any.
    """
    import fastremap
    from cellpose import dynamics, utils

    masks = dynamics.compute_masks(output, cellprob, flow_threshold=flow_threshold, min_size=-1)
    if renumbered:
        masks = np.pad(fastremap.renumber(masks)[0], 1)
    masks = utils.fill_holes_and_remove_small_masks(masks, min_size=min_size)
    return fastremap.renumber(masks[1:-1, 1:-1] if renumbered else masks)[0]


def ious(truth, predicted):
    """Best IoU of each truth."""
    pairs, areas = np.unique(
        np.stack([truth.ravel(), predicted.ravel()]), axis=1, return_counts=True
    )
    sizes = np.bincount(truth.ravel()), np.bincount(predicted.ravel())
    best = np.zeros(truth.max() + 1)
    for (one, two), area in zip(pairs.T, areas, strict=True):
        if one and two:
            best[one] = max(best[one], area / (sizes[0][one] + sizes[1][two] - area))
    return best[1:]


def precision_at_95(truth, predicted):
    hits = (ious(truth, predicted) > 0.95).sum()
    return hits / (truth.max() + predicted.max() - hits)


def test_exact_flows_give_the_cells_back():
    labels = np.zeros((30, 45), np.int32)
    rows, columns = np.indices(labels.shape)
    for number, (y, x) in enumerate(((8, 8), (9, 25), (21, 13), (22, 36)), 1):
        labels[(rows - y - 0.3) ** 2 + (columns - x + 0.2) ** 2 < 40] = number
    for tolerance in (0, 1e-3):
        found = flows_to_labels(
            labels_to_flows(labels), np.where(labels > 0, 5.0, -5.0), tolerance=tolerance
        )
        np.testing.assert_array_equal(found, labels)
        assert found.dtype == np.int32


def test_an_image_without_cells_gives_none():
    for shape in ((5, 6), (1, 1), (1, 7), (0, 4), (0, 0)):
        found = flows_to_labels(np.zeros((2, *shape)), np.full(shape, -1.0))
        assert found.shape == shape
        assert not found.any()


def test_one_cell_pixel_is_no_cell():
    assert not flows_to_labels(np.zeros((2, 1, 1)), np.ones((1, 1))).any()


def test_a_cell_that_fills_the_image_is_taken_for_background():
    labels = np.ones((20, 20), int)
    assert not flows_to_labels(labels_to_flows(labels), np.ones((20, 20))).any()


def test_a_cell_at_the_corner_is_found():
    labels = np.zeros((20, 20), int)
    labels[:8, :7] = 1
    found = flows_to_labels(labels_to_flows(labels), np.where(labels > 0, 1.0, -1.0))
    np.testing.assert_array_equal(found, labels)


@pytest.mark.needs_jit
def test_the_number_of_threads_changes_nothing(rng):
    output, cellprob = draw_output(draw_scene(rng), rng)
    before = numba.get_num_threads()
    found = {}
    for n_threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(n_threads)
        for tolerance in (0, 1e-3):
            found[n_threads, tolerance] = flows_to_labels(
                output / NETWORK_SCALE, cellprob, tolerance=tolerance
            )
    numba.set_num_threads(before)
    for tolerance in (0, 1e-3):
        np.testing.assert_array_equal(
            found[1, tolerance], found[numba.config.NUMBA_NUM_THREADS, tolerance]
        )


@pytest.mark.needs_jit
def test_calls_from_several_threads_at_once_do_not_disturb_each_other(rng):
    from concurrent.futures import ThreadPoolExecutor

    output, cellprob = draw_output(draw_scene(rng), rng)
    alone = flows_to_labels(output / NETWORK_SCALE, cellprob)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(flows_to_labels, output / NETWORK_SCALE, cellprob) for _ in range(8)]
    for call in calls:
        np.testing.assert_array_equal(call.result(), alone)


@pytest.mark.reference
@pytest.mark.needs_jit
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_exact_cells_are_cellposes_with_its_numbers_made_gap_free(seed):
    rng = np.random.default_rng(seed)
    output, cellprob = draw_output(draw_scene(rng, (520, 704), 400), rng)
    theirs = cellpose_steps(output, cellprob, renumbered=True)
    ours = flows_to_labels(output / np.float32(NETWORK_SCALE), cellprob, tolerance=0)
    assert ours.max() > 100
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.reference
@pytest.mark.needs_jit
def test_default_cells_are_nearly_cellposes(rng):
    output, cellprob = draw_output(draw_scene(rng, (520, 704), 400), rng)
    theirs = cellpose_steps(output, cellprob, renumbered=True)
    ours = flows_to_labels(output / np.float32(NETWORK_SCALE), cellprob)
    assert precision_at_95(theirs, ours) >= 0.99
    assert np.mean(ious(theirs, ours)[ious(theirs, ours) > 0.5]) >= 0.999


@pytest.mark.reference
@pytest.mark.needs_jit
def test_cellpose_itself_loses_valid_cells_that_we_keep():
    labels = np.zeros((40, 80), np.int32)
    labels[2:14, 2:14], labels[2:14, 20:32], labels[20:23, 2:7] = 1, 2, 3
    labels[20:32, 40:52] = 4
    output = NETWORK_SCALE * labels_to_flows(labels)
    # Too weak for its shape: the check drops cell 1, and leaves labels 2, 3 (small) and 4. Cellpose
    # takes the second of them, the small one, for label 2.
    output[:, labels == 1] *= 0.2
    cellprob = np.where(labels > 0, np.float32(5), np.float32(-5))
    theirs = cellpose_steps(output, cellprob, renumbered=False, min_size=16)
    ours = flows_to_labels(output / np.float32(NETWORK_SCALE), cellprob, min_size=16, tolerance=0)
    np.testing.assert_array_equal(theirs > 0, labels == 4)
    np.testing.assert_array_equal(ours > 0, (labels == 2) | (labels == 4))


@pytest.mark.reference
@pytest.mark.needs_jit
def test_cellpose_itself_loses_a_valid_cell_where_there_is_no_background():
    labels = np.repeat([[1] * 16 + [2] * 8 + [3] * 16], 10, axis=0).astype(np.int32)
    output = NETWORK_SCALE * labels_to_flows(labels)
    cellprob = np.ones(labels.shape, np.float32)
    how = {"min_size": 100}
    # It takes cell 1 for the background, and drops it for the size of cell 2, the next.
    theirs = cellpose_steps(output, cellprob, renumbered=False, **how)
    np.testing.assert_array_equal(theirs > 0, labels == 3)
    ours = flows_to_labels(output / np.float32(NETWORK_SCALE), cellprob, tolerance=0, **how)
    np.testing.assert_array_equal(ours > 0, labels != 2)
    np.testing.assert_array_equal(ours, cellpose_steps(output, cellprob, renumbered=True, **how))


@pytest.mark.reference
@pytest.mark.needs_jit
@pytest.mark.parametrize("seed", [118, 148, 155])
def test_of_equal_peaks_any_wins_in_cellpose_since_it_does_not_sort_them_stably(seed, monkeypatch):
    import torch

    rng = np.random.default_rng(seed)
    output = (rng.choice([15, 40, 100]) * rng.standard_normal((2, 60, 60))).astype(np.float32)
    cellprob, how = np.ones((60, 60), np.float32), {"flow_threshold": 0.0, "min_size": 1}
    ours = flows_to_labels(output / np.float32(NETWORK_SCALE), cellprob, tolerance=0, **how)
    sort = torch.Tensor.argsort
    monkeypatch.setattr(torch.Tensor, "argsort", lambda peaks: sort(peaks, stable=True))
    theirs = cellpose_steps(output, cellprob, renumbered=True, **how)
    assert ours.max() > 16  # so many numbers are still sorted stably
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.real_data
@pytest.mark.parametrize("tolerance", [0, 1e-3])
def test_raw_output_of_cyto3_gives_cellposes_162_cells(tolerance, real_data):
    folder = real_data / "cellpose_cyto3_reference"
    output = np.fromfile(folder / "cellpose_img_075.output.bin", "<f4").reshape(3, 304, 240)
    theirs = np.fromfile(folder / "cellpose_img_075.masks.bin", "<i4").reshape(300, 240)
    ours = flows_to_labels(
        output[:2, :300] / np.float32(NETWORK_SCALE), output[2, :300], tolerance=tolerance
    )
    assert precision_at_95(theirs, ours) >= 0.99
    assert ours.max() == theirs.max() == 162
    if tolerance == 0:
        assert (ious(theirs, ours) == 1).all()
