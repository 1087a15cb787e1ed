"""A model's flow fields and cells: shapes, edges, precision, and agreement with Cellpose."""

import socket

import numpy as np
import pytest
import torch

from cellflow.config import Config, DynamicsConfig, InferenceConfig, NetworkConfig
from cellflow.errors import ModelError
from cellflow.inference import cells
from cellflow.inference.cells import CellFinder
from cellflow.inference.predict import Model, default_model, load_model, load_models
from cellflow.network.cell_type_head import CellTypeHead
from cellflow.network.cpnet import FLOW_SCALE, PRETRAINED, build_network, save_cellpose_file
from cellflow.network.logistic import Logistic
from cellflow.network.model_folder import write_model_folder
from cellflow.training.initial import initial_weights

TINY = Config(
    network=NetworkConfig(channels_per_level=(4, 8), diam_mean=17.0),
    inference=InferenceConfig(tile_size=64, precision="float32"),
    # A random network has flows of no shape; without the check it gives cells to look at.
    dynamics=DynamicsConfig(flow_threshold=0.0),
)
CPU = torch.device("cpu")


def random_network(config=TINY, seed=0):
    return build_network(config.network, torch.Generator().manual_seed(seed))


@pytest.fixture
def model():
    return Model.from_network(random_network(), TINY, diameter=17.0, device=CPU)


@pytest.mark.parametrize("shape", [(1, 1), (40, 33), (64, 64), (130, 200), (3, 50, 70)])
@pytest.mark.parametrize("diameter", [8.0, 17.0, 30.0])
def test_the_field_has_the_images_own_size(model, rng, shape, diameter):
    image = rng.integers(0, 255, shape, np.uint8)
    field = model.flow_field(image, diameter)
    assert field.flows.shape == (2, *shape[-2:])
    assert field.cellprob.shape == shape[-2:]
    # A single pixel shows nothing.
    assert np.linalg.norm(field.style) == pytest.approx(float(shape != (1, 1)), abs=1e-4)
    assert np.isfinite(field.flows).all()


@pytest.mark.parametrize("level", [0, 137])
def test_an_image_that_shows_nothing_has_no_style_and_no_type(level):
    head = CellTypeHead(
        cell_types=("astro", "cort"),
        logistic=Logistic(weights=np.zeros((2, 8)), bias=np.array([5.0, 0.0])),
        threshold=0.6,
    )
    finder = CellFinder(config=TINY, cell_type_head=head)
    model = Model.from_network(random_network(), finder, diameter=17.0, device=CPU)
    blank = np.full((70, 80), level, np.uint8)
    found = model.predict(blank)
    assert (found.cell_type, found.cell_type_probability) == (None, None)
    blank[:, :40] += 50
    assert model.predict(blank).cell_type == "astro"


def test_a_prediction_has_a_score_in_0_to_1_for_every_cell(model, rng):
    found = model.predict(rng.integers(0, 255, (90, 80), np.uint8), "x")
    assert found.name == "x"
    assert len(found.scores) == found.labels.max()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()


def test_equal_images_give_equal_cells_whatever_the_batch(rng):
    image = rng.integers(0, 255, (150, 150), np.uint8)
    fields = [
        Model.from_network(
            random_network(),
            Config(
                network=TINY.network,
                inference=InferenceConfig(tile_size=64, batch_size=n, precision="float32"),
            ),
            diameter=17.0,
            device=CPU,
        ).flow_field(image)
        for n in (1, 7)
    ]
    assert fields[0].flows == pytest.approx(fields[1].flows, abs=1e-5)


def test_bfloat16_gives_almost_the_same_field(rng):
    image = rng.integers(0, 255, (96, 96), np.uint8)
    both = []
    for precision in ("float32", "bfloat16"):
        config = Config(network=TINY.network, inference=InferenceConfig(precision=precision))
        model = Model.from_network(random_network(), config, diameter=17.0, device=CPU)
        both.append(model.flow_field(image))
    correlation = np.corrcoef(both[0].flows.ravel(), both[1].flows.ravel())[0, 1]
    assert correlation > 0.999


def test_a_folder_predicts_without_any_network_access(tmp_path, rng, monkeypatch):
    write_model_folder(tmp_path / "m", random_network(), TINY, diameter=17.0, record={}, card="")

    def refuse(*_):
        raise AssertionError("network access")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    image = rng.integers(0, 255, (60, 60), np.uint8)
    found = load_model(tmp_path / "m", device="cpu").predict(image)
    direct = Model.from_network(random_network(), TINY, diameter=17.0, device=CPU).predict(image)
    assert (found.labels == direct.labels).all()


def test_a_plain_cellpose_file_predicts_at_its_own_diameter(tmp_path):
    network = random_network()
    network.diam_labels.data.fill_(21.0)
    save_cellpose_file(network, tmp_path / "cp")
    model = load_model(tmp_path / "cp", device="cpu")
    assert (model.diameter, model.members[0].diam_mean) == (21.0, 17.0)


