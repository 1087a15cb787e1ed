"""Learning rates: Cellpose's by parity, the cosine by its shape."""

import numpy as np
import pytest
import torch

from cellflow.config import TrainingConfig
from cellflow.training.schedule import choose_schedule, learning_rates


def cellpose_rates(n_epochs, peak):
    """What cellpose/train.py 3.1 does, by its description: 10 up, flat, 10 halvings at the end."""
    rates = list(np.linspace(0, peak, 10)) + [peak] * max(0, n_epochs - 10)
    tail, every = (100, 10) if n_epochs > 300 else (50, 5) if n_epochs > 100 else (0, 0)
    if tail:
        rates = rates[:-tail]
        for _ in range(10):
            rates += [rates[-1] / 2] * every
    return np.array(rates)[:n_epochs]


@pytest.mark.parametrize("n_epochs", [1, 5, 9, 10, 11, 50, 100, 101, 150, 200, 300, 301, 500, 2000])
def test_the_cellpose_schedule_is_cellposes(n_epochs):
    config = TrainingConfig(schedule="cellpose", learning_rate=0.005)
    rates = learning_rates(config, n_epochs)
    np.testing.assert_allclose(rates, cellpose_rates(n_epochs, 0.005), rtol=1e-12)


@pytest.mark.reference
@pytest.mark.parametrize("n_epochs", [4, 12, 120, 320])
def test_the_cellpose_schedule_is_what_cellposes_trainer_sets(n_epochs, monkeypatch, tmp_path):
    from cellpose import train

    seen = []

    class Recorder(torch.optim.AdamW):
        def step(self, *args, **kwargs):
            seen.append(self.param_groups[0]["lr"])

    monkeypatch.setattr(train.torch.optim, "AdamW", Recorder)
    monkeypatch.setattr(train.dynamics, "labels_to_flows", _four_channels)
    labels = np.arange(1, 17).reshape(4, 4).repeat(8, 0).repeat(8, 1)
    image = np.random.default_rng(0).random((2, 32, 32)).astype(np.float32)
    train.train_seg(
        OnePixelNetwork(), train_data=[image], train_labels=[labels], n_epochs=n_epochs, bsize=16,
        normalize=False, save_path=tmp_path, learning_rate=0.005,
    )  # fmt: skip
    config = TrainingConfig(schedule="cellpose", learning_rate=0.005)
    np.testing.assert_allclose(learning_rates(config, n_epochs), seen, rtol=1e-9)


class OnePixelNetwork(torch.nn.Module):
    """As much of Cellpose's network as its trainer touches."""

    device = torch.device("cpu")

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(2, 3, 1)
        self.diam_mean = self.diam_labels = torch.nn.Parameter(torch.tensor([30.0]))

    def forward(self, x):
        return (self.convolution(x),)

    def save_model(self, path):
        pass


def _four_channels(labels, files=None, device=None):
    return [np.stack([x, x > 0, 0 * x, 0 * x]).astype(np.float32) for x in labels]


def test_auto_takes_the_cosine_where_cellposes_schedule_would_never_anneal():
    assert choose_schedule(TrainingConfig(), 100) == "cosine"
    assert choose_schedule(TrainingConfig(), 101) == "cellpose"
    assert choose_schedule(TrainingConfig(max_minutes=5.0), 500) == "cosine"
    assert choose_schedule(TrainingConfig(schedule="cellpose"), 5) == "cellpose"


@pytest.mark.parametrize("n_epochs", [1, 2, 7, 10, 60, 100])
def test_the_cosine_rises_then_falls_to_a_hundredth(n_epochs):
    rates = learning_rates(TrainingConfig(schedule="cosine", learning_rate=1.0), n_epochs)
    assert rates.shape == (n_epochs,)
    assert (rates > 0).all()
    top = int(rates.argmax())
    assert rates[top] == 1.0
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    if n_epochs > 1:
        assert rates[-1] == pytest.approx(0.01)


def test_no_warm_up_starts_at_the_peak():
    config = TrainingConfig(warmup_epochs=0, schedule="cellpose", learning_rate=0.2)
    np.testing.assert_array_equal(learning_rates(config, 3), [0.2, 0.2, 0.2])
