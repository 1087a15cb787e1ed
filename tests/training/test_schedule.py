"""Learning rates: Cellpose's and PyTorch's by parity, the others by their shape."""

import numpy as np
import pytest
import torch

from cellflow.config import TrainingConfig
from cellflow.training.schedule import choose_rate, choose_schedule, learning_rates


def rates_of(config, n_epochs, n_steps=1):
    return learning_rates(config, n_epochs, n_steps, np.arange(n_epochs * n_steps))


def cellpose_rates(n_epochs, peak):
    """What cellpose/train.py 3.1 does, by its description: 10 up, flat, 10 halvings at the end."""
    rates = list(np.linspace(0, peak, 10)) + [peak] * max(0, n_epochs - 10)
    tail, every = (100, 10) if n_epochs > 300 else (50, 5) if n_epochs > 100 else (0, 0)
    if tail:
        rates = rates[:-tail]
        for _ in range(10):
            rates += [rates[-1] / 2] * every
    return np.array(rates)[:n_epochs]


def test_the_rate_is_what_is_asked_for_else_what_the_start_calls_for():
    assert choose_rate(TrainingConfig()) == 0.005
    assert choose_rate(TrainingConfig(), is_trained=True) == 0.001
    assert choose_rate(TrainingConfig(learning_rate=0.3), is_trained=True) == 0.3
    assert max(rates_of(TrainingConfig(schedule="cellpose"), 20)) == 0.005


@pytest.mark.parametrize("n_epochs", [2, 5, 9, 10, 11, 50, 100, 101, 150, 200, 300, 301, 500, 2000])
def test_the_cellpose_schedule_is_cellposes(n_epochs):
    config = TrainingConfig(schedule="cellpose", learning_rate=0.005)
    rates = rates_of(config, n_epochs)
    np.testing.assert_allclose(rates, cellpose_rates(n_epochs, 0.005), rtol=1e-12)


@pytest.mark.parametrize("warmup_epochs", [0, 1, 10])
def test_a_single_epoch_trains_where_cellposes_first_has_no_rate(warmup_epochs):
    config = TrainingConfig(schedule="cellpose", warmup_epochs=warmup_epochs, learning_rate=0.005)
    rates = rates_of(config, 1, 20)
    assert (rates > 0).all()
    assert rates[-1] == 0.005


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
    np.testing.assert_allclose(rates_of(config, n_epochs), seen, rtol=1e-9)


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
    rates = rates_of(TrainingConfig(schedule="cosine", learning_rate=1.0), n_epochs)
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
    np.testing.assert_array_equal(rates_of(config, 3), [0.2, 0.2, 0.2])


def test_cellposes_rate_holds_through_an_epoch_and_the_cosine_falls_at_each_step():
    config = TrainingConfig(schedule="cellpose")
    np.testing.assert_array_equal(rates_of(config, 12, 3), np.repeat(rates_of(config, 12), 3))
    cosine = rates_of(TrainingConfig(schedule="cosine"), 12, 3)
    np.testing.assert_allclose(cosine, rates_of(TrainingConfig(schedule="cosine"), 36))
    assert len(set(cosine)) == 36


def test_the_seed_reports_steps_fall_by_a_fifth_at_each_thousand_from_two_thousand_on():
    config = TrainingConfig(schedule="step", learning_rate=5e-4, warmup_epochs=0)
    rates = rates_of(config, 1, 10_000)
    drops = np.flatnonzero(np.diff(rates)) + 1
    assert drops.tolist() == list(range(2000, 10_000, 1000))
    np.testing.assert_allclose(rates[[0, 1999, 2000, 3000, 9999]] / 5e-4, [1, 1, 0.8, 0.64, 0.8**8])


def test_steps_rise_first_over_at_most_a_tenth_of_the_run():
    rates = rates_of(TrainingConfig(schedule="step", learning_rate=1.0, warmup_epochs=2), 40, 5)
    np.testing.assert_allclose(rates[:12], [*(np.arange(1, 11) / 11), 1, 1])
    short = rates_of(TrainingConfig(schedule="step", learning_rate=1.0, warmup_epochs=10), 4, 5)
    np.testing.assert_allclose(short[:3], [1 / 3, 2 / 3, 1])


@pytest.mark.parametrize(("n_epochs", "n_steps"), [(1, 20), (7, 3), (100, 4)])
def test_one_cycle_is_pytorchs(n_epochs, n_steps):
    n_all = n_epochs * n_steps
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.02, total_steps=n_all, cycle_momentum=False
    )
    seen = []
    for _ in range(n_all):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(seen) < n_all:
            scheduler.step()
    config = TrainingConfig(schedule="one_cycle", learning_rate=0.02)
    np.testing.assert_allclose(rates_of(config, n_epochs, n_steps), seen, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("schedule", ["cellpose", "cosine", "step", "one_cycle"])
@pytest.mark.parametrize("n_all", [1, 2, 3, 4])
def test_the_shortest_runs_have_finite_rates_up_to_the_peak(schedule, n_all):
    rates = rates_of(TrainingConfig(schedule=schedule, learning_rate=1.0), n_all)
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()
    assert (rates <= 1).all()


@pytest.mark.parametrize("schedule", ["cellpose", "cosine", "step", "one_cycle"])
def test_the_rate_of_a_step_needs_no_step_before(schedule):
    config = TrainingConfig(schedule=schedule)
    some = np.array([17, 3])
    np.testing.assert_array_equal(
        learning_rates(config, 30, 2, some), rates_of(config, 30, 2)[some]
    )
