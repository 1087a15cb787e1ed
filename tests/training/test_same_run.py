"""What may be asked for otherwise when a run goes on, and what is refused."""

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from compared_runs import same_weights
from steered_runs import AskedToStop

from cellflow.data.entrance import open_dataset
from cellflow.data.folds import make_folds, write_folds
from cellflow.errors import ConfigError, ModelError
from cellflow.training.continuation import recorded_config
from cellflow.training.fine_tune import fine_tune
from cellflow.training.interruption import Preempted


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


def test_changed_cell_types_are_refused(disc_folder, tune, monkeypatch):
    data = disc_folder(4)
    with pytest.raises(KeyboardInterrupt):
        tune(data, report=AskedToStop(monkeypatch, 1))
    table = data / "train.csv"
    table.write_text(table.read_text().replace("cort", "astro"))
    with pytest.raises(ModelError, match="images, truth or cell types in"):
        tune(data, resume=True)


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
