"""What cannot be trained is refused before anything is written or replaced."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from drawn_discs import write_two_channel_discs

from cellflow.config import AugmentConfig, DataConfig
from cellflow.data.entrance import open_dataset
from cellflow.errors import ConfigError, DataError, ImageError, ModelError
from cellflow.training.fine_tune import fine_tune
from cellflow.training.split import split_dataset
from cellflow.training.stages import train_in_stages

fine_tune_module = importlib.import_module("cellflow.training.fine_tune")


def test_a_zoom_for_a_cell_type_that_does_not_occur_is_refused(disc_folder, tune, small_config):
    config = replace(small_config(), augment=AugmentConfig(scale_range_by_type={"astro": 1.0}))
    with pytest.raises(ConfigError, match=r"by_type\.astro: no training image .* known: cort"):
        tune(disc_folder(2), config=config)


def test_early_stopping_without_held_out_images_is_refused(disc_folder, tune, tmp_path):
    with pytest.raises(ConfigError, match=r"training\.patience: needs the score of held-out"):
        tune(disc_folder(1), training={"patience": 3})
    assert not (tmp_path / "run").exists()


def test_weights_that_would_be_replaced_are_no_start(disc_folder, tune, tmp_path):
    data = disc_folder(4)
    out = tune(data, training={"n_epochs": 1})
    before = (out / "weights.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"--init .*run: lies in --out .*run, which --overwrite"):
        tune(data, init=out, overwrite=True)
    assert (out / "weights.safetensors").read_bytes() == before


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
