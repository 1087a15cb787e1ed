"""The whole of training on drawn discs: what is learnt, kept, recorded and said."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from compared_runs import metrics_of, same_weights
from drawn_discs import write_two_channel_discs
from safetensors.torch import load_file
from steered_runs import AskedToStop, score_as

from cellflow.config import Config, DataConfig, DynamicsConfig, NetworkConfig
from cellflow.data.entrance import open_dataset
from cellflow.data.folds import make_folds, write_folds
from cellflow.data.images import read_image
from cellflow.errors import ConfigError, DataError
from cellflow.inference.predict import load_model
from cellflow.network.model_folder import learnt_images
from cellflow.training.initial import starting_config


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


def test_keeping_the_best_of_no_validation_is_recorded_as_the_last(disc_folder, tune):
    out = tune(disc_folder(4), training={"keep": "best", "validation_share": 0.0})
    record = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert record["run"]["kept"] == "last"
    assert "(best)" not in (out / "README.md").read_text(encoding="utf-8")


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
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert told in card
    role = "too high if the initial weights learnt the same images: 2 images by their names"
    assert f"The score is {role}." in card
    assert role in said[-1]
    again = tune(data, name="again", init=str(first), fold=0, **folds)
    assert "initial weights" not in json.loads((again / "config.json").read_text())["data"]["split"]


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
