import numpy as np
import pytest

from cellflow.dynamics import follow, kernels, sinks, traps
from cellflow.dynamics.follow import NO_TRAPS, find_traps, follow_flows, masked_field, walk
from cellflow.dynamics.sinks import gather_in_sinks
from cellflow.dynamics.traps import N_NUMBERS
from cellflow.targets import threads


def naive_walk(flows, pixel, n_steps):
    height, width = flows.shape[1:]
    y, x = map(float, pixel)
    for _ in range(n_steps):
        row, column = int(y), int(x)
        down, right = y - row, x - column
        under, beside = min(row + 1, height - 1), min(column + 1, width - 1)
        step = (1 - down) * ((1 - right) * flows[:, row, column] + right * flows[:, row, beside])
        step += down * ((1 - right) * flows[:, under, column] + right * flows[:, under, beside])
        y = min(height - 1, max(0, y + step[0]))
        x = min(width - 1, max(0, x + step[1]))
    return y, x


def random_field(rng, shape=(12, 15), strength=0.4):
    flows = (strength * rng.standard_normal((2, *shape))).astype(np.float32)
    return flows, *masked_field(flows, np.ones(shape, np.float32), 0.0)


def test_the_field_is_zero_outside_cells_and_beyond_the_border():
    flows = np.arange(1, 13, dtype=np.float32).reshape(2, 2, 3)
    cellprob = np.array([[1, -1, np.nan], [0, 2, 1]], np.float32)
    field, pixels = masked_field(flows, cellprob, 0.0)
    assert field.shape == (3, 4, 2)
    assert field[..., 0].tolist() == [[1, 0, 0, 0], [0, 5, 6, 0], [0, 0, 0, 0]]
    assert field[..., 1].tolist() == [[7, 0, 0, 0], [0, 11, 12, 0], [0, 0, 0, 0]]
    assert pixels.tolist() == [[0, 1, 1], [0, 1, 2]]


@pytest.mark.parametrize("n_steps", [0, 1, 7, 8, 9, 21])
@pytest.mark.parametrize("tolerance", [0.0, 1e-30])
def test_a_walk_takes_bilinear_clamped_steps(n_steps, tolerance, rng):
    flows, field, pixels = random_field(rng)
    ends = walk(field, pixels, *NO_TRAPS, n_steps=n_steps, tolerance=tolerance)
    expected = [naive_walk(flows, pixel, n_steps) for pixel in pixels.T]
    np.testing.assert_allclose(ends.T, expected, atol=0.02)


def test_stopping_on_a_circle_gives_the_end_of_all_steps(rng):
    _, field, pixels = random_field(rng, strength=0.8)
    ends = walk(field, pixels, *NO_TRAPS, n_steps=203, tolerance=0.0)
    # With 7 steps at a time no look for circles is taken.
    flat = field.reshape(-1).view(np.uint64)
    points = pixels.astype(np.float32)
    work = np.zeros(kernels.N_WORK, np.float32)
    work[7 * kernels.PAIRS : 8 * kernels.PAIRS].reshape(-1, 2)[:] = np.subtract(field.shape[:2], 2)
    works = work, work.view(np.int32), work.view(np.uint64)
    for first in range(0, points.shape[1], kernels.BLOCK):
        part = points[:, first : first + kernels.BLOCK]
        n = part.shape[1]
        block = work[: kernels.PAIRS].reshape(-1, 2)
        block[:n] = part.T
        for _ in range(29):
            kernels.take_steps(flat, field.shape[1], 0, n, 7, True, *works)
        np.testing.assert_array_equal(ends[:, first : first + n], block[:n].T)


def test_more_pixels_than_a_block_all_arrive(rng):
    _, field, pixels = random_field(rng, (20, 30))
    together = walk(field, pixels, *NO_TRAPS, n_steps=40, tolerance=1e-3)
    alone = [
        walk(field, pixels[:, k : k + 1].copy(), *NO_TRAPS, n_steps=40, tolerance=1e-3)
        for k in range(0, 600, 37)
    ]
    np.testing.assert_array_equal(together[:, ::37], np.concatenate(alone, axis=1))


@pytest.mark.needs_jit
@pytest.mark.parametrize("tolerance", [0.0, 1e-3])
def test_the_kernels_do_what_their_python_does(tolerance, rng):
    flows, field, pixels = random_field(rng)
    traps = find_traps(flows, field, pixels)
    assert traps[1].shape[1] == N_NUMBERS
    ends = [np.empty(pixels.shape, np.float32) for _ in range(2)]
    arguments = (field, 50, np.float32(tolerance), *traps, pixels, 0, pixels.shape[1])
    kernels.follow_points(*arguments, ends[0])
    kernels.follow_points.py_func(*arguments, ends[1])
    np.testing.assert_array_equal(*ends)


@pytest.mark.needs_jit
def test_the_kernels_are_compiled_once_whatever_the_number_of_threads_and_pixels(rng, monkeypatch):
    monkeypatch.setattr(follow, "PIXELS_PER_SHARE", 64)
    flows, field, pixels = random_field(rng, (96, 96))
    for n_threads in (2, 1):
        monkeypatch.setattr(threads, "n_threads", lambda n=n_threads: n)
        for threshold in (-1e9, 0.0, 1e9):
            field, pixels = masked_field(flows, np.zeros((96, 96), np.float32), threshold)
            ends = follow_flows(flows, np.zeros((96, 96)), cellprob_threshold=threshold)[0]
            gather_in_sinks(ends, pixels, (96, 96))
        for n in (0, 1, pixels.shape[1]):
            walk(field, pixels[:, :n].copy(), *NO_TRAPS, n_steps=9, tolerance=1e-3)
    for kernel in (
        kernels.count_cell_pixels,
        kernels.gather_cell_pixels,
        traps.list_traps,
        kernels.follow_points,
        sinks.count_ends,
        sinks.list_peaks,
        sinks.grow_sinks,
        sinks.label_by_end,
    ):
        assert len(kernel.signatures) == 1, kernel
