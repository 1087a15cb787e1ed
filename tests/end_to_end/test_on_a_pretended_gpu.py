"""The main job and the baselines keep their tensors on the GPU, and do not wait for it needlessly.

Told by GPUs that are only pretended, on every machine; `test_on_a_gpu` has the rest.
"""

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from drawn_discs import write_disc_folder
from pretended_gpu import CAPABILITIES, pretended_gpu
from small_baseline import small_baseline

from cellflow.baselines.baseline_model import load_baseline
from cellflow.baselines.train import train_on_folder
from cellflow.config import Config, InferenceConfig, NetworkConfig, TrainingConfig
from cellflow.data.images import list_images, read_image
from cellflow.data.outputs import Outputs
from cellflow.doctor import machine_report
from cellflow.inference.folder import predict_folder
from cellflow.inference.model import Model
from cellflow.inference.predict import load_model
from cellflow.network.cpnet import build_network
from cellflow.network.devices import choose_device
from cellflow.network.precision import choose_precision
from cellflow.training import loop
from cellflow.training.fine_tune import fine_tune
from cellflow.training.interruption import Preempted

CONFIG = Config(
    network=NetworkConfig(channels_per_level=(4, 8), diam_mean=12.0),
    inference=InferenceConfig(tile_size=64, precision="float32"),
)


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """For all tests here."""


@pytest.fixture
def data(tmp_path):
    return write_disc_folder(tmp_path / "data", 4)


@pytest.fixture
def image(data):
    return read_image(list_images(data / "train")[0])


def model_on(device, **options):
    network = build_network(CONFIG.network, torch.Generator().manual_seed(0))
    config = replace(CONFIG, inference=replace(CONFIG.inference, **options))
    return Model.from_network(network, config, diameter=10.0, device=torch.device(device))


def test_a_pretended_gpu_refuses_what_a_real_one_does():
    with pretended_gpu(count=2) as gpus:
        here, there = torch.ones(2), torch.ones(2, device="cuda")
        other = torch.ones(2, device="cuda:1")
        for one in (here, other):
            with pytest.raises(RuntimeError, match="add: tensors on GPUs"):
                there + one
        with pytest.raises(TypeError, match="can't convert cuda:0"):
            there.numpy()
        assert not gpus.waits
        here.pin_memory().to("cuda", non_blocking=True)
        assert not gpus.waits
        assert float(there.sum()) == 2
        here.to("cuda", non_blocking=True)
        assert len(gpus.waits) == 2


@pytest.mark.parametrize("kind", CAPABILITIES)
def test_each_kind_computes_in_what_it_is_quick_at(kind):
    quick = {"P100": torch.float32, "V100": torch.float16, "T4": torch.float16}
    with pretended_gpu(kind, count=2):
        chosen = choose_device("cuda:1")
        expected = quick.get(kind, torch.bfloat16)
        assert choose_precision("auto", chosen.device).dtype is expected
        assert machine_report()["cuda:1"] == f"{kind}, 16 GiB"


@pytest.mark.parametrize(
    ("optimizer", "precision"),
    [("adamw", "bfloat16"), ("adamw", "float16"), ("sgd", "float32"), ("radam", "float16")],
)
def test_a_training_is_stopped_and_goes_on(data, tmp_path, optimizer, precision):
    training = TrainingConfig(
        n_epochs=1, batch_size=2, crop_size=32, validate_every=1, gradient_clip=1.0,
        ema_decay=0.9, precision=precision, optimizer=optimizer,
    )  # fmt: skip
    given = {"config": replace(CONFIG, training=training), "init": "scratch", "device": "cuda"}
    with pretended_gpu():
        with pytest.raises(Preempted):
            fine_tune(data, tmp_path / "run", stop_after=1e-9, **given)
        fine_tune(data, tmp_path / "run", **given)
        load_model(tmp_path / "run", device="cuda")
    run = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))["run"]
    assert run["device"] == "cuda:0 (A100)"
    assert run["precision"].startswith(precision)


@pytest.mark.parametrize("kind", ["A100", "T4"])
def test_a_step_of_training_does_not_wait_for_the_gpu(data, tmp_path, monkeypatch, kind):
    """But for the loss, which is read about once a second."""
    waits, do_step = [], loop.training_step

    def observed_step(run, batch):
        gpus.waits.clear()
        losses = do_step(run, batch)
        waits.append(list(gpus.waits))
        return losses

    monkeypatch.setattr(loop, "training_step", observed_step)
    training = TrainingConfig(
        n_epochs=1, batch_size=4, crop_size=32, validation_share=0, gradient_clip=1.0,
        ema_decay=0.9, images_per_epoch=8, precision="auto",
    )  # fmt: skip
    with pretended_gpu(kind) as gpus:
        config = replace(CONFIG, training=training)
        fine_tune(data, tmp_path / "run", config, init="scratch", device="cuda")
    assert waits == [[], []]


def test_an_image_in_many_passes_is_waited_for_once(image):
    options = {"views": 8, "scales": (1.0, 1.25)}
    there = model_on("cpu", **options).flow_field(image)
    with pretended_gpu() as gpus:
        model = model_on("cuda:0", **options)
        gpus.waits.clear()
        here = model.flow_field(image)
        assert len(gpus.waits) == 1
        assert "synchronize" in gpus.waits[0]
    for name in ("flows", "cellprob", "style", "spread"):
        one, other = getattr(here, name), getattr(there, name)
        assert np.abs(one - other).max() <= 1e-3 * np.abs(other).max(), name


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_recorded_graphs_are_used_on_the_second_of_two_gpus(data, tmp_path, precision):
    images, said = list_images(data / "train"), []
    with pretended_gpu(count=2) as gpus:
        model = model_on("cuda:1", precision=precision)
        found = predict_folder(model, images, Outputs([tmp_path / "s.csv"]), say=said.append)
        assert gpus.current == 0
        assert model.members[0].runner._compiled is not None, said
    assert (found.n_images, found.failures) == (len(images), ())


@pytest.mark.parametrize(
    ("kind", "precision"),
    [("mask-rcnn", "float32"), ("cascade-mask-rcnn", "bfloat16"), ("unet", "bfloat16")],
)
def test_baselines_train_and_find(data, image, tmp_path, kind, precision):
    if kind != "unet" and find_spec("torchvision") is None:
        pytest.skip("the extra [rcnn] is not installed")
    config = small_baseline(kind, precision, crop=64, batch_size=1)
    with pretended_gpu():
        train_on_folder(kind, train_dir=data, out=tmp_path / "run", config=config, device="cuda")
        found = load_baseline(tmp_path / "run", "cuda").predict(image, "image")
    assert found.labels.shape == image.shape[-2:]
