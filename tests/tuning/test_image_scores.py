"""The table of scores holds, at every place, what prediction and the score would give."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from cellflow.config import Config, DynamicsConfig, TuningConfig
from cellflow.data.rle import labels_to_masks
from cellflow.inference.cells import CellFinder
from cellflow.metrics.average_precision import average_precision
from cellflow.network.thresholds import CellSettings
from cellflow.records import CellMasks, FlowField
from cellflow.targets.flows import labels_to_flows
from cellflow.tuning.grid import Grid
from cellflow.tuning.image_scores import ImageCells, count_passed, list_cells, score_grid

GRID = Grid.of(
    TuningConfig(
        cellprob_thresholds=(-1.0, 1.0),
        flow_thresholds=(0.2, 0.8, 0.0),
        min_sizes=(1, 40, 90),
        score_thresholds=(0.0, 0.4, 0.7),
        boundary_shifts=(-1.0, 0.5, 1.0),
    ),
    [CellSettings()],
)
HOW = {"n_steps": 200, "tolerance": 1e-3, "diameter": 17.0}


def spread_discs(rng):
    """Discs that do not touch, and a noisy field of them."""
    labels = np.zeros((100, 130), np.int32)
    y, x = np.mgrid[:100, :130]
    places = itertools.product(range(12, 100, 25), range(12, 130, 25))
    for k, (row, column) in enumerate(places, 1):
        labels[(y - row) ** 2 + (x - column) ** 2 < rng.uniform(3, 9) ** 2] = k
    noise = rng.uniform(0, 1.2, labels.max() + 1)[labels]
    flows = labels_to_flows(labels) + noise * rng.normal(0, 1, (2, 100, 130))
    cellprob = np.where(labels > 0, 1.0, -2.0) + rng.normal(0, 1.0, labels.shape)
    return labels, FlowField(
        flows=flows.astype(np.float32),
        cellprob=cellprob.astype(np.float32),
        style=np.zeros(256, np.float32),
    )


def test_every_place_is_the_score_of_its_prediction(rng):
    labels, field = spread_discs(rng)
    truth = labels_to_masks(labels).select(np.arange(0, labels.max(), 2))
    cells = ImageCells(n_truths=len(truth), followings=(list_cells(field, truth, GRID, **HOW),))
    scores = score_grid(cells, GRID, None)
    assert scores.shape == GRID.shape
    shifted = []
    for place in rng.permutation(GRID.size)[:80]:
        index = np.unravel_index(place, GRID.shape)
        settings = GRID.settings_at(index, 17.0)
        config = settings.applied_to(Config(dynamics=DynamicsConfig(n_steps=200)))
        found = CellFinder(config=config).find(field, "a", diameter=17.0, diam_mean=17.0)
        expected = average_precision(truth, found.labels).mean
        if settings.boundary_shift == 0:
            assert scores[index] == pytest.approx(expected, abs=1e-6), settings
        else:
            shifted.append(scores[index] - expected)
    # What is dropped later was in the way of its neighbours when their boundary moved.
    assert np.abs(shifted).mean() < 0.01
    assert scores.max() > scores.min() + 0.1


def test_cells_pass_as_many_thresholds_as_their_best_truth_allows():
    truth = np.zeros((1, 40), np.int32)
    truth[0, :20] = 1
    found = np.zeros((1, 40), np.int32)
    found[0, :15], found[0, 30:40] = 1, 2
    # IoU 0.75 is above 0.50 to 0.70; the threshold itself does not count.
    assert count_passed(labels_to_masks(truth), found).tolist() == [5, 0]
    assert count_passed(CellMasks.empty((1, 40)), found).tolist() == [0, 0]
    assert count_passed(labels_to_masks(truth), np.zeros_like(found)).tolist() == []


def test_images_without_truth_score_1_only_where_nothing_is_found(rng):
    _, field = spread_discs(rng)
    truth = CellMasks.empty((100, 130))
    cells = ImageCells(n_truths=0, followings=(list_cells(field, truth, GRID, **HOW),))
    scores = score_grid(cells, GRID, None)
    unchecked = replace(CellSettings(), flow_threshold=0.0)
    assert scores[GRID.index_of(unchecked)] == 0
    nothing_left = scores[..., GRID.score_threshold.index(0.7)]
    assert (nothing_left == 1).all()
