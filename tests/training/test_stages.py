"""Several trainings that make one model: other data first, the held-out images last."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
from drawn_discs import write_disc_folder

from cellflow.config import AugmentConfig
from cellflow.data.entrance import open_dataset
from cellflow.data.folds import make_folds, write_folds
from cellflow.errors import ConfigError, DataError, ModelError
from cellflow.training import stage_plan, stages
from cellflow.training.interruption import Preempted, StepFinished
from cellflow.training.split import Split
from cellflow.training.stages import train_in_stages


@pytest.fixture
def train(tmp_path, small_config):
    def run(data, name="run", said=None, **options):
        training = {"n_epochs": 2, "validate_every": 9, **options.pop("training", {})}
        say = (said if said is not None else []).append
        given = {"init": "scratch", "device": "cpu", **options}
        out = None if name is None else tmp_path / name
        return train_in_stages(data, out, small_config(**training), say=say, **given)

    return run


def record_of(folder):
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def test_other_folders_come_first_and_pass_their_weights_on(tmp_path, train):
    folders = [write_disc_folder(tmp_path / f"other{k}", 3, seed=k) for k in (5, 6)]
    data, said = write_disc_folder(tmp_path / "data", 5), []
    out = train(data, pretrain_dirs=folders, said=said)
    firsts = [out / "stages" / f"pretrain-{k}" for k in (1, 2)]
    assert [record_of(first)["data"]["folder"] for first in firsts] == list(map(str, folders))
    assert record_of(firsts[0])["initial_weights"]["name"] == "scratch"
    assert record_of(firsts[1])["initial_weights"]["name"] == str(firsts[0])
    assert record_of(out)["initial_weights"]["name"] == str(firsts[1])
    assert [line for line in said if line.startswith("stage")] == [
        "stage 1 of 3: pretrain-1", "stage 2 of 3: pretrain-2", "stage 3 of 3: the last"
    ]  # fmt: skip
    before = [(first / "weights.safetensors").stat().st_mtime_ns for first in firsts]
    train(data, pretrain_dirs=folders, said=said)
    assert said[-1].endswith("the run is already finished")
    assert before == [(first / "weights.safetensors").stat().st_mtime_ns for first in firsts]


def test_of_several_processes_only_the_first_says_which_stage_it_is(tmp_path, train, monkeypatch):
    other = write_disc_folder(tmp_path / "other", 3, seed=5)
    monkeypatch.setenv("RANK", "1")
    said = []
    train(write_disc_folder(tmp_path / "data", 5), pretrain_dirs=[other], said=said)
    assert said == []


@pytest.mark.parametrize(
    ("asked", "rates"), [(None, (0.005, 0.001, 0.0001)), (0.02, (0.02, 0.02, 0.002))]
)
def test_a_stage_that_begins_with_trained_weights_has_their_rate(tmp_path, train, asked, rates):
    other = write_disc_folder(tmp_path / "other", 3, seed=5)
    data = write_disc_folder(tmp_path / "data", 5)
    training = {"n_epochs": 1, "learning_rate": asked}
    out = train(data, pretrain_dirs=[other], refit="all", training=training)
    runs = (out / "stages" / "pretrain-1", out / "stages" / "main", out)
    found = [record_of(run)["config"]["training"]["learning_rate"] for run in runs]
    assert found == pytest.approx(rates)


def test_a_run_goes_on_without_being_asked_for_its_rate_again(tmp_path, train):
    data = write_disc_folder(tmp_path / "data", 5)
    first = train(data, "first", training={"n_epochs": 1, "learning_rate": None})
    again = {"n_epochs": 1, "learning_rate": None}
    second = train(data, "second", init=first, training=again)
    assert record_of(second)["config"]["training"]["learning_rate"] == 0.001
    said = []
    train(data, "second", init=first, training=again, said=said)
    assert said[-1].endswith("the run is already finished")
    with pytest.raises(ConfigError, match=r"learning_rate = 0\.001, asked for 0\.005"):
        train(data, "second", init=first, training={**again, "learning_rate": 0.005})


def test_other_folders_before_show_nothing_of_what_is_held_out(tmp_path, train):
    data, said = write_disc_folder(tmp_path / "data", 5), []
    other = write_disc_folder(tmp_path / "other", 5)  # the same wells
    out = train(data, pretrain_dirs=[other], said=said, training={"n_epochs": 1})
    held_out = set(record_of(out)["data"]["validation"])
    before = record_of(out / "stages" / "pretrain-1")["data"]
    assert held_out
    assert not held_out & {*before["train"], *before["validation"]}
    assert any("left out, since they match held-out images: 1 (" in line for line in said)


def test_overwrite_leaves_no_stage_of_the_run_that_it_replaces(tmp_path, train):
    others = [write_disc_folder(tmp_path / f"other{k}", 3, seed=k) for k in (5, 6)]
    data, given = write_disc_folder(tmp_path / "data", 5), {"training": {"n_epochs": 1}}
    out = train(data, pretrain_dirs=others, **given)
    assert [path.name for path in stages.earlier_stages(out)] == ["pretrain-1", "pretrain-2"]
    train(data, pretrain_dirs=others[:1], overwrite=True, **given)
    assert [path.name for path in stages.earlier_stages(out)] == ["pretrain-1"]
    train(data, overwrite=True, **given)
    assert stages.earlier_stages(out) == []


def stop_at_second_stage(monkeypatch):
    real, tuned = stages.fine_tune, []

    def stop_at_second(train_dir, *arguments, **options):
        tuned.append(train_dir)
        if len(tuned) == 2:
            raise Preempted("SIGTERM")
        return real(train_dir, *arguments, **options)

    monkeypatch.setattr(stages, "fine_tune", stop_at_second)


def test_a_stopped_overwrite_goes_on_with_nothing_of_the_run_that_it_replaces(
    tmp_path, train, monkeypatch
):
    other = write_disc_folder(tmp_path / "other", 3, seed=5)
    data = write_disc_folder(tmp_path / "data", 5)
    given = {"pretrain_dirs": [other], "refit": "all", "training": {"n_epochs": 1}}
    out = train(data, **given)
    runs = [out, *(out / "stages" / name for name in ("pretrain-1", "main"))]
    before = [(run / "config.json").stat().st_mtime_ns for run in runs]
    with pytest.raises(ConfigError, match="which --overwrite clears"):
        train(data, init=out, overwrite=True, **given)
    with pytest.raises(ModelError, match="no such file"):
        train(data, init="mistyped", overwrite=True, **given)
    assert [(run / "config.json").stat().st_mtime_ns for run in runs] == before
    stop_at_second_stage(monkeypatch)
    with pytest.raises(Preempted):
        train(data, overwrite=True, **given)
    train(data, **given)
    after = [(run / "config.json").stat().st_mtime_ns for run in runs]
    assert all(new > old for new, old in zip(after, before, strict=True))


def test_a_stop_between_two_stages_goes_on_with_the_second(tmp_path, train, monkeypatch):
    other = write_disc_folder(tmp_path / "other", 3, seed=5)
    data = write_disc_folder(tmp_path / "data", 4)
    stop_at_second_stage(monkeypatch)
    with pytest.raises(Preempted):
        train(data, pretrain_dirs=[other])
    assert not (tmp_path / "run" / "config.json").exists()
    assert (train(data, pretrain_dirs=[other]) / "config.json").is_file()


@pytest.mark.parametrize("names_its_folder", [True, False])
def test_a_stopped_stage_says_the_command_that_goes_on_with_all(
    tmp_path, train, monkeypatch, names_its_folder
):
    other = write_disc_folder(tmp_path / "other", 3, seed=5)
    data, said = write_disc_folder(tmp_path / "data", 4), []
    monkeypatch.chdir(tmp_path)

    def stop(step, numbers):
        signal.raise_signal(signal.SIGTERM)

    command = "cellflow train --pretrain-dir other"
    with pytest.raises(Preempted):
        train(
            data, "run" if names_its_folder else None, said=said, pretrain_dirs=[other],
            command=f"{command} --overwrite", overwrite=True, report=stop,
        )  # fmt: skip
    folder = "" if names_its_folder else " --out runs/train-001"
    assert said[-1].endswith(f"saved; continue with:\n  {command}{folder}")


def test_ctrl_c_between_two_stages_says_the_command_that_goes_on(tmp_path, train):
    class Said(list):
        def append(self, text):
            super().append(text)
            if text.startswith("stage 2 of 2"):
                signal.raise_signal(signal.SIGINT)

    other = write_disc_folder(tmp_path / "other", 3, seed=5)
    data, said = write_disc_folder(tmp_path / "data", 4), Said()
    with pytest.raises(StepFinished):
        train(
            data, said=said, pretrain_dirs=[other], overwrite=True,
            command="cellflow train --pretrain-dir other --overwrite",
        )  # fmt: skip
    assert said[-1] == "stopped by Ctrl-C; continue with:\n  cellflow train --pretrain-dir other"


@pytest.mark.parametrize("refit", ["validation_then_train", "all"])
def test_the_effect_of_a_refit_is_measured_on_a_fold_that_no_stage_saw(tmp_path, train, refit):
    data, said = write_disc_folder(tmp_path / "data", 9), []
    folds = make_folds(open_dataset(data), 3, seed=0)
    write_folds(tmp_path / "folds.json", folds)
    out = train(data, refit=refit, folds_file=tmp_path / "folds.json", fold=1, said=said)
    outer = set(folds.folds[1].validation)
    runs = [out, *sorted((out / "stages").iterdir())]
    assert len(runs) == (3 if refit == "validation_then_train" else 2)
    for run in runs:
        seen = record_of(run)["data"]
        assert not outer & {*seen["train"], *(seen["validation"] if run != out else [])}
    learnt = set().union(*(record_of(run)["data"]["train"] for run in runs))
    assert learnt == set(folds.folds[1].train)
    record = record_of(out)
    measured = record["refit"]["measured"]
    assert set(measured["after"]) == set(record["score"]["images"]) == outer
    differences = [measured["after"][name] - measured["before"][name] for name in outer]
    assert measured["difference"]["estimate"] == pytest.approx(np.mean(differences))
    assert any("on 3 images that no stage saw" in text for text in said)
    assert "that no stage saw" in (out / "README.md").read_text(encoding="utf-8")
    assert record["config"]["training"]["learning_rate"] == pytest.approx(0.001)


def test_a_refit_measured_on_one_image_is_told_again_and_carried(tmp_path, train):
    data, said = write_disc_folder(tmp_path / "data", 5), []
    folds = tmp_path / "folds.json"
    write_folds(folds, make_folds(open_dataset(data), 5, seed=0))
    given = {"folds_file": folds, "fold": 1, "training": {"n_epochs": 1}, "said": said}
    out = train(data, refit="all", **given)
    told = said[-1]
    assert "(no interval) on 1 image that no stage saw" in told
    train(data, refit="all", **given)
    assert said[-1] == told
    train(data, "all", refit="all", estimates=[out], training={"n_epochs": 1}, said=said)
    assert said[-1] == told


def test_other_folders_beside_a_refit_show_nothing_of_the_fold(tmp_path, train):
    data = write_disc_folder(tmp_path / "data", 9)
    extra = write_disc_folder(tmp_path / "extra", 9)  # the same wells
    folds = make_folds(open_dataset(data), 3, seed=0)
    write_folds(tmp_path / "folds.json", folds)
    given = {"folds_file": tmp_path / "folds.json", "fold": 1, "training": {"n_epochs": 1}}
    out = train(data, refit="all", extra_dirs=[extra], **given)
    main = record_of(out / "stages" / "main")["data"]
    assert set(folds.folds[1].validation) < set(main["overlapping"])
    assert main["n_extra"] == 9 - len(main["overlapping"])


def test_a_model_of_all_images_carries_the_estimate_and_prints_no_score(tmp_path, train):
    data, said = write_disc_folder(tmp_path / "data", 9), []
    folds = tmp_path / "folds.json"
    write_folds(folds, make_folds(open_dataset(data), 3, seed=0))
    outer = [
        train(data, f"outer{k}", refit="all", folds_file=folds, fold=k, training={"n_epochs": 1})
        for k in (0, 2)
    ]
    out = train(data, refit="all", estimates=outer, said=said)
    record = record_of(out)
    assert record["score"] is None
    assert record["refit"]["measured"] is None
    assert len(record["refit"]["carried"]["before"]) == 6
    assert record["refit"]["trained_on"] == [f"disc{k}" for k in range(9)]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "Estimate, not measured on this model" in card
    assert str(outer[1]) in card
    for wrong in ([outer[0], outer[0]], [out]):
        with pytest.raises(ConfigError, match="--estimate"):
            train(data, "wrong", refit="all", estimates=wrong)


def test_a_run_of_other_stages_is_told_before_any_of_them(tmp_path, train, monkeypatch):
    data, other = (write_disc_folder(tmp_path / name, 5) for name in ("data", "other"))
    out = train(data, training={"n_epochs": 1})
    monkeypatch.setattr(stages, "fine_tune", None)
    for options in ({"refit": "all"}, {"pretrain_dirs": [other]}):
        with pytest.raises(ConfigError, match="holds a run that did not begin with these stages"):
            train(data, training={"n_epochs": 1}, **options)
    assert not (out / "stages").exists()


def test_what_cannot_be_trained_replaces_nothing(tmp_path, train):
    data, other = (write_disc_folder(tmp_path / name, 5) for name in ("data", "other"))
    out = train(data, pretrain_dirs=[other], training={"n_epochs": 1})
    models = [out / "config.json", out / "stages" / "pretrain-1" / "config.json"]
    before = [path.read_bytes() for path in models]
    with pytest.raises(DataError, match=r"none of .* training images has 50 cells"):
        train(
            data, pretrain_dirs=[other], training={"n_epochs": 1, "min_cells": 50}, overwrite=True
        )
    assert [path.read_bytes() for path in models] == before


def test_a_zoom_for_a_type_that_is_not_there_is_told_before_any_stage(
    tmp_path, small_config, monkeypatch
):
    data, other = (write_disc_folder(tmp_path / name, 5) for name in ("data", "other"))
    config = small_config(n_epochs=1)
    wrong = replace(config, augment=AugmentConfig(scale_range_by_type={"astro": 0.5}))
    monkeypatch.setattr(stages, "fine_tune", None)
    with pytest.raises(ConfigError, match="no training image has that cell type; known: cort"):
        train_in_stages(data, tmp_path / "run", wrong, init="scratch", pretrain_dirs=[other])
    assert not (tmp_path / "run").exists()


def test_a_refit_on_images_without_a_type_needs_no_zoom_for_it(tmp_path, small_config):
    dataset = open_dataset(write_disc_folder(tmp_path / "data", 6))
    names = [entry.name for entry in dataset]
    # Of a type with one image none is held out.
    entries = (replace(dataset.entries[0], cell_type="astro"), *dataset.entries[1:])
    zoom = AugmentConfig(scale_range_by_type={"astro": 0.5})
    config = replace(small_config(validation_share=0.2), augment=zoom)
    outer = Split(train=names, validation=(), reason="")
    _, held_out_again, last = stage_plan.own_stages(
        dataset.root, replace(dataset, entries=entries), outer, config, "validation_then_train"
    )
    assert held_out_again.config.augment.scale_range_by_type == {}
    assert last.config.augment.scale_range_by_type == {"astro": 0.5}


def test_choices_that_do_not_fit_are_refused(tmp_path, train):
    data = write_disc_folder(tmp_path / "data", 3)
    with pytest.raises(ConfigError, match="give the same command again"):
        train(data, refit="all", resume=True)
    with pytest.raises(ConfigError, match="needs --final on all images"):
        train(data, estimates=[tmp_path])
    with pytest.raises(ConfigError, match="there are no held-out images to train on"):
        train(data, refit="all", training={"validation_share": 0.0})
    assert not (tmp_path / "run").exists()
