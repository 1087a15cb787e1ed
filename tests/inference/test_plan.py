"""What is said and left out before the first image."""

import weakref

import numpy as np
import pytest
import tifffile

from cellflow.data.outputs import Outputs
from cellflow.errors import ConfigError
from cellflow.inference.cost import Cost
from cellflow.inference.folder import predict_folder
from cellflow.inference.model import Model
from cellflow.inference.plan import plan_prediction


@pytest.fixture
def images(draw_images):
    return draw_images(4)


@pytest.fixture
def pass_takes(monkeypatch):
    """Set the seconds of a pass over an image."""

    def set_seconds(seconds):
        def measure(model, shapes):
            settings = model.config.inference
            per_view = ((seconds,) * len(settings.scales),) * len(model.members)
            return Cost(views=settings.views, per_view=per_view, first_look=0.0)

        monkeypatch.setattr("cellflow.inference.plan.measure_cost", measure)
        monkeypatch.setattr(Cost, "with_cells", lambda self, model, image: self)

    return set_seconds


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.5, None), (5, "20 s"), (100, "7 min"), (3000, "3.3 h")]
)
def test_long_work_is_told(tiny_model, images, pass_takes, seconds, told):
    said = []
    pass_takes(seconds)
    plan_prediction(tiny_model(), images, None, say=said.append)
    assert said == [f"4 images, about {told}"] * (told is not None)


@pytest.mark.parametrize(
    ("diameter", "told"),
    [
        (
            2,
            "diameter 2 px enlarges the images 8-fold in height and width, to 72 times the pixels, "
            "time and memory; is it in pixels of the images?",
        ),
        (5, None),
        (None, None),
    ],
)
def test_a_diameter_below_any_that_is_measured_is_told(
    tiny_model, images, pass_takes, diameter, told
):
    said = []
    pass_takes(0.01)
    plan_prediction(tiny_model(training=4.0, diameter=diameter), images, None, say=said.append)
    assert said == [told] * (told is not None)


def test_what_multiplies_the_work_is_always_told(tiny_model, images, pass_takes):
    said = []
    pass_takes(0.01)
    both = Model.joined([tiny_model(views=8, scales=(1.0, 1.2)), tiny_model(seed=1)])
    plan_prediction(both, images, None, say=said.append)
    assert said == ["4 images, 32 passes (2 models, 8 views, 2 scales) each, about 1 s"]


def test_a_budget_leaves_out_passes_and_says_which(tiny_model, images, pass_takes):
    said = []
    pass_takes(100)
    model = plan_prediction(tiny_model(views=8), images, None, budget=1000, say=said.append)
    assert model.n_passes == 2
    assert said == [
        "to fit 17 min only 2 of 8 views will be used",
        "4 images, 2 passes (2 views) each, about 13 min",
    ]


def test_a_budget_that_is_too_small_is_refused_before_anything_is_written(
    tmp_path, tiny_model, images, pass_takes
):
    pass_takes(100)
    with pytest.raises(ConfigError, match="a single pass over 4 images takes about 7 min"):
        predict_folder(tiny_model(), images, Outputs([tmp_path / "s.csv"]), budget=60)
    assert [path.name for path in tmp_path.iterdir()] == ["in ä"]


def test_an_interrupted_run_with_a_budget_goes_on_with_what_it_began_with(
    tmp_path, tiny_model, images, pass_takes
):
    def stop(step, numbers):
        raise KeyboardInterrupt

    pass_takes(100)
    model, out, said = tiny_model(views=8), tmp_path / "s.csv", []
    with pytest.raises(KeyboardInterrupt):
        predict_folder(model, images, Outputs([out]), budget=1000, report=stop)
    # The machine is faster now, but four views would be another prediction.
    pass_takes(50)
    result = predict_folder(model, images, Outputs([out]), budget=1000, say=said.append)
    assert result.n_resumed == 1
    assert said == [
        "continuing with the original 2 passes (2 views)",
        "3 images, 2 passes (2 views) each, about 5 min",
    ]
    predict_folder(tiny_model(views=2), images, Outputs([tmp_path / "two.csv"]))
    assert out.read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_an_image_that_no_network_takes_does_not_stop_the_plan_of_a_budget(
    tmp_path, tiny_model, images
):
    broken = images[0].parent / "a.tif"
    tifffile.imwrite(broken, np.full((40, 50), np.nan, np.float32))
    result = predict_folder(
        tiny_model(), [broken, *images], Outputs([tmp_path / "s.csv"]), budget=1e6
    )
    assert result.n_images == 4
    assert "NaN" in result.failures[0]


def test_one_image_at_a_time_is_read_for_the_plan(tiny_model, images, pass_takes, monkeypatch):
    alive = []

    def read(path):
        assert not [one for one in alive if one() is not None]
        picture = np.zeros((40, 50), np.uint8)
        alive.append(weakref.ref(picture))
        return picture

    pass_takes(0.01)
    monkeypatch.setattr("cellflow.inference.plan.read_image", read)
    plan_prediction(tiny_model(), images, None, budget=1000)
    assert len(alive) > 1


def test_unreadable_images_do_not_stop_the_plan(tiny_model, images, pass_takes):
    said = []
    pass_takes(100)
    images[0].write_bytes(b"")
    plan_prediction(tiny_model(), images, None, say=said.append)
    assert said == ["4 images, about 7 min"]
    for path in images:
        path.write_bytes(b"")
    plan_prediction(tiny_model(), images, None, say=said.append)
    assert len(said) == 1