def test_another_file_of_the_same_name_is_another_model(tmp_path):
    path = tmp_path / "mine"
    prints = []
    for seed in (0, 1):
        save_cellpose_file(random_network(seed=seed), path)
        prints.append(load_model(path, device="cpu").fingerprint)
    assert prints[0] != prints[1]


@pytest.mark.parametrize(("name", "diameter"), [("nuclei", 17.0), ("cyto3", 30.0)])
def test_pretrained_weights_see_cells_at_the_diameter_that_cellpose_takes(
    tmp_path, monkeypatch, name, diameter
):
    save_cellpose_file(random_network(), tmp_path / PRETRAINED[name])
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    model = load_model(name, device="cpu")
    assert (model.members[0].diam_mean, model.diameter) == (diameter, None)
    weights = initial_weights(name, NetworkConfig(), seed=0)
    assert weights.network_config(NetworkConfig()).diam_mean == diameter


def test_a_model_that_is_nowhere_is_refused(tmp_path):
    with pytest.raises(ModelError, match="expected a model folder, a Cellpose 3 file or one of"):
        load_model(tmp_path / "none", device="cpu")


def test_the_default_is_the_variable_then_the_newest_run(tmp_path, monkeypatch):
    monkeypatch.delenv("CELLFLOW_MODEL", raising=False)
    with pytest.raises(ModelError, match="set CELLFLOW_MODEL, or train one first"):
        default_model(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    import os

    os.utime(tmp_path / "a" / "config.json", (2e9, 2e9))
    assert default_model(tmp_path) == tmp_path / "a"
    monkeypatch.setenv("CELLFLOW_MODEL", "elsewhere")
    assert str(default_model(tmp_path)) == "elsewhere"


def test_several_models_are_averaged_and_the_same_one_twice_is_refused(tmp_path, rng):
    paths = [tmp_path / name for name in ("a", "b")]
    for seed, path in enumerate(paths):
        write_model_folder(
            path, random_network(seed=seed), TINY, diameter=17.0 + seed, record={}, card=""
        )
    image = rng.integers(0, 255, (60, 60), np.uint8)
    both = load_models(paths, device="cpu")
    assert both.name == f"{paths[0]} + {paths[1]}"
    assert [member.diameter for member in both.members] == [17.0, 18.0]
    alone = [load_model(path, device="cpu") for path in paths]
    fields = [model.flow_field(image) for model in alone]
    mean = both.flow_field(image)
    assert mean.flows == pytest.approx((fields[0].flows + fields[1].flows) / 2, abs=1e-5)
    assert mean.style == pytest.approx(fields[0].style, abs=1e-5)
    prints = {model.fingerprint for model in (*alone, both)}
    assert len(prints) == 3
    with pytest.raises(ModelError, match="are the same model"):
        load_models([paths[0], paths[0]], device="cpu")
    assert load_models(paths[1:], device="cpu").fingerprint == alone[1].fingerprint


@pytest.mark.reference
def test_cellpose_makes_the_same_field_and_follows_it_as_far(tmp_path, rng, monkeypatch):
    dynamics = pytest.importorskip("cellpose.dynamics")
    models = pytest.importorskip("cellpose.models")
    network = build_network(NetworkConfig(diam_mean=17.0), torch.Generator().manual_seed(0))
    # Random weights see no cells; a bias makes everything one.
    network.output[2].bias.data[2] += 3
    save_cellpose_file(network, tmp_path / "m")
    image = (rng.random((9, 12)) * 255).repeat(9, axis=0).repeat(9, axis=1).astype(np.uint8)
    config = Config(
        network=NetworkConfig(diam_mean=17.0), inference=InferenceConfig(precision="float32")
    )
    ours = Model.from_network(network, config, diameter=21.0, device=CPU)
    theirs = models.CellposeModel(gpu=False, pretrained_model=str(tmp_path / "m"))
    told = []
    # Random flows magnify rounding to other cells: what both follow, and how far, is compared.
    monkeypatch.setattr(dynamics, "compute_masks", _note(told))
    monkeypatch.setattr(cells, "flows_to_labels", _note(told))
    _, flows, _ = theirs.eval(image, channels=[0, 0], diameter=21.0)
    field = ours.flow_field(image, 21.0)
    ours.cells_of(field, 21.0)
    assert field.flows * FLOW_SCALE == pytest.approx(flows[1], abs=1e-4)
    assert field.cellprob == pytest.approx(flows[2], abs=1e-4)
    assert int(told[0]["niter"]) == told[1]["n_steps"] == 247
    for threshold in ("cellprob_threshold", "flow_threshold"):
        assert told[0][threshold] == told[1][threshold]


def _note(told):
    def follow(flows, cellprob, **settings):
        told.append(settings)
        return np.zeros(cellprob.shape, np.int32)

    return follow
