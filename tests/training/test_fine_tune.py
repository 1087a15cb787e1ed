"""The whole of training on drawn discs: the model folder, resuming, refusing."""

import importlib
import json
import shutil
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tifffile
import torch
from compared_runs import metrics_of, same_weights
from drawn_discs import draw_discs
from safetensors.torch import load_file

from cellflow.config import AugmentConfig, Config, DataConfig, DynamicsConfig, NetworkConfig
from cellflow.data.entrance import open_dataset
from cellflow.data.folds import make_folds, write_folds
from cellflow.data.images import read_image
from cellflow.errors import ConfigError, DataError, ImageError, ModelError
from cellflow.inference.predict import load_model
from cellflow.network.model_folder import learnt_images
from cellflow.training import checkpointing, session
from cellflow.training.budget import N_TIMED_STEPS, N_WARMUP_STEPS, Pace, Plan
from cellflow.training.continuation import recorded_config
from cellflow.training.fine_tune import fine_tune
from cellflow.training.initial import starting_config
from cellflow.training.interruption import Preempted, StepFinished
from cellflow.training.levels import LEVELS
from cellflow.training.split import split_dataset
from cellflow.training.stages import train_in_stages
from cellflow.training.validation import Validator

fine_tune_module = importlib.import_module("cellflow.training.fine_tune")


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


class AskedToStop:
    """Asks the run to stop, as Ctrl-C does, at some step."""

    def __init__(self, monkeypatch, at_step, reason="Ctrl-C"):
        flags = []

        class Flag(fine_tune_module.InterruptFlag):
            def __init__(self, stop_after=None):
                super().__init__(stop_after)
                flags.append(self)

        monkeypatch.setattr(fine_tune_module, "InterruptFlag", Flag)
        self.flags, self.at_step, self.reason = flags, at_step, reason

    def __call__(self, step, numbers):
        if step == self.at_step:
            self.flags[-1].ask(self.reason)


