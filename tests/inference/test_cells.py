"""From flow fields to cells by the settings of the cell type."""

from dataclasses import replace

import numpy as np
import pytest

from cellflow.config import Config, DynamicsConfig
from cellflow.dynamics.cell_features import cell_features
from cellflow.inference.cells import CellFinder
from cellflow.inference.confidence import Confidence
from cellflow.network.cell_type_head import CellTypeHead
from cellflow.network.logistic import Logistic
from cellflow.network.model_folder import ModelFolder
from cellflow.network.thresholds import CellSettings, Thresholds
from cellflow.records import FlowField
from cellflow.targets.flows import labels_to_flows

SIZES = {"diameter": 17.0, "diam_mean": 17.0}


@pytest.fixture
def labels():
    labels = np.zeros((40, 60), np.int32)
    labels[3:15, 3:15], labels[3:9, 30:36], labels[25:37, 20:40] = 1, 2, 3
    return labels


@pytest.fixture
def field(labels):
    """Perfect flows; the first cell is the least sure."""
    cellprob = np.where(labels == 1, 0.5, np.where(labels > 0, 6.0, -6.0)).astype(np.float32)
    return FlowField(
        flows=labels_to_flows(labels), cellprob=cellprob, style=np.zeros(256, np.float32)
    )


def finder(**settings):
    return CellFinder(config=Config(dynamics=DynamicsConfig(**settings)))


def test_perfect_flows_give_the_cells_with_their_scores(field, labels):
    found = finder().find(field, "a", **SIZES)
    assert (found.labels == labels).all()
    expected = cell_features(labels, field.flows, field.cellprob).scores
    assert found.scores == pytest.approx(expected)
    assert (found.name, found.cell_type) == ("a", None)


def test_unsure_cells_fall_under_the_score_threshold_and_numbers_close_up(field, labels):
    found = finder(score_threshold=0.8).find(field, "a", **SIZES)
    assert (found.labels == np.where(labels == 1, 0, np.maximum(labels - 1, 0))).all()
    assert len(found.scores) == 2
    assert (found.scores > 0.8).all()


def test_the_boundary_moves_after_all_else(field, labels):
    # 6 x 6 pixels are too few before, and would be enough after growing.
    found = finder(boundary_shift=1.0, min_size=40).find(field, "a", **SIZES)
    assert found.labels.max() == 2
    assert np.bincount(found.labels.ravel())[1:].tolist() == [144 + 48, 240 + 64]


def model_folder(path, thresholds, head=None):
    return ModelFolder(
        path=path,
        config=thresholds.default.applied_to(Config()),
        diameter=17.0,
        thresholds=thresholds,
        cell_type_head=head,
        record={},
    )


def test_a_cell_type_has_its_own_settings(field, tmp_path):
    thresholds = Thresholds(per_cell_type={"astro": CellSettings(min_size=200)})
    types = CellFinder.from_folder(model_folder(tmp_path, thresholds), lambda config: config)
    n_cells = {
        kind: len(types.find(field, "a", cell_type=kind, **SIZES).scores)
        for kind in (None, "astro", "cort")
    }
    assert n_cells == {None: 3, "astro": 1, "cort": 3}
    assert types.find(field, "a", cell_type="astro", **SIZES).cell_type == "astro"


def test_the_style_tells_the_type_unless_the_head_is_unsure(field, tmp_path):
    weights = np.zeros((2, 256))
    weights[0, 0], weights[1, 1] = 4.0, 4.0
    head = CellTypeHead(
        cell_types=("astro", "cort"),
        logistic=Logistic(weights=weights, bias=np.zeros(2)),
        threshold=0.9,
    )
    thresholds = Thresholds(per_cell_type={"astro": CellSettings(min_size=200)})
    types = CellFinder.from_folder(model_folder(tmp_path, thresholds, head), lambda config: config)
    found = {}
    for name, (first, second) in {
        "sure": (1, 0),
        "unsure": (0.6, 0.8),
        "cort": (0, 1),
        "blank": (0, 0),
    }.items():
        style = np.zeros(256, np.float32)
        style[:2] = first, second
        found[name] = types.find(replace(field, style=style), name, **SIZES)
    assert {name: one.cell_type for name, one in found.items()} == {
        "sure": "astro", "unsure": None, "cort": "cort", "blank": None,
    }  # fmt: skip
    assert {name: len(one.scores) for name, one in found.items()} == {
        "sure": 1, "unsure": 3, "cort": 3, "blank": 3,
    }  # fmt: skip
    assert found["sure"].cell_type_probability == pytest.approx(1 / (1 + np.exp(-4)))
    assert found["blank"].cell_type_probability is None
    assert found["unsure"].cell_type_probability == pytest.approx(1 / (1 + np.exp(-0.8)))


def test_scores_are_calibrated_where_the_model_is(field):
    confidence = Confidence(weights=np.array([0, 1.0, 0, 0, 0]), bias=-2.0, spread=0.0)
    found = replace(finder(), confidence=confidence).find(field, "a", **SIZES)
    assert found.scores == pytest.approx(1 / (1 + np.exp([1.5, -4, -4])), rel=1e-5)


def test_what_the_user_sets_wins_for_every_type(tmp_path):
    thresholds = Thresholds(
        default=CellSettings(min_size=20), per_cell_type={"astro": CellSettings(min_size=200)}
    )

    def change(config):
        return replace(config, dynamics=replace(config.dynamics, min_size=33))

    types = CellFinder.from_folder(model_folder(tmp_path, thresholds), change)
    assert {types.config_of(kind).dynamics.min_size for kind in (None, "astro")} == {33}
    assert types.to_dict()["astro"]["dynamics"]["min_size"] == 33
