"""How long a step will take is measured, in smaller batches where memory is short."""

import pytest
import torch

from cellflow.config import Config, NetworkConfig, TrainingConfig
from cellflow.errors import ModelError
from cellflow.network.devices import DeviceChoice
from cellflow.training import rehearsal
from cellflow.training.rehearsal import measure_step

SMALL = Config(
    network=NetworkConfig(channels_per_level=(4, 8), diam_mean=12.0),
    training=TrainingConfig(crop_size=32, batch_size=8),
)


@pytest.fixture
def gpu(monkeypatch):
    """A device that is no processor; what is measured on it is made up."""
    chosen = DeviceChoice(device=torch.device("meta"), reason="pretended")
    monkeypatch.setattr(rehearsal, "choose_device", lambda device: chosen)


def test_a_step_on_a_processor_is_timed():
    assert 0 < measure_step(SMALL, "cpu") < 60


def test_as_many_crops_are_timed_as_memory_holds(gpu, monkeypatch):
    tried = []

    def measure(config, device, n_crops):
        tried.append(n_crops)
        if n_crops > 2:
            raise torch.OutOfMemoryError
        return 3.0

    monkeypatch.setattr(rehearsal, "_measure", measure)
    assert measure_step(SMALL) == 3.0 * 8 / 2
    assert tried == [8, 4, 2]


def test_too_little_memory_for_a_crop_is_one_sentence(gpu, monkeypatch):
    def measure(config, device, n_crops):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(rehearsal, "_measure", measure)
    with pytest.raises(ModelError, match=r"memory for one crop of 32 px; .* \(OutOfMemoryError\)"):
        measure_step(SMALL)
