"""The folder of a baseline: what is written is read, and what is broken is told."""

import json
from dataclasses import replace

import pytest
import torch

from cellflow.baselines.baseline_folder import read_baseline_folder, write_baseline_folder
from cellflow.baselines.presets import preset
from cellflow.baselines.settings import UNetSettings
from cellflow.baselines.unet import UNetLearner
from cellflow.errors import ModelError
from cellflow.network.weights_file import load_weights_file, save_weights_file

CONFIG = replace(preset("unet"), unet=UNetSettings(channels_per_level=(4, 8)))
RECORD = {
    "operators": "none of torchvision",
    "versions": {"torch": "2.13.0"},
    "data": {
        "n_train": 2, "n_cells": 9, "sha256": "ab", "densest": 5, "n_validation": 0,
    },
    "initial_weights": "random",
    "run": {
        "n_steps": 3, "seconds": 60.0, "device": "cpu", "precision": "float32", "kept": "last",
        "kept_step": 3, "seed": 1,
    },
    "score": None,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    network = UNetLearner(CONFIG).network
    write_baseline_folder(
        tmp_path / "run", network, model="unet", classes=("cort",), config=CONFIG, record=RECORD
    )
    return tmp_path / "run"


def change(folder, **what):
    path = folder / "baseline.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **what}))


def test_what_is_written_is_read(folder):
    read = read_baseline_folder(folder)
    assert (read.model, read.classes, read.config) == ("unet", ("cort",), CONFIG)
    network, other = (
        UNetLearner(CONFIG).network,
        UNetLearner(replace(CONFIG, training=replace(CONFIG.training, seed=9))).network,
    )
    load_weights_file(folder / "weights.safetensors", other, "baseline.json")
    for name, tensor in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def test_the_card_says_what_it_is_and_that_no_score_is_known(folder):
    card = (folder / "README.md").read_text()
    assert "semantic U-Net" in card
    assert "no honest score" in card
    assert "- **Operators**: none of torchvision" in card


def test_the_card_says_whether_the_score_was_selected(tmp_path):
    overall = {"mean": 0.3, "low": 0.2, "high": 0.4}
    for kept, words in (("last", "nothing was chosen"), ("best", "selected on these images")):
        record = {**RECORD, "score": {"overall": overall}, "run": {**RECORD["run"], "kept": kept}}
        write_baseline_folder(
            tmp_path, UNetLearner(CONFIG).network, model="unet", classes=("cort",), config=CONFIG,
            record=record,
        )  # fmt: skip
        card = (tmp_path / "README.md").read_text()
        assert "0.300 [0.200, 0.400]" in card
        assert words in card


@pytest.mark.parametrize(
    ("change_of", "words"),
    [
        ({"format": 99}, "written by a newer cellflow"),
        ({"config": {"unet": {"depth": 3}}}, "unknown setting unet.depth"),
        ({"classes": 3}, "is broken"),
    ],
)
def test_a_broken_record_is_told(folder, change_of, words):
    change(folder, **change_of)
    with pytest.raises(ModelError, match=words):
        read_baseline_folder(folder)


def test_missing_truncated_and_foreign_weights_are_told(folder):
    weights, network = folder / "weights.safetensors", UNetLearner(CONFIG).network
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match="broken or truncated"):
        load_weights_file(weights, network, "baseline.json")
    weights.unlink()
    with pytest.raises(ModelError, match="is missing"):
        load_weights_file(weights, network, "baseline.json")
    save_weights_file(weights, torch.nn.Linear(2, 2))
    with pytest.raises(ModelError, match=r"do not fit baseline\.json"):
        load_weights_file(weights, network, "baseline.json")
