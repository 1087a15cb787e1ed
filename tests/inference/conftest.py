"""A tiny random model, and settings that find cells in what it says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cellflow.config import Config, DynamicsConfig, InferenceConfig, NetworkConfig
from cellflow.data.images import write_png
from cellflow.inference.model import Model
from cellflow.network.cpnet import build_network

TINY = Config(
    network=NetworkConfig(channels_per_level=(4, 8), diam_mean=17.0),
    inference=InferenceConfig(tile_size=64, precision="float32"),
    # A random network has flows of no shape; without the check it gives cells to look at.
    dynamics=DynamicsConfig(flow_threshold=0.0, min_size=1),
)


@pytest.fixture
def draw_images(tmp_path, rng):
    """Write so many images of noise; gives their paths."""

    def draw(n):
        paths = [tmp_path / "in ä" / f"i{k}.png" for k in range(n)]
        for path in paths:
            write_png(path, rng.integers(0, 255, (40, 50), np.uint8))
        return paths

    return draw


@pytest.fixture
def tiny_model():
    """Make a model of cells of `training` px, its network and settings of inference changed."""

    def make(*, seed=0, training=17.0, name="network", change=None, **settings):
        config = replace(TINY, inference=replace(TINY.inference, **settings))
        network = build_network(config.network, torch.Generator().manual_seed(seed))
        # Random weights see few cells; a bias makes most of the image one.
        network.output[2].bias.data[2] += 3
        if change is not None:
            change(network)
        return Model.from_network(
            network, config, diameter=training, device=torch.device("cpu"), name=name,
            fingerprint=name,
        )  # fmt: skip

    return make
