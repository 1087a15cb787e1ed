import numpy as np
import pytest

from cellflow.targets import diffusion
from cellflow.targets.centers import find_boxes


def naive_heat(mask, centre, n_steps):
    heat = np.zeros(np.add(mask.shape, 2))
    for _ in range(n_steps):
        heat[centre] += 1
        mean = sum(np.roll(heat, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
        heat = np.where(np.pad(mask, 1), mean, 0)
    return heat


def heat_of(labels, value, dtype):
    cells = find_boxes(labels)
    box = cells.boxes[0]
    height, width = box[2] - box[0], box[3] - box[1]
    scratch = np.full((4, diffusion.largest_box(cells.boxes, np.array([0]))), np.nan, dtype)
    is_warm = diffusion.heat_cell(cells.labels, value, box, scratch)
    heat = scratch[0, : (height + 2) * (width + 1)].reshape(height + 2, width + 1)
    return heat[1:-1, 1:] / diffusion.SOURCE, is_warm


def test_the_centre_is_the_pixel_nearest_the_mean_and_the_first_of_equals():
    labels = np.array([[1, 1, 1], [1, 0, 1]], np.int32)
    weights = np.empty(17)
    centre = diffusion.place_cell(labels, 1, np.array([0, 0, 2, 3]), weights)
    assert divmod(centre, 4) == (1, 2)
    assert (weights[:16].reshape(4, 4)[1:3, 1:] > 0).tolist() == (labels > 0).tolist()
    square = np.ones((2, 2), np.int32)
    assert diffusion.place_cell(square, 1, np.array([0, 0, 2, 2]), np.empty(13)) == 1 * 3 + 1


def test_the_centre_of_any_shape_is_its_pixel_nearest_the_mean(rng):
    for _ in range(60):
        labels = (rng.random(rng.integers(1, 8, 2)) < rng.uniform(0.2, 1)).astype(np.int32)
        labels[0, rng.integers(labels.shape[1])] = labels[-1, -1] = labels[
            rng.integers(len(labels)), 0
        ] = 1
        y, x = np.nonzero(labels)
        expected = np.argmin((x - x.mean()) ** 2 + (y - y.mean()) ** 2)
        height, width = labels.shape
        weights = np.empty((height + 2) * (width + 1) + 1, np.float32)
        centre = diffusion.place_cell(labels, 1, np.array([0, 0, height, width]), weights)
        assert divmod(centre, width + 1) == (y[expected] + 1, x[expected] + 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_heat_spreads_by_the_3x3_mean(dtype, rng):
    labels = (rng.random((7, 9)) < 0.8).astype(np.int32)
    labels[3, 4] = labels[0, 0] = labels[6, 8] = 1
    y, x = np.nonzero(labels)
    nearest = np.argmin((x - x.mean()) ** 2 + (y - y.mean()) ** 2)
    expected = naive_heat(labels > 0, (y[nearest] + 1, x[nearest] + 1), 2 * (7 + 9 + 4))
    heat, _ = heat_of(labels, 1, dtype)
    np.testing.assert_allclose(heat, expected[1:-1, 1:-1], rtol=1e-5, atol=1e-30)


def test_a_symmetric_cell_stays_symmetric_to_the_last_bit():
    heat, is_warm = heat_of(np.ones((9, 5), np.int32), 1, np.float32)
    assert is_warm
    assert (heat == heat[::-1]).all()
    assert (heat == heat[:, ::-1]).all()


def test_a_long_thin_line_is_too_cold_for_float32():
    assert heat_of(np.ones((1, 60), np.int32), 1, np.float32)[1]
    assert not heat_of(np.ones((1, 300), np.int32), 1, np.float32)[1]


@pytest.mark.needs_jit
def test_the_kernels_do_what_their_python_does():
    labels = np.zeros((14, 16), np.int32)
    labels[1:8, 2:9], labels[9:13, 3:15], labels[2, 12] = 1, 2, 3
    cells = find_boxes(labels)
    chosen = np.arange(3)
    given = np.linspace(-1, 1, 2 * labels.size, dtype=np.float32).reshape(2, *labels.shape)
    flows = [np.zeros((2, *labels.shape), np.float32) for _ in range(2)]
    errors = [np.zeros(3) for _ in range(2)]
    for k, pick in enumerate((lambda kernel: kernel, lambda kernel: kernel.py_func)):
        pick(diffusion.write_cell_flows)(*cells[:3], chosen, flows[k])
        pick(diffusion.write_cell_errors)(*cells[:3], chosen, given, errors[k])
    np.testing.assert_array_equal(*flows)
    np.testing.assert_array_equal(*errors)
