"""A run that was stopped or killed goes on as if nothing had happened."""

import importlib
import json
import signal
from dataclasses import replace
from functools import partial

import pytest
import torch
from compared_runs import metrics_of, same_weights
from safetensors.torch import load_file
from steered_runs import AskedToStop, score_as

from cellflow.config import AugmentConfig, NetworkConfig
from cellflow.errors import ModelError
from cellflow.training import checkpointing, session
from cellflow.training.continuation import recorded_config
from cellflow.training.fine_tune import fine_tune
from cellflow.training.interruption import Preempted, StepFinished
from cellflow.training.levels import LEVELS
from cellflow.training.validation import Validator

fine_tune_module = importlib.import_module("cellflow.training.fine_tune")


@pytest.mark.parametrize("at_step", [1, 3, 4, 6])
def test_an_interrupted_run_continues_bit_by_bit(disc_folder, tune, tmp_path, monkeypatch, at_step):
    data, said = disc_folder(5), []
    training = {"n_epochs": 3, "validate_every": 1}
    whole = tune(data, "whole", training=training)
    press = AskedToStop(monkeypatch, at_step)
    with pytest.raises(KeyboardInterrupt):
        tune(data, "cut", training=training, report=press, said=said)
    assert not (tmp_path / "cut" / "config.json").exists()
    assert f"--out {tmp_path / 'cut'} --resume" in said[-1]
    cut = fine_tune(data, tmp_path / "cut", device="cpu", resume=True)
    assert same_weights(whole, cut)
    assert metrics_of(whole) == metrics_of(cut)


def test_a_run_with_another_optimiser_clipping_and_average_continues_bit_by_bit(
    disc_folder, tune, tmp_path, monkeypatch
):
    data = disc_folder(5)
    training = {
        "n_epochs": 3, "optimizer": "radam", "schedule": "step", "gradient_clip": 0.5,
        "ema_decay": 0.9, "step_start": 2, "step_every": 2,
    }  # fmt: skip
    whole = tune(data, "whole", training=training)
    with pytest.raises(KeyboardInterrupt):
        tune(data, "cut", training=training, report=AskedToStop(monkeypatch, 3))
    cut = fine_tune(data, tmp_path / "cut", device="cpu", resume=True)
    assert same_weights(whole, cut)
    assert metrics_of(whole) == metrics_of(cut)


@pytest.mark.parametrize("at_step", [2, 4])
def test_float16_continues_bit_by_bit(disc_folder, tune, tmp_path, monkeypatch, at_step):
    """The scale of the loss is part of the state: some steps are left out, before the cut too."""
    scales = []

    def make_scaler(device, dtype):
        scales.append(torch.amp.GradScaler("cpu", init_scale=2.0**19, growth_interval=2))
        return scales[-1]

    monkeypatch.setattr("cellflow.training.loop.make_scaler", make_scaler)
    data, training = disc_folder(5), {"n_epochs": 6, "precision": "float16", "gradient_clip": 1.0}
    whole = tune(data, "whole", training=training)
    with pytest.raises(KeyboardInterrupt):
        tune(data, "cut", training=training, report=AskedToStop(monkeypatch, at_step))
    cut = fine_tune(data, tmp_path / "cut", device="cpu", resume=True)
    assert same_weights(whole, cut)
    assert metrics_of(whole) == metrics_of(cut)
    assert [one.get_scale() < 2.0**19 for one in scales] == [True, True, True]
    assert not same_weights(whole, tune(data, "short", training={**training, "n_epochs": 1}))


def test_full_augmentation_continues_bit_by_bit_and_its_levers_are_recorded(
    disc_folder, tune, tmp_path, monkeypatch, small_config
):
    data = disc_folder(4)
    config = replace(small_config(n_epochs=3), augment=AugmentConfig(level="full", mosaic=0.4))
    whole = tune(data, "whole", config=config)
    with pytest.raises(KeyboardInterrupt):
        tune(data, "cut", config=config, report=AskedToStop(monkeypatch, 3))
    cut = tune(data, "cut", config=config, resume=True)
    assert same_weights(whole, cut)
    record = json.loads((cut / "config.json").read_text(encoding="utf-8"))
    assert record["config"]["augment"]["noise"] == LEVELS["full"].noise
    assert record["config"]["augment"]["mosaic"] == 0.4
    assert "augmentation: level full" in (cut / "README.md").read_text(encoding="utf-8")


