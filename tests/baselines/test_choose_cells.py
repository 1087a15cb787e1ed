"""Thresholds and least areas by class, and who keeps what several cover."""

import numpy as np

from cellflow.baselines.choose_cells import choose_cells
from cellflow.baselines.learner import DetectedCells
from cellflow.baselines.settings import CellChoice
from cellflow.data.rle import rle_to_masks
from cellflow.records import CellMasks


def found(runs, scores, kinds, shape=(2, 8)):
    return DetectedCells(
        masks=rle_to_masks(runs, shape),
        scores=np.array(scores, np.float32),
        kinds=np.array(kinds, np.int64),
    )


def test_each_class_has_its_own_threshold_and_area():
    cells = found(["1 2", "4 2", "7 1", "9 3"], [0.4, 0.4, 0.9, 0.9], [0, 1, 0, 1])
    settings = CellChoice(
        score_threshold=0.5, score_thresholds={"cort": 0.3}, min_area=2, min_areas={"cort": 1}
    )
    prediction = choose_cells(cells, "x", ("astro", "cort"), settings)
    # Of astro the first is too unsure, the third too small.
    assert prediction.labels.tolist() == [[0, 0, 0, 2, 2, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0]]
    np.testing.assert_allclose(prediction.scores, [0.9, 0.4])


def test_the_area_is_that_of_what_a_cell_keeps():
    cells = found(["1 4", "3 3"], [0.9, 0.8], [0, 0])
    kept = choose_cells(cells, "x", ("cell",), CellChoice(min_area=1))
    assert kept.labels[0].tolist() == [1, 1, 1, 1, 2, 0, 0, 0]
    assert choose_cells(cells, "x", ("cell",), CellChoice(min_area=2)).labels.max() == 1


def test_the_type_of_the_image_is_the_one_with_the_largest_sum_of_scores():
    cells = found(["1 2", "4 2", "7 2"], [0.9, 0.6, 0.7], [0, 1, 1])
    prediction = choose_cells(cells, "x", ("astro", "cort"), CellChoice(min_area=1))
    assert prediction.cell_type == "cort"
    np.testing.assert_allclose(prediction.cell_type_probability, 1.3 / 2.2, rtol=1e-6)


def test_a_model_of_one_nameless_class_tells_no_type():
    cells = found(["1 2"], [0.9], [0])
    prediction = choose_cells(cells, "x", ("cell",), CellChoice(min_area=1))
    assert (prediction.cell_type, prediction.cell_type_probability) == (None, None)


def test_cells_of_no_kind_get_the_default_limits():
    cells = found(["1 2", "4 1"], [0.6, 0.6], [-1, -1])
    settings = CellChoice(score_thresholds={"cort": 0.9}, min_area=2)
    prediction = choose_cells(cells, "x", ("cort",), settings)
    assert prediction.labels.max() == 1
    assert prediction.cell_type is None


def test_nothing_found_is_an_empty_prediction():
    nothing = DetectedCells(
        masks=CellMasks.empty((4, 5)), scores=np.zeros(0, np.float32), kinds=np.zeros(0, np.int64)
    )
    prediction = choose_cells(nothing, "x", ("cort",), CellChoice())
    assert prediction.labels.shape == (4, 5)
    assert (prediction.labels.max(), prediction.cell_type) == (0, None)
