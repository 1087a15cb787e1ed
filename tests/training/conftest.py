"""Small drawn data sets, and settings under which a run takes seconds."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_discs import disc_entry, write_disc_folder

from cellflow.config import Config, InferenceConfig, NetworkConfig, TrainingConfig
from cellflow.training.fine_tune import fine_tune


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """For all tests here."""


@pytest.fixture
def disc_entries(tmp_path):
    """Make `n` entries of discs: ``disc_entries(3, n_cells=5)``."""

    def make(n, **how):
        rng = np.random.default_rng(1)
        return [disc_entry(tmp_path, f"disc{k}", rng, **how) for k in range(n)]

    return make


@pytest.fixture
def disc_folder(tmp_path):
    """Write a competition folder of discs: ``disc_folder(5)`` gives its path."""

    def make(n, name="data", seed=1, n_cells=9):
        return write_disc_folder(tmp_path / name, n, seed, n_cells)

    return make


@pytest.fixture
def small_config():
    """Settings of a run of seconds; ``small_config(n_epochs=3)`` sets training options."""

    def make(**training):
        chosen = {
            "n_epochs": 2, "batch_size": 2, "crop_size": 32, "validate_every": 2,
            "learning_rate": 0.01, **training,
        }  # fmt: skip
        return replace(
            Config(),
            network=NetworkConfig(channels_per_level=(4, 8), diam_mean=12.0),
            training=TrainingConfig(**chosen),
            inference=InferenceConfig(tile_size=64, precision="float32"),
        )

    return make


@pytest.fixture
def tune(tmp_path, small_config):
    """Train from scratch in ``tmp_path / name``; gives the folder and what was said."""

    def run(data, name="run", *, said=None, **options):
        training = options.pop("training", {})
        config = options.pop("config", small_config(**training))
        say = (said if said is not None else []).append
        given = {"init": "scratch", "device": "cpu", **options}
        return fine_tune(data, tmp_path / name, config, say=say, **given)

    return run
