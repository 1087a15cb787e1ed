"""The grid holds the defaults, and its places and settings belong together."""

import pytest

from cellflow.config import TuningConfig
from cellflow.errors import ConfigError
from cellflow.network.thresholds import CellSettings
from cellflow.tuning.grid import Grid

SMALL = TuningConfig(
    cellprob_thresholds=(1.0, -1.0),
    flow_thresholds=(0.0, 0.6),
    min_sizes=(30,),
    score_thresholds=(0.5,),
    boundary_shifts=(0.5,),
    diameter_factors=(1.5,),
)


def test_axes_ascend_hold_the_given_settings_and_end_with_no_check():
    grid = Grid.of(SMALL, [CellSettings(), CellSettings(min_size=99)])
    assert grid == Grid(
        diameter_factor=(1.0, 1.5),
        cellprob_threshold=(-1.0, 0.0, 1.0),
        boundary_shift=(0.0, 0.5),
        flow_threshold=(0.4, 0.6, 0.0),
        min_size=(15, 30, 99),
        score_threshold=(0.0, 0.5),
    )
    assert grid.shape == (2, 3, 2, 3, 3, 2)
    assert grid.size == 216


def test_settings_have_a_place_and_a_place_settings():
    grid = Grid.of(SMALL, [CellSettings()])
    assert grid.settings_at(grid.index_of(CellSettings()), 17.0) == CellSettings()
    chosen = grid.settings_at((1, 0, 1, 2, 1, 1), 20.0)
    assert chosen == CellSettings(
        cellprob_threshold=-1.0,
        flow_threshold=0.0,
        min_size=30,
        score_threshold=0.5,
        boundary_shift=0.5,
        diameter=30.0,
    )
    assert grid.index_of(chosen) == (0, 0, 1, 2, 1, 1)
    assert grid.settings_at((1, 0, 0, 0, 0, 0), None).diameter is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"cellprob_thresholds": ()},
        {"flow_thresholds": (-0.1,)},
        {"score_thresholds": (1.1,)},
        {"diameter_factors": (0.0,)},
        {"n_folds": 1},
        {"n_inner_folds": 1},
    ],
)
def test_values_outside_their_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=f"tuning.{next(iter(wrong))}"):
        TuningConfig(**wrong)
