"""One model of several passes: views, scales, networks, and the diameter of an image."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cellflow.config import InferenceConfig
from cellflow.errors import ConfigError
from cellflow.inference.cells import CellFinder
from cellflow.inference.diameter import (
    SMALLEST_DIAMETER,
    choose_policy,
    measured_diameter,
)
from cellflow.inference.model import Model
from cellflow.inference.views import VIEWS
from cellflow.network.cell_type_head import CellTypeHead
from cellflow.network.logistic import Logistic


@pytest.fixture
def image(rng):
    return rng.integers(0, 255, (90, 70), np.uint8)


@pytest.mark.parametrize("diameter", [0, 0.5, -5.0, 1e6, float("nan")])
def test_a_diameter_that_no_cell_has_is_refused(tiny_model, image, diameter):
    with pytest.raises(ConfigError, match="diameter: expected 1 to 100000 px, found"):
        tiny_model().predict(image, diameter=diameter)


def test_a_model_is_shown_in_a_line(tiny_model):
    assert repr(tiny_model()) == "<Model network on cpu, diameter 17.0 px>"


@pytest.fixture
def float64_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _is_same_field(first, second):
    return all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("flows", "cellprob", "style")
    )


def test_the_default_dtype_of_the_program_does_not_matter(tiny_model, image, request):
    model = tiny_model()
    expected, state = model.flow_field(image), model.network.state_dict()
    request.getfixturevalue("float64_by_default")
    assert _is_same_field(model.flow_field(image), expected)
    again = tiny_model(change=lambda network: network.load_state_dict(state))
    assert _is_same_field(again.flow_field(image), expected)


def test_the_autocast_of_the_program_does_not_matter(tiny_model, image):
    model = tiny_model()
    expected = model.flow_field(image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert _is_same_field(model.flow_field(image), expected)


def test_without_passes_to_average_there_is_no_spread(tiny_model, image):
    assert tiny_model().flow_field(image).spread is None


@pytest.mark.parametrize("n_views", [2, 4, 8])
def test_views_are_the_mean_of_the_fields_of_turned_images(tiny_model, image, n_views):
    plain, several = tiny_model(), tiny_model(views=n_views)
    field = several.flow_field(image)
    assert several.n_passes == n_views
    flows, cellprobs = [], []
    for view in VIEWS[:n_views]:
        # Turned by numpy, one by one, without the code that is tested.
        turned = image.T if view.diagonal else image
        turned = turned[:: -1 if view.rows else 1, :: -1 if view.columns else 1]
        seen = plain.flow_field(np.ascontiguousarray(turned))
        dy = seen.flows[0] * (-1 if view.rows else 1)
        dx = seen.flows[1] * (-1 if view.columns else 1)
        back = np.stack([dy, dx, seen.cellprob])
        back = back[:, :: -1 if view.rows else 1, :: -1 if view.columns else 1]
        if view.diagonal:
            back = back[[1, 0, 2]].transpose(0, 2, 1)
        flows.append(back[:2])
        cellprobs.append(back[2])
    mean = np.mean(flows, axis=0)
    assert field.flows == pytest.approx(mean, abs=1e-5)
    assert field.cellprob == pytest.approx(np.mean(cellprobs, axis=0), abs=1e-5)
    spread = np.sqrt(((np.array(flows) - mean) ** 2).sum(axis=1).mean(axis=0))
    assert field.spread == pytest.approx(spread, abs=1e-4)


def test_a_pass_reads_no_number_back_from_the_device(tiny_model, image, monkeypatch):
    def waits(tensor):
        raise AssertionError("a GPU would have been waited for")

    model = tiny_model(views=2, scales=(1.0, 1.2))
    for name in ("__float__", "__int__", "__bool__", "item", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, waits)
    pending = model.start(image, "i", None)
    # What is behind the networks neither: the next image may have them by then.
    pending.result()


def test_with_all_views_a_turned_image_has_the_turned_field(tiny_model, image):
    model = tiny_model(views=8, training=12.0)
    field, turned = model.flow_field(image), model.flow_field(image.T.copy())
    assert turned.flows[::-1] == pytest.approx(field.flows.transpose(0, 2, 1), abs=1e-5)


def test_scales_are_seen_larger_and_smaller(tiny_model, image):
    mean = tiny_model(scales=(0.8, 1.25)).flow_field(image)
    fields = [tiny_model().flow_field(image, diameter=17.0 / scale) for scale in (0.8, 1.25)]
    assert mean.flows == pytest.approx((fields[0].flows + fields[1].flows) / 2, abs=1e-5)


def test_networks_see_the_image_each_at_its_own_diameter(tiny_model, image):
    first, second = tiny_model(training=17.0), tiny_model(seed=1, training=25.0, name="other")
    both = Model.joined([first, second])
    fields = [first.flow_field(image), second.flow_field(image)]
    assert both.flow_field(image).flows == pytest.approx(
        (fields[0].flows + fields[1].flows) / 2, abs=1e-5
    )
    assert both.sizes() == (25.0, 17.0)
    # One that is known for the image holds for all.
    fields = [first.flow_field(image, 20.0), second.flow_field(image, 20.0)]
    assert both.flow_field(image, 20.0).flows == pytest.approx(
        (fields[0].flows + fields[1].flows) / 2, abs=1e-5
    )
    assert both.sizes(20.0) == (20.0, 17.0)


def test_a_network_that_knows_no_diameter_takes_that_of_the_others(tiny_model):
    both = Model.joined([tiny_model(training=None), tiny_model(seed=1, training=25.0)])
    assert both.diameter_policy == "training"
    assert [both.diameter_of(member) for member in both.members] == [25.0, 25.0]


def test_fewer_passes_are_the_first_ones(tiny_model):
    both = Model.joined([tiny_model(views=8, scales=(1.0, 1.2)), tiny_model(seed=1)])
    assert both.n_passes == 32
    assert both.with_passes(views=2, n_models=1).n_passes == 4
    assert both.alone().n_passes == 1
    assert both.alone().members == both.members[:1]


@pytest.mark.parametrize(
    ("settings", "training", "policy"),
    [
        ({}, 20.0, "training"),
        ({}, None, "estimated"),
        ({"diameter": 12.0}, 20.0, "fixed"),
        ({"diameter": 12.0}, None, "fixed"),
        ({"diameter_policy": "refined"}, 20.0, "refined"),
        ({"diameter_policy": "estimated"}, 20.0, "estimated"),
    ],
)
def test_the_diameter_is_what_is_given_else_learnt_else_estimated(settings, training, policy):
    assert choose_policy(InferenceConfig(**settings), training) == policy


def test_a_policy_without_its_diameter_is_refused(tiny_model):
    with pytest.raises(ConfigError, match=r"fixed, but inference\.diameter is not given"):
        InferenceConfig(diameter_policy="fixed")
    with pytest.raises(ConfigError, match=r"training, but inference\.diameter is 9\.0"):
        InferenceConfig(diameter_policy="training", diameter=9.0)
    with pytest.raises(ConfigError, match="the model has no training diameter"):
        tiny_model(training=None, diameter_policy="training")


def test_without_cells_the_estimated_diameter_is_where_it_began():
    areas = np.zeros(0, int)
    assert measured_diameter(areas, 17.0, "estimated") == 17.0
    assert measured_diameter(areas, 17.0, "refined") == 17.0
    some = np.array([0, 100, 100])
    assert measured_diameter(some, 17.0, "estimated") == pytest.approx(11.28, abs=0.01)


def test_a_refined_diameter_needs_some_cells_and_stays_near():
    few, many = np.full(4, 400), np.full(5, 400)
    assert measured_diameter(few, 20.0, "refined") == 20.0
    assert measured_diameter(many, 20.0, "refined") == pytest.approx(22.57, abs=0.01)
    assert measured_diameter(np.full(9, 90_000), 20.0, "refined") == 40.0
    assert measured_diameter(np.full(9, 4), 20.0, "refined") == 10.0
    # Specks do not have the image enlarged without end; who asks for less gets it.
    specks = np.full(9, 4)
    assert measured_diameter(specks, 20.0, "estimated") == SMALLEST_DIAMETER
    assert measured_diameter(specks, 8.0, "refined") == SMALLEST_DIAMETER
    assert measured_diameter(specks, 3.0, "estimated") == 3.0
    assert measured_diameter(specks, 3.0, "refined") == 3.0
    # A guess is not trusted so far.
    assert measured_diameter(few, 20.0, "estimated") == pytest.approx(22.57, abs=0.01)


@pytest.mark.parametrize(
    ("settings", "start"),
    [
        ({"diameter_policy": "estimated"}, 17.0),
        ({"diameter_policy": "estimated", "diameter": 9.0}, 9.0),
        ({"diameter_policy": "refined"}, 25.0),
        ({"diameter_policy": "refined", "diameter": 9.0}, 9.0),
    ],
)
def test_the_first_pass_is_one_view_of_one_network_at_the_best_guess(
    tiny_model, image, monkeypatch, settings, start
):
    model = tiny_model(training=25.0, views=8, scales=(1.0, 1.3), **settings)
    model = Model.joined([model, tiny_model(seed=1)])
    looked = []

    def look(self, field, *, diameter, diam_mean, cell_type=None):
        looked.append(diameter)
        assert field.spread is None
        # Six cells of 20 pixels.
        return np.arange(120, dtype=np.int32).reshape(12, 10) // 20 + 1

    monkeypatch.setattr(CellFinder, "find_labels", look)
    assert model.diameter is None
    least = start / 2 if settings["diameter_policy"] == "refined" else 0
    assert model.find_diameter(image) == pytest.approx(max(5.05, least), abs=0.01)
    assert looked == [start]


@pytest.fixture
def typed_model(tiny_model):
    """A model whose head takes every image for astro, of which cells are larger."""

    def make(sure=True, **settings):
        model = tiny_model(**settings)
        n_styles = model.config.network.channels_per_level[-1]
        head = CellTypeHead(
            cell_types=("astro", "cort"),
            logistic=Logistic(weights=np.zeros((2, n_styles)), bias=np.array([3.0, 0.0])),
            threshold=0.6 if sure else 0.99,
        )
        astro = replace(model.config, inference=replace(model.config.inference, diameter=34.0))
        finder = replace(
            model.finder, cell_type_head=head, per_cell_type={"astro": astro, "cort": model.config}
        )
        return replace(model, finder=finder)

    return make


def test_a_cell_type_is_seen_at_its_own_diameter(typed_model, image):
    model = typed_model()
    assert (model.diameter_policy, model.diameter) == ("per_type", None)
    assert model.find_diameter(image) == 34.0
    found = model.predict(image)
    assert found.cell_type == "astro"
    assert (found.labels == model.predict(image, diameter=34.0).labels).all()


def test_where_the_type_is_unsure_the_models_own_diameter_is_taken(typed_model, image):
    assert typed_model(sure=False).find_diameter(image) is None


def test_a_diameter_that_the_user_gives_holds_for_every_type(typed_model):
    model = typed_model(diameter=34.0)
    assert (model.diameter_policy, model.diameter) == ("fixed", 34.0)


def test_diameters_of_types_need_a_model_that_tells_types(tiny_model):
    with pytest.raises(ConfigError, match="per_type, but the model does not predict cell types"):
        tiny_model(diameter_policy="per_type")


def test_an_image_without_contrast_has_an_estimated_diameter(tiny_model):
    model = tiny_model(training=None)
    assert model.find_diameter(np.zeros((40, 40), np.uint8)) == pytest.approx(17.0, rel=2)


def test_a_prediction_that_is_begun_ends_as_the_whole_one(tiny_model, image):
    model = tiny_model(views=2)
    pending = model.start(image, "x", 12.0)
    found = model.predict(image, "x", 12.0)
    assert (pending.result().labels == found.labels).all()
    assert found.labels.max() > 0


def test_the_settings_of_the_first_model_hold_for_all(tiny_model):
    first, second = tiny_model(views=2), tiny_model(seed=1, views=4)
    both = Model.joined([first, second])
    assert both.config == first.config
    assert replace(both, members=both.members[:1]).fingerprint == first.fingerprint


def test_the_style_of_a_small_image_is_that_of_its_flow_field(tiny_model, image):
    model, small = tiny_model(), image[:80]
    np.testing.assert_allclose(model.style_of(small), model.flow_field(small).style, atol=1e-5)


def test_the_style_of_a_large_image_is_told_from_four_tiles_in_its_middle(tiny_model, rng):
    model, large = tiny_model(), rng.random((300, 260), np.float32)
    runner, n_tiles = model.members[0].runner, []
    forward = runner._plain
    runner._plain = lambda tiles: (n_tiles.append(len(tiles)), forward(tiles))[1]
    style = model.style_of(large)
    assert sum(n_tiles) == 4
    # What lies far from the middle is not looked at, if it leaves the contrast as it is.
    other = large.copy()
    other[:40] = rng.permuted(other[:40])
    np.testing.assert_array_equal(model.style_of(other), style)
