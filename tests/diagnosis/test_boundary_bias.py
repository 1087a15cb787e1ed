"""The signed distance between boundaries is what a ruler would give."""

import numpy as np
import pytest

from cellflow.diagnosis.boundary_bias import boundary_offsets, summarize_offsets


def disc(radius, size=80, centre=(40, 40)):
    y, x = np.mgrid[:size, :size]
    return ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2).astype(np.int32)


@pytest.mark.parametrize("shift", [-4, -2, -1, 0, 1, 2, 5])
def test_discs_are_as_much_larger_as_their_radius(shift):
    assert boundary_offsets(disc(20), disc(20 + shift))[0] == pytest.approx(
        shift, rel=0.1, abs=0.15
    )


def test_a_displaced_cell_is_neither_larger_nor_smaller():
    found = boundary_offsets(disc(20), disc(20, centre=(42, 40)))
    assert found[0] == pytest.approx(0, abs=0.05)


def test_at_the_images_border_only_the_inner_edge_counts():
    truth, found = np.zeros((2, 30, 30), np.int32)
    truth[:, :10], found[:, :12] = 1, 1
    assert boundary_offsets(truth, found).tolist() == [2.0]
    full = np.ones((6, 6), np.int32)
    assert boundary_offsets(full, full).tolist() == [0.0]


def test_only_found_cells_are_measured_and_every_one():
    truth = np.zeros((40, 90), np.int32)
    truth[5:15, 5:15], truth[5:15, 30:40], truth[25:35, 60:70] = 1, 2, 3
    found = np.zeros_like(truth)
    found[5:15, 5:15], found[4:16, 29:41], found[30:40, 5:15] = 1, 2, 3
    assert boundary_offsets(truth, found) == pytest.approx([0, 1.0], abs=0.06)
    assert boundary_offsets(truth, np.zeros_like(truth)).shape == (0,)


def test_cells_of_several_images_are_averaged_with_an_interval(rng):
    offsets = [rng.normal(0.5, 1.0, 200) for _ in range(20)]
    found = summarize_offsets(offsets, rng=rng, n_draws=500)
    assert found.n_cells == 4000
    assert found.offset.low < 0.5 < found.offset.high
    assert found.offset.high - found.offset.low < 0.15
    assert found.spread == pytest.approx(1.0, abs=0.05)
    nothing = summarize_offsets([np.zeros(0)], rng=rng)
    assert nothing.n_cells == 0
    assert np.isnan(nothing.offset.estimate)
