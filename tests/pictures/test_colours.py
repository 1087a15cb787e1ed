import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellflow.data.rle import dense_to_masks, labels_to_masks
from cellflow.pictures.colours import (
    HIT,
    MISSED,
    PALETTE,
    SPURIOUS,
    colour_cells,
    colour_matches,
)
from cellflow.records import CellMasks


def test_cells_that_touch_differ_and_the_same_masks_give_the_same_colours():
    labels = np.kron(np.arange(1, 65).reshape(8, 8), np.ones((5, 5), int))
    colours = colour_cells(labels_to_masks(labels)).reshape(8, 8, 3)
    for step in ((0, 1), (1, 0), (1, 1), (1, -1)):
        moved = np.roll(colours, step, axis=(0, 1))[1:-1, 1:-1]
        assert (moved != colours[1:-1, 1:-1]).any(axis=-1).all()
    again = colour_cells(labels_to_masks(labels))
    np.testing.assert_array_equal(colours.reshape(-1, 3), again)


def test_cells_that_overlap_or_nearly_touch_differ():
    stack = np.zeros((3, 10, 20), bool)
    stack[0, 2:8, 2:8] = True
    stack[1, 4:6, 4:6] = True
    stack[2, 2:8, 10:15] = True
    colours = colour_cells(dense_to_masks(stack))
    assert (colours[0] != colours[1]).any()
    assert (colours[0] != colours[2]).any()


@given(n_cells=st.integers(0, 25), seed=st.integers(0, 100))
def test_every_cell_gets_a_colour_of_the_palette_even_in_a_deep_pile(n_cells, seed):
    stack = np.random.default_rng(seed).random((n_cells, 6, 6)) < 0.5
    stack[:, 3, 3] = True
    colours = colour_cells(dense_to_masks(stack))
    assert colours.shape == (n_cells, 3)
    used = [int(np.flatnonzero((colour == PALETTE).all(axis=1))[0]) for colour in colours]
    if n_cells > len(PALETTE):
        assert len(set(used)) == len(PALETTE)
    else:
        assert len(set(used)) == n_cells


def _simulate(colour, matrix):
    linear = (colour / 255.0) ** 2.2
    return np.clip(matrix @ linear, 0, 1) ** (1 / 2.2)


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3),
        # Deuteranopia and protanopia after Machado, Oliveira and Fernandes (2009), severity 1.
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    ],
)
def test_hits_and_errors_differ_for_any_colour_vision(matrix):
    shown = [_simulate(colour, np.array(matrix)) for colour in (HIT, MISSED, SPURIOUS)]
    distances = [np.abs(a - b).sum() for a, b in itertools.combinations(shown, 2)]
    assert min(distances) > 0.25


def test_hits_misses_and_spurious_cells_are_coloured_by_the_scores_threshold():
    truth = np.zeros((6, 12), int)
    truth[:4, :4], truth[:4, 6:10] = 1, 2
    predicted = np.zeros((6, 12), int)
    predicted[:4, :3], predicted[:4, 8:12] = 1, 2
    of_truth, of_predicted = colour_matches(labels_to_masks(truth), labels_to_masks(predicted))
    np.testing.assert_array_equal(of_truth, [HIT, MISSED])
    np.testing.assert_array_equal(of_predicted, [HIT, SPURIOUS])


def test_a_side_without_cells_has_no_colours():
    cells = labels_to_masks(np.eye(4, dtype=int))
    nothing = CellMasks.empty((4, 4))
    of_truth, of_predicted = colour_matches(cells, nothing)
    np.testing.assert_array_equal(of_truth, [MISSED])
    assert of_predicted.shape == (0, 3)
    assert colour_cells(nothing).shape == (0, 3)
