"""The weights to start from."""

from dataclasses import replace

import pytest
import torch

from cellflow.config import NetworkConfig
from cellflow.errors import ConfigError, ModelError
from cellflow.network.cpnet import save_cellpose_file
from cellflow.training.initial import initial_weights

SMALL = NetworkConfig(channels_per_level=(4, 8), diam_mean=20.0)


def test_scratch_depends_on_the_seed_alone():
    torch.manual_seed(3)
    first = initial_weights("scratch", SMALL, 1).network.state_dict()
    torch.manual_seed(4)
    same = initial_weights("scratch", SMALL, 1).network.state_dict()
    other = initial_weights("scratch", SMALL, 2).network.state_dict()
    name = "output.2.weight"
    assert torch.equal(first[name], same[name])
    assert not torch.equal(first[name], other[name])


def test_pretrained_weights_bring_their_terms_and_sizes(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    made = initial_weights("scratch", SMALL, 1)
    assert made.terms is None
    save_cellpose_file(made.network, tmp_path / "cyto3")
    found = initial_weights("cyto3", NetworkConfig(), 0)
    assert "non-commercial" in found.terms
    real = replace(SMALL, diam_mean=30.0)
    assert found.network_config(NetworkConfig()) == real
    assert found.network_config(real) == real
    with pytest.raises(ConfigError, match="weights of cyto3 have"):
        found.network_config(NetworkConfig(channels_per_level=(8, 8)))


def test_an_unknown_name_lists_what_is_known():
    with pytest.raises(ModelError, match=r"expected scratch, cyto3, .* or a model folder"):
        initial_weights("cito3", NetworkConfig(), 0)
