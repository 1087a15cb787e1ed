"""A model folder is whole, says what it is, and is refused when it is not."""

import json
import subprocess
from functools import partial

import pytest
import torch
from safetensors import SafetensorError

from cellflow.config import Config, DynamicsConfig, NetworkConfig
from cellflow.errors import DataError, ModelError
from cellflow.network import weights_file
from cellflow.network.cpnet import build_network
from cellflow.network.model_folder import commit_of, read_model_folder, write_model_folder

CONFIG = Config(
    network=NetworkConfig(channels_per_level=(4, 8)),
    dynamics=DynamicsConfig(cellprob_threshold=-1.0),
)


@pytest.fixture
def folder(tmp_path):
    network = build_network(CONFIG.network, torch.Generator().manual_seed(0))
    path = tmp_path / "modell ü"
    write_model_folder(path, network, CONFIG, diameter=18.5, record={"seed": 3}, card="# card\n")
    return path


def test_a_folder_holds_everything_that_prediction_needs(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "README.md",
        "cellpose_model",
        "config.json",
        "thresholds.json",
        "weights.safetensors",
    }
    model = read_model_folder(folder)
    assert (model.diameter, model.thresholds.tuned) == (18.5, False)
    assert model.config == CONFIG
    assert model.record["seed"] == 3
    assert model.record["versions"]["torch"]
    assert float(model.load_network().diam_labels) == 18.5


def test_a_full_disk_is_an_error_of_the_file(tmp_path, monkeypatch):
    def full(state, path):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(weights_file, "save_file", full)
    network = build_network(CONFIG.network, torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match=r"cannot write .*weights\.safetensors: I/O error"):
        write_model_folder(tmp_path, network, CONFIG, diameter=18.5, record={}, card="")
    assert list(tmp_path.iterdir()) == []


def test_the_commit_is_that_of_the_repository_that_the_source_belongs_to(tmp_path):
    git = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True, text=True)
    for name in ("ours.py", "installed.py"):
        (tmp_path / name).write_text("")
    assert commit_of(tmp_path / "ours.py") is None
    git(["git", "init", "-q"])
    git(["git", "add", "ours.py"])
    git(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first"])
    head = git(["git", "rev-parse", "HEAD"]).stdout.strip()
    assert commit_of(tmp_path / "ours.py") == head
    assert commit_of(tmp_path / "installed.py") is None


def test_thresholds_come_from_their_own_file_and_change_the_fingerprint(folder):
    before = read_model_folder(folder).fingerprint()
    content = json.loads((folder / "thresholds.json").read_text())
    content["default"]["min_size"] = 99
    (folder / "thresholds.json").write_text(json.dumps(content))
    model = read_model_folder(folder)
    assert model.config.dynamics.min_size == 99
    assert model.fingerprint() != before


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"not a model folder: cannot read config\.json"):
        read_model_folder(tmp_path)


def test_a_newer_format_is_refused(folder):
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(ModelError, match="newer cellflow"):
        read_model_folder(folder)


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", "{}", '{"format": 1, "config": {"x": {}}}', '{"config": 3, "diameter": 17}'),
        *('{"config": {"inference": null}, "diameter": 17}', '{"config": {}, "diameter": "none"}'),
        *('{"config": {}, "diameter": Infinity}', '{"config": {}, "diameter": 0}'),
    ],
)
def test_a_broken_record_is_refused(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match=str(folder)):
        read_model_folder(folder)


def test_missing_and_truncated_weights_are_named(folder):
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(ModelError, match="broken or truncated"):
        read_model_folder(folder).load_network()
    weights.unlink()
    with pytest.raises(ModelError, match=r"weights\.safetensors is missing"):
        read_model_folder(folder).load_network()
