"""What images cost, and what is left out to fit a budget."""

import numpy as np
import pytest

from cellflow.errors import ConfigError
from cellflow.inference.cost import BUDGET_SHARE, Cost, fit_to_budget, measure_cost
from cellflow.inference.model import Model
from cellflow.inference.tile_runner import TileRunner
from cellflow.inference.tiles import plan_tiles

PER_TILE = 0.5


@pytest.fixture(autouse=True)
def _half_a_second_a_tile(monkeypatch):
    monkeypatch.setattr(TileRunner, "seconds_per_tile", lambda self, grid: PER_TILE)


def seconds_of(shape):
    """Half a second for each tile of an image of this size at the network's resolution."""
    height, width = (side + 16 + -side % 16 for side in shape)
    return PER_TILE * len(plan_tiles((height, width), 64, 0.1).corners)


def test_an_image_costs_its_tiles_in_every_view(tiny_model):
    assert measure_cost(tiny_model(), [(320, 480)]).seconds == seconds_of((320, 480))
    assert measure_cost(tiny_model(views=4), [(320, 480)]).seconds == 4 * seconds_of((320, 480))


def test_images_of_several_sizes_cost_their_mean(tiny_model):
    cost = measure_cost(tiny_model(), [(320, 480), (640, 960)])
    assert cost.seconds == (seconds_of((320, 480)) + seconds_of((640, 960))) / 2


def test_scales_models_and_first_looks_are_counted(tiny_model):
    model = tiny_model(views=2, scales=(1.0, 2.0), training=34.0, diameter_policy="refined")
    model = Model.joined([model, tiny_model(seed=1)])
    cost = measure_cost(model, [(320, 480)])
    # Seen at half its size, at its own, and twice as large.
    half, own, double = (seconds_of((side, side * 3 // 2)) for side in (160, 320, 640))
    assert cost.per_view == ((half, own), (own, double))
    assert cost.first_look == half
    assert cost.seconds == half + 2 * (half + own + own + double)


def test_a_first_look_at_a_guess_is_at_the_networks_own_size(tiny_model):
    cost = measure_cost(tiny_model(training=34.0, diameter_policy="estimated"), [(320, 480)])
    assert cost.first_look == seconds_of((320, 480))


def test_the_way_to_the_cells_is_timed(tiny_model, rng):
    cost = measure_cost(tiny_model(views=8), [(40, 40)])
    whole = cost.with_cells(tiny_model(views=8), rng.integers(0, 255, (40, 40), np.uint8))
    assert whole.cells > 0
    assert whole.seconds == cost.seconds + whole.cells


@pytest.mark.parametrize(
    ("seconds", "views", "scales", "n_models", "said"),
    [
        (48, 8, (0.5, 1.0, 1.5), 2, None),
        (40, 4, (0.5, 1.0, 1.5), 2, "only 4 of 8 views"),
        (8, 1, (0.5, 1.0, 1.5), 2, "only 1 of 8 views"),
        (5, 1, (1.0, 1.5), 2, "only 1 of 8 views, 2 of 3 scales (1, 1.5)"),
        (2, 1, (1.0,), 2, "only 1 of 8 views, 1 of 3 scales (1)"),
        (1, 1, (1.0,), 1, "1 of 3 scales (1), 1 of 2 models (without b)"),
    ],
)
def test_views_go_first_then_scales_then_models(tiny_model, seconds, views, scales, n_models, said):
    whole = Model.joined(
        [tiny_model(views=8, scales=(0.5, 1.0, 1.5), name="a"), tiny_model(seed=1, name="b")]
    )
    cost = Cost(views=8, per_view=((1.0,) * 3,) * 2, first_look=0.0)
    # Of ten images; a hair more than what they cost.
    budget = 10 * seconds / BUDGET_SHARE * 1.001
    model, left, left_out = fit_to_budget(whole, cost, 10, budget)
    settings = model.config.inference
    assert (settings.views, settings.scales, len(model.members)) == (views, scales, n_models)
    assert left.seconds == model.n_passes
    assert 10 * left.seconds <= BUDGET_SHARE * budget
    if said is None:
        assert (left_out, model) == (None, whole)
    else:
        assert said in left_out
        assert left_out.startswith("to fit ")


def test_a_budget_below_a_single_pass_is_refused_with_what_it_needs(tiny_model):
    cost = Cost(views=1, per_view=((9.0,),), first_look=0.0)
    with pytest.raises(
        ConfigError, match="--budget 60 s: a single pass over 10 images takes"
    ) as no:
        fit_to_budget(tiny_model(), cost, 10, 60.0)
    assert str(no.value).endswith("about 2 min")