def test_a_model_without_style_is_one_in_any_program_also_after_an_interruption(
    disc_folder, tune, tmp_path, monkeypatch
):
    data = disc_folder(4)
    training = {"style": False, "n_epochs": 3, "validation_share": 0.0}
    stop = AskedToStop(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        tune(data, training=training, report=stop)
    out = tune(data, training=training)
    assert same_weights(out, tune(data, "whole", training=training))
    weights = load_file(out / "weights.safetensors")
    of_style = {name: w for name, w in weights.items() if name.endswith("full.weight")}
    assert len(of_style) == 6
    assert not any(w.any() for w in of_style.values())
    assert "no style" in (out / "README.md").read_text(encoding="utf-8")


def test_a_run_killed_after_its_early_stop_does_not_train_on(
    disc_folder, tune, tmp_path, monkeypatch
):
    score_as(monkeypatch, [0.3, 0.2, 0.2, 0.2])
    training = {"n_epochs": 50, "validate_every": 1, "patience": 1}
    with monkeypatch.context() as patched:
        patched.setattr(session, "write_model_folder", die_at_once)
        with pytest.raises(SystemExit):
            tune(disc_folder(4), training=training)
    out = fine_tune(tmp_path / "data", tmp_path / "run", device="cpu", resume=True)
    assert len(metrics_of(out)) == 2


def die_at_once(*args, **options):
    raise SystemExit


def test_a_run_that_is_interrupted_before_its_first_step_says_how_to_go_on(
    disc_folder, tune, tmp_path, monkeypatch
):
    data, said = disc_folder(4), []
    with monkeypatch.context() as patch, pytest.raises(StepFinished) as stop:
        patch.setattr(Validator, "__init__", lambda *_, **__: signal.raise_signal(signal.SIGINT))
        tune(data, said=said)
    command = f"cellflow train --train-dir {data} --out {tmp_path / 'run'} --resume"
    assert said[-1] == f"stopped by Ctrl-C; continue with:\n  {command}"
    assert stop.value.is_told
    assert metrics_of(tune(data, init=None, config=None, resume=True))


def test_a_second_ctrl_c_tells_that_the_run_goes_on_from_its_last_checkpoint(
    disc_folder, tune, tmp_path
):
    def press_twice(step, numbers):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    data, said = disc_folder(4), []
    with pytest.raises(KeyboardInterrupt):
        tune(data, report=press_twice, said=said)
    assert said[-1].startswith(
        "stopped at once; continue from the last checkpoint with:\n  cellflow"
    )
    tune(data, said=said)
    assert "continuing in epoch 1, after 0.0 min" in said


def test_a_killed_run_continues_from_its_last_checkpoint(disc_folder, tune, tmp_path):
    data, training = disc_folder(5), {"n_epochs": 3, "validate_every": 1}
    whole = tune(data, "whole", training=training)

    def die(step, numbers):
        if step == 5:
            raise SystemExit

    with pytest.raises(SystemExit):
        tune(data, "cut", training=training, report=die)
    assert len(metrics_of(tmp_path / "cut")) == 2
    cut = tune(data, "cut", training=training, resume=True)
    assert same_weights(whole, cut)
    assert metrics_of(whole) == metrics_of(cut)


def test_a_finished_run_is_not_trained_again(disc_folder, tune):
    data, said = disc_folder(4), []
    out = tune(data)
    before = (out / "weights.safetensors").stat().st_mtime_ns
    tune(data, resume=True, said=said)
    assert (out / "weights.safetensors").stat().st_mtime_ns == before
    assert "already finished" in said[-1]


def test_a_run_killed_before_its_first_checkpoint_begins_with_the_same_weights(
    disc_folder, tune, small_config, monkeypatch
):
    data = disc_folder(4)
    first, other = tune(data, "first"), tune(data, "other", training={"seed": 7})
    config = replace(small_config(), network=NetworkConfig())
    again = partial(tune, data, init=first, config=config)
    whole = again("whole")

    def die(*arguments):
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(checkpointing, "save_checkpoint", die)
        again()
    weights = (first / "weights.safetensors").read_bytes()
    (first / "weights.safetensors").write_bytes((other / "weights.safetensors").read_bytes())
    with pytest.raises(ModelError, match=r"the weights of .*first have changed"):
        again()
    (first / "weights.safetensors").write_bytes(weights)
    assert same_weights(whole, again())


def test_a_wall_limit_stops_a_run_that_goes_on_later(disc_folder, tune, tmp_path):
    data, said = disc_folder(4), []
    with pytest.raises(Preempted, match="the wall limit"):
        tune(data, stop_after=1e-9, said=said)
    assert f"--out {tmp_path / 'run'} --resume" in said[-1]
    assert (tune(data) / "config.json").is_file()


def test_settings_that_only_round_may_change_when_a_run_goes_on(
    disc_folder, tune, small_config, monkeypatch
):
    data, config = disc_folder(4), small_config()
    with pytest.raises(KeyboardInterrupt):
        tune(data, report=AskedToStop(monkeypatch, 1))
    other = replace(config, inference=replace(config.inference, batch_size=1, images_in_flight=2))
    assert (tune(data, config=other) / "config.json").is_file()


def test_a_stop_while_the_best_weights_are_scored_does_not_put_them_into_the_checkpoint(
    disc_folder, tune, tmp_path, monkeypatch
):
    data, training = disc_folder(5), {"n_epochs": 3, "validate_every": 1, "keep": "best"}

    class Once(session.Session):
        def _score_of(self, epoch):
            with torch.no_grad():  # as if these were the best weights
                next(self.network.parameters()).zero_()
            raise StepFinished("Ctrl-C")

    whole = tune(data, "whole", training=training)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(fine_tune_module, "Session", Once)
        tune(data, training=training)
    kept, last = (
        torch.load(tmp_path / name / "checkpoints" / "last.pt", weights_only=False)["network"]
        for name in ("whole", "run")
    )
    assert all(torch.equal(kept[name], last[name]) for name in kept)
    assert same_weights(whole, tune(data, training=training))


def test_a_run_killed_behind_a_better_validation_still_has_the_weights_it_needs(
    disc_folder, tune, tmp_path, monkeypatch
):
    data, training = disc_folder(4), {"n_epochs": 3, "validate_every": 1, "keep": "best"}
    score_as(monkeypatch, [0.5, 0.6, 0.1, 0.1, 0.5])
    monkeypatch.setattr(checkpointing, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    def die(step, numbers):
        if step == 4:  # two steps an epoch: the last checkpoint is that of step 3
            monkeypatch.setattr(checkpointing, "SECONDS_BETWEEN_CHECKPOINTS", 1e9)
        if step == 5:
            raise SystemExit

    with pytest.raises(SystemExit):
        tune(data, training=training, report=die)
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("best-*"))
    assert kept == ["best-0001", "best-0002"]
    out = tune(data, config=recorded_config(tmp_path / "run"), resume=True)
    record = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert record["run"]["kept_epoch"] == 1