def write_two_channel_discs(folder, n):
    """Write a plain folder: a picture of two channels and a label image each."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    for k in range(n):
        image, labels = draw_discs(rng)
        tifffile.imwrite(folder / f"disc{k}.tif", np.stack([image, image]))
        tifffile.imwrite(folder / f"disc{k}_masks.tif", labels.astype(np.uint16))
    return folder


def test_the_card_says_how_images_were_resized_and_what_thresholds_there_are(
    disc_folder, tune, small_config
):
    data, config = disc_folder(5), small_config(n_epochs=1)
    plain = (tune(data, config=config) / "README.md").read_text(encoding="utf-8")
    assert "training resized each image by the diameter of its own cells" in plain
    assert "held-out images with Cellpose's default thresholds" in plain
    assert "`thresholds.json` has\nCellpose's default thresholds" in plain
    other = replace(
        config,
        training=replace(config.training, rescaling="dataset"),
        dynamics=DynamicsConfig(cellprob_threshold=-9.0, min_size=1),
    )
    card = (tune(data, "other", config=other) / "README.md").read_text(encoding="utf-8")
    assert "training resized all images by it as well" in card
    assert "`thresholds.json` has\nthis run's cellprob_threshold -9, min_size 1." in card
    assert "Cellpose's default" not in card


def test_the_model_folder_is_complete_and_predicts(disc_folder, tune):
    said = []
    data = disc_folder(5)
    out = tune(data, said=said)
    for name in ("config.json", "thresholds.json", "weights.safetensors", "cellpose_model",
                 "README.md", "metrics.csv", "loss.png", "score.png", "run.json",
                 "checkpoints/last.pt", "checkpoints/best-0002"):  # fmt: skip
        assert (out / name).is_file(), name
    assert len(list((out / "overlays").glob("*.png"))) == 1
    record = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert record["data"]["n_train"] == 4
    assert record["data"]["n_validation"] == 1
    assert record["initial_weights"]["name"] == "scratch"
    assert record["run"]["kept_epoch"] == 2
    assert len(metrics_of(out)) == 2
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "The score is honest: nothing was chosen by these images." in card
    assert record["data"]["sha256"] in card
    model = load_model(out, device="cpu")
    assert model.diameter == pytest.approx(record["diameter"])
    prediction = model.predict(np.zeros((40, 50), np.uint8))
    assert prediction.labels.shape == (40, 50)
    text = "\n".join(said)
    for fact in ("kaggle layout", "held out: 1 image, ", "cell diameter 10.", "scratch", "cpu",
                 "2 epochs of 2 steps", "writing to",
                 "still to do: pictures of held-out images, the model card\ndone in"):  # fmt: skip
        assert fact in text, fact


@pytest.mark.slow
def test_training_from_scratch_finds_the_discs(disc_folder, tune):
    training = {"n_epochs": 60, "images_per_epoch": 16, "batch_size": 8, "validate_every": 60}
    out = tune(disc_folder(6), training={**training, "learning_rate": 0.02, "crop_size": 48})
    score = json.loads((out / "config.json").read_text(encoding="utf-8"))["score"]
    assert score["overall"]["mean"] > 0.5


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


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [("sgd", "step"), ("adam", "one_cycle"), ("adamw", "cosine"), ("radam", "cellpose")],
)
def test_every_optimiser_with_clipping_and_average_continues_bit_by_bit(
    disc_folder, tune, tmp_path, monkeypatch, optimizer, schedule
):
    data = disc_folder(5)
    training = {
        "n_epochs": 3, "optimizer": optimizer, "schedule": schedule, "gradient_clip": 0.5,
        "ema_decay": 0.9, "step_start": 2, "step_every": 2,
    }  # fmt: skip
    whole = tune(data, "whole", training=training)
    with pytest.raises(KeyboardInterrupt):
        tune(data, "cut", training=training, report=AskedToStop(monkeypatch, 3))
    cut = fine_tune(data, tmp_path / "cut", device="cpu", resume=True)
    assert same_weights(whole, cut)
    assert metrics_of(whole) == metrics_of(cut)


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


def test_a_zoom_for_a_cell_type_that_does_not_occur_is_refused(disc_folder, tune, small_config):
    config = replace(small_config(), augment=AugmentConfig(scale_range_by_type={"astro": 1.0}))
    with pytest.raises(ConfigError, match=r"by_type\.astro: no training image .* known: cort"):
        tune(disc_folder(2), config=config)


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


def test_the_average_of_the_weights_is_what_is_kept(disc_folder, tune):
    data = disc_folder(3)
    plain, averaged = tune(data, "plain"), tune(data, "average", training={"ema_decay": 0.9})
    state = torch.load(averaged / "checkpoints" / "last.pt", weights_only=True)
    kept = load_file(averaged / "weights.safetensors")
    for name, tensor in kept.items():
        assert torch.equal(tensor, state["average"][f"module.{name}"]), name
    assert not same_weights(plain, averaged)
    raw = load_file(plain / "weights.safetensors")
    assert all(torch.equal(tensor, state["network"][name]) for name, tensor in raw.items())
    assert "average of the weights with decay 0.9" in (averaged / "README.md").read_text("utf-8")


def score_as(monkeypatch, estimates):
    """Let the validations of a run find these scores, one after the other."""
    values, scored = iter(estimates), Validator.score

    def pretend(self, network):
        score = scored(self, network)
        changed = replace(score.overall, mean=replace(score.mean, estimate=next(values)))
        return replace(score, overall=changed)

    monkeypatch.setattr(Validator, "score", pretend)


def test_training_stops_when_the_score_has_not_risen_and_says_what_that_means(
    disc_folder, tune, monkeypatch
):
    score_as(monkeypatch, [0.1, 0.3, 0.2, 0.3])
    said = []
    training = {"n_epochs": 50, "validate_every": 1, "patience": 2}
    out = tune(disc_folder(4), training=training, said=said)
    assert len(metrics_of(out)) == 4
    record = json.loads((out / "config.json").read_text(encoding="utf-8"))["run"]
    assert (record["n_epochs"], record["kept_epoch"], record["best_epoch"]) == (4, 4, 2)
    assert "stopping early: no better score since epoch 2" in said
    assert "too high: these images decided when training ended" in said[-1]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "The score is too high: these images decided when training ended." in card


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


def test_early_stopping_without_held_out_images_is_refused(disc_folder, tune, tmp_path):
    with pytest.raises(ConfigError, match=r"training\.patience: needs the score of held-out"):
        tune(disc_folder(1), training={"patience": 3})
    assert not (tmp_path / "run").exists()


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


def test_the_same_call_continues_a_run_and_another_is_refused(
    disc_folder, tune, tmp_path, monkeypatch
):
    data = disc_folder(5)
    whole = tune(data, "whole")
    asked = AskedToStop(monkeypatch, 1, "SIGTERM")
    with pytest.raises(Preempted, match="SIGTERM"):
        tune(data, report=asked)
    for other in ({"init": tmp_path / "whole"}, {"training": {"seed": 7}}):
        with pytest.raises(ConfigError, match=r"asked for .* replace the run with --overwrite"):
            tune(data, **other)
    folds = make_folds(open_dataset(data), 2, seed=0)
    write_folds(tmp_path / "folds.json", folds)
    with pytest.raises(ConfigError, match="the run there holds out other images"):
        tune(data, folds_file=tmp_path / "folds.json")
    said = []
    out = tune(data, said=said)
    assert any("continuing in epoch 1" in line for line in said)
    assert same_weights(whole, out)
    tune(data, said=said)
    assert "already finished" in said[-1]
    tune(data, training={"seed": 7}, overwrite=True)
    assert not same_weights(whole, out)


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


def test_changed_data_or_settings_are_refused_with_a_sentence(
    disc_folder, tune, tmp_path, monkeypatch
):
    data = disc_folder(5)
    press = AskedToStop(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        tune(data, report=press)
    with pytest.raises(ConfigError, match=r"training\.learning_rate = 0\.01, asked for 0\.5"):
        tune(data, training={"learning_rate": 0.5}, resume=True)
    with pytest.raises(ModelError, match="2 images of the folds are not there"):
        tune(disc_folder(3, name="fewer"), resume=True)
    with pytest.raises(ModelError, match="differ from those at the start of the run"):
        tune(disc_folder(5, name="others", seed=2), resume=True)
    asked = recorded_config(tmp_path / "run")
    asked = replace(asked, training=replace(asked.training, cache_megabytes=1))
    tune(data, config=asked, resume=True)


@pytest.mark.parametrize(
    "training", [{"validation_share": 0}, {"learning_rate": np.float32(0.01)}, {"weight_decay": 0}]
)
def test_a_run_begun_from_python_goes_on_whatever_the_types_of_its_numbers(
    disc_folder, tune, monkeypatch, training
):
    data = disc_folder(4)
    with pytest.raises(KeyboardInterrupt):
        tune(data, report=AskedToStop(monkeypatch, 1), training=training)
    assert (tune(data, resume=True, training=training) / "config.json").is_file()


@pytest.mark.parametrize(
    ("begun", "message"),
    [
        ({"learning_rate": 0.02}, r"training\.learning_rate = 0\.02, asked for None"),
        ({"schedule": "step"}, r"training\.schedule = 'step', asked for 'auto'"),
    ],
)
def test_what_is_left_open_is_not_whatever_the_run_has(disc_folder, tune, begun, message):
    data, open_ = disc_folder(4), {"learning_rate": None, "schedule": "auto"}
    tune(data, training={**open_, **begun})
    with pytest.raises(ConfigError, match=message):
        tune(data, training=open_)


def test_what_was_left_open_may_be_named_as_it_was_settled(disc_folder, tune):
    data, said = disc_folder(4), []
    out = tune(data, training={"learning_rate": None})
    rate = recorded_config(out).training.learning_rate
    tune(data, training={"learning_rate": rate}, said=said)
    tune(data, training={"learning_rate": None}, said=said)
    assert [line for line in said if "already finished" in line] == said[-1:] * 2


def test_settings_that_only_round_may_change_when_a_run_goes_on(
    disc_folder, tune, small_config, monkeypatch
):
    data, config = disc_folder(4), small_config()
    with pytest.raises(KeyboardInterrupt):
        tune(data, report=AskedToStop(monkeypatch, 1))
    other = replace(config, inference=replace(config.inference, batch_size=1, images_in_flight=2))
    assert (tune(data, config=other) / "config.json").is_file()


def test_changed_cell_types_are_refused(disc_folder, tune, monkeypatch):
    data = disc_folder(4)
    with pytest.raises(KeyboardInterrupt):
        tune(data, report=AskedToStop(monkeypatch, 1))
    table = data / "train.csv"
    table.write_text(table.read_text().replace("cort", "astro"))
    with pytest.raises(ModelError, match="images, truth or cell types in"):
        tune(data, resume=True)


def test_images_of_other_folders_count_as_learnt_by_all_that_follow(
    disc_folder, tune, small_config
):
    extra = disc_folder(2, name="more", seed=3)
    first = tune(disc_folder(4), "first", extra_dirs=[extra], training={"n_epochs": 1})
    record = json.loads((first / "config.json").read_text(encoding="utf-8"))
    names = {entry.name for entry in open_dataset(extra)}
    assert set(record["data"]["extra"]) <= names
    assert learnt_images(record) == {*record["data"]["train"], *record["data"]["extra"]}
    config = replace(small_config(n_epochs=1), network=NetworkConfig())
    second = tune(disc_folder(4, name="new", seed=9), "second", init=first, config=config)
    later = json.loads((second / "config.json").read_text(encoding="utf-8"))
    assert learnt_images(record) <= learnt_images(later)


def test_weights_that_would_be_replaced_are_no_start(disc_folder, tune, tmp_path):
    data = disc_folder(4)
    out = tune(data, training={"n_epochs": 1})
    before = (out / "weights.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"--init .*run: lies in --out .*run, which --overwrite"):
        tune(data, init=out, overwrite=True)
    assert (out / "weights.safetensors").read_bytes() == before


def test_keeping_the_best_of_no_validation_is_recorded_as_the_last(disc_folder, tune):
    out = tune(disc_folder(4), training={"keep": "best", "validation_share": 0.0})
    record = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert record["run"]["kept"] == "last"
    assert "(best)" not in (out / "README.md").read_text(encoding="utf-8")


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


def test_a_continued_run_refuses_other_choices(disc_folder, tune, tmp_path, monkeypatch):
    data = disc_folder(4)
    folds = make_folds(open_dataset(data), 2, seed=0)
    write_folds(tmp_path / "folds.json", folds)
    with pytest.raises(KeyboardInterrupt):
        tune(data, report=AskedToStop(monkeypatch, 1), folds_file=tmp_path / "folds.json", fold=1)
    again = partial(fine_tune, data, tmp_path / "run", device="cpu", resume=True)
    with pytest.raises(ConfigError, match="has --init scratch, asked for cyto3"):
        again(init="cyto3")
    with pytest.raises(ConfigError, match="has --format kaggle, asked for coco"):
        again(layout="coco")
    with pytest.raises(ConfigError, match="the run there holds out other images"):
        again(folds_file=tmp_path / "folds.json", fold=0)
    with pytest.raises(ConfigError, match="give one of them"):
        again(overwrite=True)
    again(folds_file=tmp_path / "folds.json", fold=1, init="scratch", layout="kaggle")


def test_initial_weights_and_other_images_may_be_named_otherwise_when_a_run_goes_on(
    disc_folder, tune, tmp_path, monkeypatch
):
    data, start, extra = disc_folder(4), tmp_path / "start", disc_folder(2, name="more", seed=3)
    tune(data, name="start")
    tune(data, name="other", training={"seed": 1})
    given = {"init": str(start), "extra_dirs": [str(extra)]}
    with pytest.raises(KeyboardInterrupt):
        tune(data, report=AskedToStop(monkeypatch, 1), **given)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(start, "moved")
    with pytest.raises(ConfigError, match=f"has --init {start}, asked for other"):
        tune(data, init="other", extra_dirs=[extra.name])
    with pytest.raises(ConfigError, match=f"has --extra-dir {extra}, asked for {data}"):
        tune(data, init="moved", extra_dirs=[str(data)])
    extra.rename(tmp_path / "elsewhere")
    tune(data, init="moved", extra_dirs=["elsewhere"])


def test_initial_weights_that_learnt_what_is_now_held_out_are_told_of_for_good(
    disc_folder, tune, tmp_path, monkeypatch
):
    data, said = disc_folder(4), []
    write_folds(tmp_path / "folds.json", make_folds(open_dataset(data), 2, seed=0))
    folds = {"folds_file": tmp_path / "folds.json"}
    first = tune(data, name="first", fold=0, **folds)
    given = {"init": str(first), "fold": 1, "said": said, **folds}
    with pytest.raises(KeyboardInterrupt):
        tune(data, report=AskedToStop(monkeypatch, 1), **given)
    tune(data, **given)
    told = "the initial weights were trained on 2 images with these names (disc"
    assert sum(told in line for line in said) == 2
    assert told in json.loads((tmp_path / "run" / "config.json").read_text())["data"]["split"]
    assert told in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    again = tune(data, name="again", init=str(first), fold=0, **folds)
    assert "initial weights" not in json.loads((again / "config.json").read_text())["data"]["split"]


def test_a_run_that_another_process_began_meanwhile_is_not_cleared(
    disc_folder, tune, tmp_path, monkeypatch
):
    data, slow = disc_folder(4), fine_tune_module._begin

    def begin_late(*arguments):
        monkeypatch.setattr(fine_tune_module, "_begin", slow)
        tune(data)
        return slow(*arguments)

    monkeypatch.setattr(fine_tune_module, "_begin", begin_late)
    with pytest.raises(DataError, match="another process has started a run there"):
        tune(data)
    assert (tmp_path / "run" / "weights.safetensors").exists()
    tune(data, overwrite=True)


def test_a_fold_without_a_file_is_refused(disc_folder, tune):
    with pytest.raises(ConfigError, match="give --folds FILE too"):
        tune(disc_folder(2), fold=1)


def test_the_schedule_is_settled_at_the_start_and_a_lifted_budget_gives_the_length_back(
    disc_folder, tune, tmp_path, monkeypatch
):
    training = {"n_epochs": 101, "max_minutes": 0.02, "validate_every": 101}
    press = AskedToStop(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        tune(disc_folder(4), report=press, training=training)
    recorded = recorded_config(tmp_path / "run")
    assert recorded.training.schedule == "cosine"
    unlimited = replace(recorded, training=replace(recorded.training, max_minutes=None))
    out = tune(tmp_path / "data", config=unlimited, resume=True)
    record = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert record["run"]["n_epochs"] == 101
    assert record["config"]["training"]["schedule"] == "cosine"


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


def test_images_with_four_channels_train_to_the_end(disc_folder, tune):
    data = disc_folder(3)
    for path in sorted((data / "train").glob("*.png")):
        grey = read_image(path)
        tifffile.imwrite(path.with_suffix(".tif"), np.stack([grey] * 4), photometric="minisblack")
        path.unlink()
    out = tune(data)
    assert len(list((out / "overlays").glob("*.png"))) == 1


def test_images_with_too_few_cells_are_left_out_and_named(disc_folder, tune):
    data, said = disc_folder(3, n_cells=9), []
    poor = disc_folder(4, name="poor", n_cells=2)
    with pytest.raises(DataError, match="none of 3 training images has 5 cells"):
        tune(poor)
    mixed = data
    image = (poor / "train" / "disc3.png").read_bytes()
    (mixed / "train" / "disc3.png").write_bytes(image)
    rows = (poor / "train.csv").read_text(encoding="utf-8").splitlines()
    with (mixed / "train.csv").open("a", encoding="utf-8") as file:
        file.writelines(row + "\n" for row in rows if row.startswith("disc3"))
    tune(mixed, training={"validation_share": 0.0, "n_epochs": 1}, said=said)
    assert "left out, fewer than 5 cells (training.min_cells): disc3" in said


def test_images_without_masks_are_left_out_and_named(tune, tmp_path):
    data, said = write_two_channel_discs(tmp_path / "data", 3), []
    (data / "disc1_masks.tif").unlink()
    tune(data, training={"n_epochs": 1}, said=said)
    assert "left out, without masks: 1 image (disc1)" in said


def test_one_image_trains_without_a_score(disc_folder, tune):
    said = []
    out = tune(disc_folder(1), said=said)
    assert "held out: 0 images, too few images to hold any out" in said
    assert "no honest score" in (out / "README.md").read_text(encoding="utf-8")
    assert not (out / "overlays").exists()


def test_the_fold_of_a_file_is_held_out(disc_folder, tune, tmp_path):
    data = disc_folder(4)
    dataset = open_dataset(data)
    write_folds(tmp_path / "folds.json", folds := make_folds(dataset, 2, seed=0))
    out = tune(data, folds_file=tmp_path / "folds.json", fold=1)
    record = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert record["data"]["validation"] == list(folds.folds[1].validation)
    with pytest.raises(ConfigError, match="has folds 0 to 1"):
        tune(data, "other", folds_file=tmp_path / "folds.json", fold=2)
    assert not (tmp_path / "other").exists()


def test_keeping_the_best_says_that_its_score_is_selected(disc_folder, tune):
    said, training = [], {"n_epochs": 3, "validate_every": 1, "keep": "best"}
    out = tune(disc_folder(5), training=training, said=said)
    role = "too high: the weights were selected on these images"
    assert role in said[-1]
    record = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert record["run"]["kept_epoch"] == record["run"]["best_epoch"]
    assert role in (out / "README.md").read_text(encoding="utf-8")


def test_a_trained_model_is_taken_up_again(disc_folder, tune, small_config):
    data = disc_folder(4)
    first = tune(data, training={"n_epochs": 1})
    second = tune(data, "again", init=str(first), config=replace(
        small_config(n_epochs=1), network=NetworkConfig()))  # fmt: skip
    third = tune(data, "file", init=first / "cellpose_model", config=replace(
        small_config(n_epochs=1), network=NetworkConfig()))  # fmt: skip
    for folder in (second, third):
        record = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        assert record["config"]["network"]["channels_per_level"] == [4, 8]
        assert record["initial_weights"]["name"].startswith(str(first))
    with pytest.raises(ConfigError, match="do not set network"):
        tune(data, "other", init=first, config=replace(
            Config(), network=NetworkConfig(channels_per_level=(8, 8))))  # fmt: skip


def test_pictures_are_those_that_the_initial_weights_know_and_others_are_told(
    tune, small_config, tmp_path
):
    data, said = write_two_channel_discs(tmp_path / "data", 4), []
    config = replace(small_config(n_epochs=1), data=DataConfig(channels=(2, 1)))
    first = tune(data, config=config, said=said)
    chosen = "channel 2 (green) for cells, 1 (red) for nuclei"
    assert f"pictures: {chosen}" in said
    card = (first / "README.md").read_text(encoding="utf-8")
    assert f"- **Input**: {chosen}" in card
    assert "`eval(image, channels=[2, 1])`" in card
    said.clear()
    assert starting_config(first) == Config(data=DataConfig(channels=(2, 1)))
    assert starting_config("scratch") == starting_config(first / "weights.safetensors") == Config()
    known = f"the weights of {first}"
    tune(data, "same", init=first, config=config, said=said)
    assert [line.startswith("pictures") for line in said].count(True) == 1
    assert said[0] == f"pictures: {chosen}; percentiles 1 to 99, as for {known}"
    said.clear()
    tune(data, "grey", init=first, said=said, training={"n_epochs": 1})
    assert said[0].startswith(
        f"pictures: the mean of all channels; percentiles 1 to 99, though {known} were "
    )


def test_missing_initial_weights_leave_nothing_behind(disc_folder, tune, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "none"))
    with pytest.raises(ModelError, match="no such file or folder; expected scratch"):
        tune(disc_folder(2), init="cyto9")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("inference", "message"),
    [
        ({"compilation": "graphs"}, "graphs needs a CUDA device, this is cpu"),
        ({"diameter_policy": "per_type"}, "the model does not predict cell types"),
    ],
)
def test_a_prediction_that_cannot_be_is_refused_before_anything_is_written(
    disc_folder, tune, small_config, tmp_path, inference, message
):
    config = small_config()
    config = replace(config, inference=replace(config.inference, **inference))
    with pytest.raises(ConfigError, match=message):
        tune(disc_folder(5), config=config)
    assert not (tmp_path / "run").exists()


def test_a_broken_picture_is_told_before_anything_is_written(disc_folder, tune, tmp_path):
    data = disc_folder(4)
    picture = sorted((data / "train").iterdir())[-1]
    picture.write_bytes(picture.read_bytes()[:-30])
    with pytest.raises(ImageError, match=f"{picture.name}: broken image"):
        tune(data)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("picture", "channels", "message"),
    [
        (np.full((64, 80), np.nan, np.float32), (0, 0), "the image holds NaN or infinity"),
        (np.zeros((64, 80), np.uint8), (2, 1), "channel 2 is asked for, but the image has only 1"),
    ],
)
def test_a_held_out_picture_that_prediction_refuses_is_told_before_anything_is_written(
    tune, small_config, tmp_path, picture, channels, message
):
    data = write_two_channel_discs(tmp_path / "data", 5)
    config = replace(small_config(), data=DataConfig(channels=channels))
    held_out = split_dataset(open_dataset(data), config.training.validation_share).validation
    tifffile.imwrite(data / f"{held_out[0]}.tif", picture)
    with pytest.raises(ImageError, match=f"{held_out[0]}.tif: {message}"):
        tune(data, config=config)
    assert not (tmp_path / "run").exists()


def test_a_folder_without_truth_is_refused(tune, tmp_path, disc_folder):
    data = disc_folder(2)
    (data / "train.csv").unlink()
    with pytest.raises(DataError, match="none with truth"):
        tune(data / "train")


@pytest.mark.parametrize("before", [{}, {"refit": "all"}])
def test_what_is_wrong_with_the_data_is_told_before_weights_are_asked_for(
    disc_folder, small_config, tmp_path, monkeypatch, before
):
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "none"))
    no_cells = disc_folder(2, n_cells=0)
    with pytest.raises(DataError, match="lower training"):
        fine_tune(no_cells, tmp_path / "run", small_config())
    (no_cells / "train.csv").unlink()
    with pytest.raises(DataError, match="none with truth"):
        train_in_stages(no_cells / "train", tmp_path / "run", small_config(), **before)
    assert not (tmp_path / "run").exists()


def test_nothing_is_planned_before_steps_were_timed_also_where_epochs_are_short(
    disc_folder, tune, monkeypatch
):
    seen, plan = [], Pace.plan

    def watched(pace, *arguments):
        seen.append(pace._n_seen)
        return plan(pace, *arguments)

    monkeypatch.setattr(Pace, "plan", watched)
    training = {"n_epochs": 6, "max_minutes": 5.0, "validate_every": 100}
    data = disc_folder(4)
    with pytest.raises(KeyboardInterrupt):
        tune(data, training=training, report=AskedToStop(monkeypatch, 4))
    assert seen == []  # two epochs of two steps
    tune(data, training=training)
    assert seen
    assert min(seen) == N_WARMUP_STEPS + N_TIMED_STEPS


def test_a_time_budget_plans_fewer_epochs_and_ends_in_time(disc_folder, tune, monkeypatch):
    monkeypatch.setattr("cellflow.training.planning.FEWEST_STEPS", 10**9)
    said = []
    out = tune(
        disc_folder(4),
        training={"n_epochs": 100_000, "max_minutes": 0.1, "validate_every": 100_000},
        said=said,
    )
    record = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert any(line.startswith("plan: ") for line in said)
    assert any("from random weights, hardly any cell is found before" in line for line in said)
    assert 1 <= record["run"]["n_epochs"] < 100_000
    assert record["run"]["seconds"] < 9


def validated_epochs(out):
    return [int(row["epoch"]) for row in metrics_of(out) if row["validation_map"]]


@pytest.mark.parametrize("stopped_at", [None, 11])
def test_a_plan_that_changes_does_not_bunch_validations_up_also_when_continued(
    disc_folder, tune, monkeypatch, stopped_at
):
    def restless(pace, seconds, epochs_done, current):
        return Plan(n_epochs=14, validate_every=5 - int(epochs_done) % 2)

    monkeypatch.setattr(Pace, "plan", restless)
    data, training = disc_folder(4), {"n_epochs": 14, "max_minutes": 5.0, "validate_every": 4}
    if stopped_at:
        with pytest.raises(KeyboardInterrupt):
            tune(data, training=training, report=AskedToStop(monkeypatch, stopped_at))
    # Divisible by what is wanted at the time are 4, 5, 8, 10 and 12.
    assert validated_epochs(tune(data, training=training)) == [5, 10, 14]


def test_the_first_validation_under_a_budget_waits_when_by_now_it_would_take_long(
    disc_folder, tune, monkeypatch
):
    estimates = iter([0.0, 50.0])
    monkeypatch.setattr(Validator, "estimate_seconds", lambda *_: next(estimates))
    training = {"n_epochs": 9, "max_minutes": 5.0, "validate_every": 4}
    assert validated_epochs(tune(disc_folder(4), training=training)) == [9]
    assert not list(estimates)
