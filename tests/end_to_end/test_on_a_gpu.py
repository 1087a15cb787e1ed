"""The main job and the baselines on a GPU, of which a processor cannot tell that they work there.

``pytest -m gpu`` runs these tests; those of two GPUs skip where there is one.
"""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from small_baseline import small_baseline

from cellflow.baselines.baseline_model import load_baseline
from cellflow.baselines.train import train_on_folder
from cellflow.config import Config, NetworkConfig, TrainingConfig
from cellflow.data.images import list_images, read_image
from cellflow.data.outputs import Outputs
from cellflow.inference.folder import predict_folder
from cellflow.inference.predict import load_model
from cellflow.synth.competition import write_competition
from cellflow.training.fine_tune import fine_tune
from cellflow.training.interruption import Preempted

DEVICE = "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
needs_two = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two GPUs")

CONFIG = Config(
    network=NetworkConfig(channels_per_level=(8, 16, 32)),
    training=TrainingConfig(
        n_epochs=2, batch_size=4, crop_size=64, images_per_epoch=16, validate_every=1,
        gradient_clip=1.0, ema_decay=0.9,
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu") / "data"
    write_competition(folder, 6, 0, n_test_images=3)
    return folder


@pytest.fixture(scope="module")
def model(data):
    return fine_tune(data, data.parent / "model", CONFIG, init="scratch", device=DEVICE)


def with_inference(**options):
    return lambda config: replace(config, inference=replace(config.inference, **options))


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "radam"])
def test_a_training_is_stopped_and_goes_on(data, tmp_path, precision, optimizer):
    training = replace(CONFIG.training, precision=precision, optimizer=optimizer)
    given = {"config": replace(CONFIG, training=training), "init": "scratch", "device": DEVICE}
    with pytest.raises(Preempted):
        fine_tune(data, tmp_path / "run", stop_after=1e-9, **given)
    fine_tune(data, tmp_path / "run", **given)
    run = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))["run"]
    assert run["device"].startswith(DEVICE)
    assert run["precision"].startswith(precision)


def test_a_time_budget_is_kept(data, tmp_path):
    training = replace(CONFIG.training, n_epochs=10_000, max_minutes=0.5)
    given = {"config": replace(CONFIG, training=training), "init": "scratch", "device": DEVICE}
    fine_tune(data, tmp_path / "run", **given)
    run = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))["run"]
    assert 15 < run["seconds"] < 36


def test_a_processor_says_the_same_of_an_image_in_all_views(data, model, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    image = read_image(list_images(data / "test")[0])
    change = with_inference(precision="float32", views=8)
    here, there = (
        load_model(model, device=device, change=change).flow_field(image)
        for device in ("cpu", DEVICE)
    )
    for name in ("flows", "cellprob", "style", "spread"):
        one, other = getattr(here, name), getattr(there, name)
        assert np.abs(one - other).max() <= 1e-3 * np.abs(one).max(), name


@pytest.mark.parametrize("compilation", ["none", "graphs", "inductor"])
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_many_images_are_predicted(data, model, tmp_path, compilation, precision):
    images, said = list_images(data / "train"), []
    change = with_inference(compilation=compilation, precision=precision)
    chosen = load_model(model, device=DEVICE, change=change)
    found = predict_folder(chosen, images, Outputs([tmp_path / "s.csv"]), say=said.append)
    assert (found.n_images, found.failures) == (len(images), ())
    if compilation != "none":
        assert [f"was compiled with {compilation}" in line for line in said].count(True) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["mask-rcnn", "cascade-mask-rcnn", "unet"])
def test_baselines_train_and_find(data, tmp_path, kind, precision):
    if kind != "unet" and find_spec("torchvision") is None:
        pytest.skip("the extra [rcnn] is not installed")
    config = small_baseline(kind, precision, crop=128, batch_size=2)
    train_on_folder(kind, train_dir=data, out=tmp_path / "run", config=config, device=DEVICE)
    image = read_image(list_images(data / "test")[0])
    found = load_baseline(tmp_path / "run", DEVICE).predict(image, "image")
    assert found.labels.shape == image.shape[-2:]


@needs_two
def test_the_second_gpu_leaves_the_first_alone(data, model):
    program = (
        "import sys, torch\n"
        "from cellflow.data.images import read_image\n"
        "from cellflow.inference.predict import load_model\n"
        "model = load_model(sys.argv[1], device='cuda:1')\n"
        "print(model.compile_networks())\n"
        "model.predict(read_image(sys.argv[2]))\n"
        "assert torch._C._cuda_hasPrimaryContext(1)\n"
        "assert not torch._C._cuda_hasPrimaryContext(0)\n"
    )
    image = list_images(data / "test")[0]
    subprocess.run([sys.executable, "-c", program, model, image], check=True)


@needs_two
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_two_gpus_train_in_stages(data, tmp_path, precision):
    settings = {
        "training.precision": precision, "training.crop_size": 64, "training.ema_decay": 0.9,
        "training.images_per_epoch": 16, "network.channels_per_level": [8, 16],
    }  # fmt: skip
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            "-m", "cellflow_cli", "train", "--train-dir", data, "--pretrain-dir", data,
            "--out", tmp_path / "run", "--init", "scratch", "--epochs", "2", "--batch-size", "4",
            *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")),
        ],
        capture_output=True, text=True, check=True, timeout=600,
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "run")
    assert "2 processes, the first on cuda:0" in done.stderr
